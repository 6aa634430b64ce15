package rollout

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/reconcile"
)

// store pulls slowly and notes what it was asked for.
type store struct {
	Engine
	mu     sync.Mutex
	pulled []string
	err    error
}

func (s *store) Pull(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	s.mu.Lock()
	s.pulled = append(s.pulled, i.Ref)
	err := s.err
	s.mu.Unlock()
	select {
	case <-time.After(time.Minute):
		i.ID = "sha256:1"
		return i, err
	case <-ctx.Done():
		return i, ctx.Err()
	}
}

func TestAnImageThatManyPlansWantIsPulledOnce(t *testing.T) {
	pinned := reconcile.Image{Ref: "shop:1", Digest: "sha256:d"}
	otherTag := reconcile.Image{Ref: "shop:latest", Digest: "sha256:d"}
	otherImage := reconcile.Image{Ref: "shop:1", Digest: "sha256:e"}
	tests := map[string]struct {
		wanted []reconcile.Image
		pulled []string
	}{
		"one image for all":             {[]reconcile.Image{pinned, pinned, pinned}, []string{"shop:1"}},
		"each image for itself":         {[]reconcile.Image{pinned, otherImage}, []string{"shop:1", "shop:1"}},
		"another tag for the same":      {[]reconcile.Image{pinned, otherTag}, []string{"shop:1", "shop:latest"}},
		"what nothing pins, every time": {[]reconcile.Image{{Ref: "shop:1"}, {Ref: "shop:1"}}, []string{"shop:1", "shop:1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{}
				p := &pulls{engine: s}
				var wait sync.WaitGroup
				for _, i := range test.wanted {
					wait.Go(func() {
						got, err := p.pull(t.Context(), i)
						if err != nil || got.Ref != i.Ref || got.ID != "sha256:1" {
							t.Errorf("%s: %+v, %v", i.Ref, got, err)
						}
					})
					synctest.Wait()
				}
				wait.Wait()
				if slices.Sort(s.pulled); !slices.Equal(s.pulled, test.pulled) {
					t.Errorf("pulled %v, want %v", s.pulled, test.pulled)
				}
			})
		})
	}
}

func TestAPullThatIsCalledOffGoesOnForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		p := &pulls{engine: s}
		image := reconcile.Image{Ref: "shop:1", Digest: "sha256:d"}
		superseded := errors.New("superseded")
		first, stop := context.WithCancelCause(t.Context())
		second, leave := context.WithCancelCause(t.Context())
		errs := make([]error, 3)
		var wait sync.WaitGroup
		for i, ctx := range []context.Context{first, second, t.Context()} {
			wait.Go(func() { _, errs[i] = p.pull(ctx, image) })
			synctest.Wait()
		}
		leave(superseded)
		synctest.Wait()
		if !errors.Is(errs[1], superseded) {
			t.Errorf("one that only waited: %v", errs[1])
		}
		stop(superseded)
		wait.Wait()
		if errs[0] == nil || errs[2] != nil || len(s.pulled) != 2 {
			t.Errorf("errors %v after %d pulls; want the third to take over", errs, len(s.pulled))
		}
	})
}

func TestAPullThatFailsFailsForAllWhoWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{err: reconcile.ErrRegistryUnavailable}
		p := &pulls{engine: s}
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				if _, err := p.pull(t.Context(), reconcile.Image{Ref: "shop:1", Digest: "sha256:d"}); !errors.Is(err, reconcile.ErrRegistryUnavailable) {
					t.Errorf("got %v", err)
				}
			})
		}
		wait.Wait()
		if len(s.pulled) != 1 {
			t.Errorf("%d pulls, want 1", len(s.pulled))
		}
	})
}
