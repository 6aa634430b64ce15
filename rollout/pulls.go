package rollout

import (
	"context"

	"davit/reconcile"
)

// pulls has an image that several plans want at the same time pulled once.
type pulls struct {
	engine Engine
	shared reconcile.Shared[reconcile.Image]
}

// pull fetches exactly the image that i pins. An image that nothing pins is
// whatever its tag means at the moment, and nobody else's.
func (p *pulls) pull(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	key := i.Pinned()
	if key == "" {
		return p.engine.Pull(ctx, i)
	}
	got, err := p.shared.Do(ctx, key+" "+i.Platform, func(ctx context.Context) (reconcile.Image, error) { return p.engine.Pull(ctx, i) })
	if err != nil || got.Ref == i.Ref {
		return got, err
	}
	// It is here by now, only under another tag.
	return p.engine.Pull(ctx, i)
}
