package reconcile_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// asking is a registry that takes its time and notes what it is asked.
type asking struct {
	registry
	mu    sync.Mutex
	asked []string
}

func (a *asking) Resolve(ctx context.Context, ref, platform string) (reconcile.Image, error) {
	a.mu.Lock()
	a.asked = append(a.asked, ref)
	a.mu.Unlock()
	time.Sleep(2 * time.Second)
	return a.registry.Resolve(ctx, ref, platform)
}

func TestARegistryIsAskedOnceForWhatManyStacksWant(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.stop()
		asked := &asking{registry: registry{h.engine}}
		h.adjust = func(o *reconcile.Options) { o.Registry = asked }
		h.boot()
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", enginetest.Behaviour{})
		d := reconcile.Declaration{Revision: reconcile.Revision{Commit: "1"}}
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			d.Projects = append(d.Projects, named(t, name, "1.0"))
		}
		d.Projects = append(d.Projects, named(t, "f", "1.1"))
		h.loop.Declare(d)
		h.pass(time.Minute)
		asked.mu.Lock()
		defer asked.mu.Unlock()
		if slices.Sort(asked.asked); !slices.Equal(asked.asked, []string{"shop:1.0", "shop:1.1"}) {
			t.Errorf("asked for %v", asked.asked)
		}
	})
}

func TestSharedWorkIsDoneAnewOnceItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shared reconcile.Shared[int]
		done := 0
		work := func(context.Context) (int, error) {
			time.Sleep(time.Second)
			done++
			return done, nil
		}
		for want := range 2 {
			var wait sync.WaitGroup
			for range 3 {
				wait.Go(func() {
					if got, err := shared.Do(t.Context(), "x", work); err != nil || got != want+1 {
						t.Errorf("got %d, %v; want %d", got, err, want+1)
					}
				})
			}
			wait.Wait()
		}
	})
}
