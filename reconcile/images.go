package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

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
	now    func() time.Time
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
	image, err := r.declared(ctx, s)
	return image, waitFor(err, s.ImageRef())
}

// declared is the image by the service's pull_policy.
func (r resolver) declared(ctx context.Context, s compose.Service) (Image, error) {
	if s.Build != nil {
		return r.buildable(ctx, s)
	}
	switch s.PullPolicy() {
	case compose.PullNever, compose.PullBuild:
		return r.local(ctx, s)
	case compose.PullMissing:
		image, err := r.local(ctx, s)
		if errors.Is(err, ErrImageMissing) {
			return r.remote(ctx, s)
		}
		return image, err
	case compose.PullAlways:
		return r.remote(ctx, s)
	}
	return r.either(ctx, s)
}

// either is the registry's word, or what the engine has under that very name: for
// a host that is cut off from its registry, and an image that was never pushed
// anywhere.
func (r resolver) either(ctx context.Context, s compose.Service) (Image, error) {
	here, missing := r.local(ctx, s)
	if missing == nil && here.exact(s.Config.Image) {
		return here, nil
	}
	asking := ctx
	if missing == nil {
		// A registry that says nothing must not hold up what can be done without it.
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	image, err := r.remote(asking, s)
	if err != nil && missing == nil && ctx.Err() == nil {
		return here, nil
	}
	return image, err
}

// patience is how long a registry is waited for where the engine has an image of
// that name.
const patience = 5 * time.Second

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
	_, err := r.registry.Resolve(ctx, pinned.Pinned(), pinned.Platform)
	if errors.Is(err, ErrImageMissing) {
		return pinned, fmt.Errorf("image %s is gone from this host and from its registry: %w", pinned.Pinned(), errGone)
	}
	return pinned, waitFor(err, pinned.Pinned())
}

// errGone marks an image that no release can be restored with.
var errGone = errors.New("not restorable")

// local is the image that the engine has under the service's reference. One for
// another platform than the service's is none.
func (r resolver) local(ctx context.Context, s compose.Service) (Image, error) {
	image, err := r.engine.LocalImage(ctx, s.Config.Image)
	if err == nil && !fits(image.Platform, s.Config.Platform) {
		err = fmt.Errorf("image %s is here for %s, not for %s: %w", s.Config.Image, image.Platform, s.Config.Platform, ErrImageMissing)
	}
	image.Ref, image.Platform = s.Config.Image, s.Config.Platform
	return image, err
}

// remote is the image that the registry has under the service's reference.
func (r resolver) remote(ctx context.Context, s compose.Service) (Image, error) {
	ref, platform := s.Config.Image, s.Config.Platform
	image, err := r.registry.Resolve(ctx, ref, platform)
	if err != nil {
		return Image{Ref: ref}, err
	}
	image.Ref, image.Platform = ref, platform
	if s.Refresh() > 0 {
		image.Resolved = r.now()
	}
	for _, name := range []string{image.Pinned(), image.ID} {
		if !strings.Contains(name, ":") {
			continue
		}
		here, err := r.engine.LocalImage(ctx, name)
		switch {
		case err == nil && fits(here.Platform, platform):
			image.ID, image.Local = here.ID, true
			return image, nil
		case err != nil && !errors.Is(err, ErrImageMissing):
			return image, err
		}
	}
	return image, nil
}

// fits reports whether an image made for one platform is what a service that
// asks for another wants; "" asks for nothing, and says nothing. What a service
// leaves open, such as the variant, does not count.
func fits(made, asked string) bool {
	if made == "" || asked == "" {
		return true
	}
	have := strings.Split(strings.ToLower(made), "/")
	for i, part := range strings.Split(strings.ToLower(asked), "/") {
		if i >= len(have) || have[i] != part {
			// arm64 is arm64/v8.
			return i == 2 && len(have) < 3
		}
	}
	return true
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
