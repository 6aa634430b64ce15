package testbed

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// owner is a TB whose failures are results, not failures of the test.
type owner struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	problems []string
	logged   []string
	cleanups []func()
}

func (o *owner) Helper()                  {}
func (o *owner) Context() context.Context { return o.ctx }

func (o *owner) Logf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.logged = append(o.logged, fmt.Sprintf(format, args...))
}

func (o *owner) Errorf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.problems = append(o.problems, fmt.Sprintf(format, args...))
}

func (o *owner) Fatalf(format string, args ...any) {
	o.Errorf(format, args...)
	runtime.Goexit()
}

func (o *owner) Failed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.problems) > 0
}

func (o *owner) Cleanup(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cleanups = append(o.cleanups, f)
}

// live runs body as a test of its own and returns what it complained of.
func live(t *testing.T, body func(TB)) (problems string, logged string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	o := &owner{ctx: ctx, cancel: cancel}
	done := make(chan struct{})
	go func() {
		defer close(done)
		body(o)
	}()
	<-done
	cancel()
	for i := len(o.cleanups) - 1; i >= 0; i-- {
		o.cleanups[i]()
	}
	return strings.Join(o.problems, "\n"), strings.Join(o.logged, "\n")
}

// without is a config for tests that need no agent.
func without() Config { return Config{Davit: "/bin/false"} }
