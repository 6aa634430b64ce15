package enginetest

import (
	"context"
	"time"

	"davit/engine"
)

// event is a change before anybody is told.
type event struct {
	container *container
	action    string
	network   bool
	byHand    bool
}

// listener is one call of Events.
type listener struct {
	queue []engine.Change
	wake  chan struct{}
}

// Events calls back for every change until ctx ends, first with EngineRecovered.
func (e *Engine) Events(ctx context.Context, f func(engine.Change)) error {
	l := &listener{queue: []engine.Change{{Kind: engine.EngineRecovered}}, wake: make(chan struct{}, 1)}
	e.mu.Lock()
	e.listeners[l] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.listeners, l)
	}()
	for ctx.Err() == nil {
		changes, next := e.drain(l)
		for _, c := range changes {
			f(c)
		}
		wait := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-wait.C:
		}
		wait.Stop()
	}
	return ctx.Err()
}

// drain takes what there is to tell, and says how long nothing will happen by
// itself.
func (e *Engine) drain(l *listener) ([]engine.Change, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if !e.down {
		e.settle(now)
	}
	changes := l.queue
	l.queue = nil
	next := time.Hour
	if _, d, ok := e.earliest(); ok && !e.down {
		next = max(d.at.Sub(now), 0)
	}
	return changes, next
}

// tell announces something about a container.
func (e *Engine) tell(c *container, action string, byHand bool) {
	e.announce(event{container: c, action: action, byHand: byHand})
}

func (e *Engine) announce(ev event) {
	c := engine.Change{
		Stack: ev.container.face.Stack, Service: ev.container.face.Service, Container: ev.container.face.ID,
		Action: ev.action, ByHand: ev.byHand,
	}
	if ev.network {
		c.Kind = engine.ChangeNetwork
	}
	e.broadcast(c)
}

func (e *Engine) broadcast(c engine.Change) {
	for l := range e.listeners {
		l.queue = append(l.queue, c)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}
