package reconcile

import (
	"context"
	"sync"
)

// Shared does a piece of work once for all who want it at the same time. Its zero
// value is ready.
type Shared[V any] struct {
	mu    sync.Mutex
	under map[string]*sharing[V]
}

// sharing is one piece of work that is under way.
type sharing[V any] struct {
	done  chan struct{}
	value V
	err   error
	// left is true when its doer was called off, which says nothing to the others.
	left bool
}

// Do returns what work returns for key, to whoever asks while it is under way. An
// asker that is called off leaves; if it was the one at work, the next goes on.
func (s *Shared[V]) Do(ctx context.Context, key string, work func(context.Context) (V, error)) (V, error) {
	for {
		w, mine := s.join(key)
		if mine {
			return s.finish(ctx, key, w, work)
		}
		select {
		case <-w.done:
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
		if !w.left {
			return w.value, w.err
		}
	}
}

func (s *Shared[V]) join(key string) (w *sharing[V], mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.under[key]; ok {
		return w, false
	}
	if s.under == nil {
		s.under = map[string]*sharing[V]{}
	}
	w = &sharing[V]{done: make(chan struct{})}
	s.under[key] = w
	return w, true
}

func (s *Shared[V]) finish(ctx context.Context, key string, w *sharing[V], work func(context.Context) (V, error)) (V, error) {
	// Should work panic, nobody is to wait for ever.
	w.left = true
	defer func() {
		s.mu.Lock()
		delete(s.under, key)
		s.mu.Unlock()
		close(w.done)
	}()
	w.value, w.err = work(ctx)
	w.left = w.err != nil && ctx.Err() != nil
	return w.value, w.err
}
