package reconcile

import (
	"context"
	"sync"
)

// lookups is the registries for the length of one pass: what several stacks ask
// is asked once, so that one tag also means one image to all of them.
type lookups struct {
	registry Registry
	asking   Shared[Image]

	mu    sync.Mutex
	known map[string]Image
}

func newLookups(r Registry) *lookups { return &lookups{registry: r, known: map[string]Image{}} }

// Resolve implements Registry. What went wrong is not kept.
func (l *lookups) Resolve(ctx context.Context, ref, platform string) (Image, error) {
	key := ref + " " + platform
	if image, ok := l.recall(key); ok {
		return image, nil
	}
	return l.asking.Do(ctx, key, func(ctx context.Context) (Image, error) {
		if image, ok := l.recall(key); ok {
			return image, nil
		}
		image, err := l.registry.Resolve(ctx, ref, platform)
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.known[key] = image
		}
		return image, err
	})
}

func (l *lookups) recall(key string) (Image, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	image, ok := l.known[key]
	return image, ok
}
