package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ImageID is what the engine takes ref to mean; "" when it has no such image.
func (e *Engine) ImageID(ctx context.Context, ref string) (string, error) {
	var image struct{ ID string }
	err := e.get(ctx, "/images/"+ref+"/json", nil, &image)
	if isGone(err) {
		return "", nil
	}
	return image.ID, err
}

// RemoveImage removes a name, or an image with all its names when ref is an ID.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	return e.remove(ctx, "/images/"+ref, url.Values{"force": {"true"}})
}

// load puts an image into the engine as the tag ref, without a registry.
func (e *Engine) load(ctx context.Context, ref string, image v1.Image) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("load %s: %w", ref, err)
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := tarball.Write(tag, image, w)
		written <- err
		_ = w.CloseWithError(err)
	}()
	body, err := e.open(ctx, http.MethodPost, "/images/load", nil, &payload{r, "application/x-tar"})
	_ = r.Close() // ends the writer when the engine gave up early
	if werr := <-written; werr != nil && err == nil {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", ref, err)
	}
	defer body.Close()
	answer, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("load %s: %w", ref, err)
	}
	if strings.Contains(string(answer), `"error"`) {
		return fmt.Errorf("load %s: engine says %s", ref, answer)
	}
	return nil
}
