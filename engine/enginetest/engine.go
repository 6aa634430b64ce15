package enginetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"davit/engine"
	"davit/reconcile"
)

// Options are what a twin is made from. The zero value is fine.
type Options struct {
	// Instance is the davit whose containers Create makes; default "test".
	Instance string
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Sleep waits, for a stop; default a timer. A test with its own Now gives the
	// Sleep that goes with it.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Engine is the twin. Its methods are safe for concurrent use.
type Engine struct {
	instance string
	now      func() time.Time
	sleep    func(context.Context, time.Duration) error

	mu         sync.Mutex
	interrupt  func(Op, Moment) error
	containers map[string]*container // by ID
	networks   map[string]*reconcile.Network
	volumes    map[string]volume // by engine name
	images     library
	writers    writers
	log        []Op
	listeners  map[*listener]bool
	serial     int
	down       bool
	edge       *Edge // nil for a host without one
}

// New makes an empty engine.
func New(o Options) *Engine {
	if o.Instance == "" {
		o.Instance = "test"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return &Engine{
		instance:   o.Instance,
		now:        o.Now,
		sleep:      o.Sleep,
		containers: map[string]*container{},
		networks:   map[string]*reconcile.Network{},
		volumes:    map[string]volume{},
		images:     newLibrary(),
		writers:    newWriters(),
		listeners:  map[*listener]bool{},
	}
}

// Interrupt sets a function that is called before and after every mutation; nil
// removes it. It may call the twin.
func (e *Engine) Interrupt(f func(Op, Moment) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.interrupt = f
}

// Log is every mutation that happened, in order. What found its work done
// already is in it too: it was a call.
func (e *Engine) Log() []Op {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Op(nil), e.log...)
}

// ClearLog forgets the mutations so far.
func (e *Engine) ClearLog() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = nil
}

// Ping answers unless the daemon is down.
func (e *Engine) Ping(ctx context.Context) (engine.Info, error) {
	err := e.read(ctx, "ping", func(time.Time) error { return nil })
	if err != nil {
		return engine.Info{}, err
	}
	return engine.Info{APIVersion: "1.41", Version: "twin"}, nil
}

// read runs f under the lock, once everything due has happened.
func (e *Engine) read(ctx context.Context, what string, f func(now time.Time) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return fmt.Errorf("%s: %w", what, reconcile.ErrEngineUnavailable)
	}
	now := e.now()
	e.settle(now)
	if err := f(now); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// mutate is read for what changes something: it is interruptible and logged.
func (e *Engine) mutate(ctx context.Context, op Op, f func(now time.Time) error) error {
	if err := e.interrupted(op, Before); err != nil {
		return err
	}
	err := e.read(ctx, op.String(), func(now time.Time) error {
		if err := f(now); err != nil {
			return err
		}
		e.log = append(e.log, op)
		e.writers.record(e.containers)
		return nil
	})
	if err := e.interrupted(op, After); err != nil {
		return err
	}
	return err
}

func (e *Engine) interrupted(op Op, m Moment) error {
	e.mu.Lock()
	f := e.interrupt
	e.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op, m)
}

// newID is unlike any other ID of this twin and the same in every run.
func (e *Engine) newID(kind string) string {
	e.serial++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, e.serial))
	return hex.EncodeToString(sum[:])
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
