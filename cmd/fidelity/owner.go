package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"davit/cmd/internal/testbed"
)

// owner owns the engine that the files are tried on, and takes it away.
type owner struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	problems []string
	cleanups []func()
}

var _ testbed.TB = (*owner)(nil)

func newOwner(ctx context.Context) *owner {
	ctx, cancel := context.WithCancel(ctx)
	return &owner{ctx: ctx, cancel: cancel}
}

// own runs f, which Fatalf may end early, and reports whether it came to its end.
func (o *owner) own(f func()) bool {
	done, finished := make(chan struct{}), false
	go func() {
		defer close(done)
		f()
		finished = true
	}()
	<-done
	return finished
}

// end takes away what is owned.
func (o *owner) end() {
	o.cancel()
	for _, cleanup := range slices.Backward(o.cleanups) {
		cleanup()
	}
}

func (o *owner) Helper()                  {}
func (o *owner) Context() context.Context { return o.ctx }

func (o *owner) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "fidelity: "+format+"\n", args...)
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
