package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"davit/reconcile"
)

// Pull fetches exactly the image that i pins, unless the engine has it, and
// returns i with its ID and facts. An image without ID and digest is fetched by
// its reference.
func (e *Engine) Pull(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	got, err := e.fetch(ctx, i)
	if err != nil {
		return i, fmt.Errorf("pull image %s: %w", i.Ref, err)
	}
	got.Ref = i.Ref
	got.Digest, got.Platform = or(i.Digest, got.Digest), i.Platform
	return got, nil
}

func (e *Engine) fetch(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	if i.Pinned() != "" {
		got, err := e.LocalImage(ctx, or(i.ID, i.Pinned()))
		if !errors.Is(err, reconcile.ErrImageMissing) {
			return got, err
		}
	}
	ref := i.Ref
	if i.Digest != "" {
		ref = i.Pinned()
	}
	if err := e.download(ctx, pullRequest{ref: ref, platform: i.Platform}); err != nil {
		return i, err
	}
	got, err := e.LocalImage(ctx, ref)
	if err != nil {
		return i, err
	}
	if i.ID != "" && got.ID != i.ID {
		return i, fmt.Errorf("%s is image %s now, not %s: %w", ref, got.ID, i.ID, reconcile.ErrImageMissing)
	}
	if ref != i.Ref && friendly(i.Ref) {
		// A pull by digest leaves no tag, and prune takes what has none.
		return got, e.Tag(ctx, got.ID, i.Ref)
	}
	return got, nil
}

// friendly reports whether ref is a name that a tag can be made of.
func friendly(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	_, digested := named.(reference.Digested)
	return !digested
}

// pullRequest is what the engine is asked to pull.
type pullRequest struct {
	ref, auth string
	// platform is os/arch[/variant], "" for the engine's own.
	platform string
}

// download asks the engine for an image and reads its progress to the end, which is
// where errors are told.
func (e *Engine) download(ctx context.Context, r pullRequest) (err error) {
	if r.auth, err = e.credentials(ctx, r.ref); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, e.pull)
	defer cancel()
	stalled := time.AfterFunc(e.stall, cancel)
	defer stalled.Stop()
	c, err := e.connect(bounded)
	if err != nil {
		return explain(ctx, err)
	}
	err = e.progress(bounded, c, r, func() { stalled.Reset(e.stall) })
	switch {
	case err == nil, ctx.Err() != nil:
		return err
	case bounded.Err() != nil:
		return fmt.Errorf("%w: no progress for %s, or not done within %s", reconcile.ErrRegistryUnavailable, e.stall, e.pull)
	}
	err = refusal(explain(ctx, err), r.ref)
	if errors.Is(err, reconcile.ErrEngineUnavailable) {
		e.forget(c)
	}
	return err
}

func (e *Engine) progress(ctx context.Context, c *client.Client, r pullRequest, alive func()) error {
	body, err := c.ImagePull(ctx, r.ref, image.PullOptions{RegistryAuth: r.auth, Platform: r.platform})
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var line struct {
			Error  string `json:"error"`
			Detail struct {
				Message string `json:"message"`
			} `json:"errorDetail"`
		}
		err := lines.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read progress: %w", err)
		case line.Detail.Message != "":
			return errors.New(line.Detail.Message)
		case line.Error != "":
			return errors.New(line.Error)
		}
		alive()
	}
}
