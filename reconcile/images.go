package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"davit/compose"
)

// resolver turns what services ask for into the images of one release.
type resolver struct {
	engine   Engine
	registry Registry
	// pinned holds images that are not resolved again, by service: those of the
	// release that is restored, or of services that did not change.
	pinned map[string]Image
	// strict forbids to resolve a pinned image anew when it is gone: a rollback
	// restores exactly what ran or refuses.
	strict bool
}

// resolve returns the image of every service. Its error is a Waiting while an
// image cannot be had yet, and a Stalled when it never will.
func (r resolver) resolve(ctx context.Context, p *compose.Project) (map[string]Image, error) {
	var (
		wait   sync.WaitGroup
		lock   sync.Mutex
		out    = make(map[string]Image, len(p.Services))
		failed = map[string]error{}
	)
	for _, s := range p.Services {
		wait.Go(func() {
			image, err := r.image(ctx, s)
			lock.Lock()
			defer lock.Unlock()
			if out[s.Name] = image; err != nil {
				failed[s.Name] = err
			}
		})
	}
	wait.Wait()
	for _, name := range sortedKeys(failed) {
		return nil, fmt.Errorf("resolve image of service %s: %w", name, failed[name])
	}
	return out, nil
}

func (r resolver) image(ctx context.Context, s compose.Service) (Image, error) {
	if pinned, ok := r.pinned[s.Name]; ok {
		image, err := r.recorded(ctx, pinned)
		if r.strict || !errors.Is(err, errGone) {
			return image, err
		}
	}
	switch policy := s.Config.PullPolicy; policy {
	case "never":
		image, err := r.local(ctx, s.Config.Image)
		return image, waitFor(err, s.Config.Image)
	case "missing", "if_not_present":
		image, err := r.local(ctx, s.Config.Image)
		if errors.Is(err, ErrImageMissing) {
			image, err = r.remote(ctx, s.Config.Image)
		}
		return image, waitFor(err, s.Config.Image)
	case "always":
		image, err := r.remote(ctx, s.Config.Image)
		return image, waitFor(err, s.Config.Image)
	}
	image, err := r.remote(ctx, s.Config.Image)
	if err != nil && ctx.Err() == nil {
		// A host that is cut off from its registry, and an image that was never
		// pushed anywhere, deploy what the engine has under that very name.
		if here, missing := r.local(ctx, s.Config.Image); missing == nil {
			return here, nil
		}
	}
	return image, waitFor(err, s.Config.Image)
}

// recorded looks for an image of an earlier release: in the engine by ID, else
// by digest, else in its registry by digest. Its tag is never asked.
func (r resolver) recorded(ctx context.Context, pinned Image) (Image, error) {
	for _, ref := range []string{pinned.ID, pinned.Pinned()} {
		if ref == "" {
			continue
		}
		here, err := r.engine.LocalImage(ctx, ref)
		if err == nil {
			pinned.ID, pinned.Local = here.ID, true
			pinned.Volumes, pinned.Healthcheck = here.Volumes, here.Healthcheck
			return pinned, nil
		}
		if !errors.Is(err, ErrImageMissing) {
			return pinned, err
		}
	}
	if pinned.Digest == "" {
		return pinned, WithHint(fmt.Errorf("image %s (%s) is gone from this host and no registry had it: %w", pinned.Ref, pinned.ID, errGone),
			"deploy other content, or load the image into the engine again")
	}
	_, err := r.registry.Resolve(ctx, pinned.Pinned())
	if errors.Is(err, ErrImageMissing) {
		return pinned, fmt.Errorf("image %s is gone from this host and from its registry: %w", pinned.Pinned(), errGone)
	}
	return pinned, waitFor(err, pinned.Pinned())
}

// errGone marks an image that no release can be restored with.
var errGone = errors.New("not restorable")

func (r resolver) local(ctx context.Context, ref string) (Image, error) {
	image, err := r.engine.LocalImage(ctx, ref)
	image.Ref = ref
	return image, err
}

func (r resolver) remote(ctx context.Context, ref string) (Image, error) {
	image, err := r.registry.Resolve(ctx, ref)
	if err != nil {
		return Image{Ref: ref}, err
	}
	image.Ref = ref
	for _, name := range []string{image.Pinned(), image.ID} {
		if !strings.Contains(name, ":") {
			continue
		}
		here, err := r.engine.LocalImage(ctx, name)
		switch {
		case err == nil:
			image.ID, image.Local = here.ID, true
			return image, nil
		case !errors.Is(err, ErrImageMissing):
			return image, err
		}
	}
	return image, nil
}

// waitFor makes the registry's bad days, and images that are not there yet,
// something to wait for.
func waitFor(err error, ref string) error {
	var reason string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrImageMissing):
		reason = "image " + ref + " does not exist yet"
	case errors.Is(err, ErrRegistryDenied):
		reason = "the registry does not let davit read " + ref
	case errors.Is(err, ErrRegistryUnavailable):
		reason = "the registry of " + ref + " does not answer"
	default:
		return err
	}
	return &Waiting{Reason: reason, Err: err}
}
