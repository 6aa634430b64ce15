package testbed

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Owner is the TB of a program that is no test.
type Owner struct {
	ctx    context.Context
	cancel context.CancelFunc
	out    io.Writer

	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

var _ TB = (*Owner)(nil)

// NewOwner makes an owner that complains to out and whose context ends with ctx.
func NewOwner(ctx context.Context, out io.Writer) *Owner {
	ctx, cancel := context.WithCancel(ctx)
	return &Owner{ctx: ctx, cancel: cancel, out: out}
}

// Run calls f and takes away what it made, whatever becomes of it. It reports
// whether nothing went wrong.
func (o *Owner) Run(f func()) bool {
	done := make(chan struct{})
	go func() { // for Fatalf to end
		defer close(done)
		f()
	}()
	<-done
	o.cancel()
	for _, cleanup := range slices.Backward(o.cleanups) {
		cleanup()
	}
	return !o.Failed()
}

// Helper implements TB.
func (o *Owner) Helper() {}

// Context implements TB.
func (o *Owner) Context() context.Context { return o.ctx }

// Failed implements TB.
func (o *Owner) Failed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// Cleanup implements TB.
func (o *Owner) Cleanup(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cleanups = append(o.cleanups, f)
}

// Logf implements TB.
func (o *Owner) Logf(format string, args ...any) {
	fmt.Fprintln(o.out, strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}

// Fail notes that something went wrong.
func (o *Owner) Fail() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = true
}

// Errorf implements TB.
func (o *Owner) Errorf(format string, args ...any) {
	o.Fail()
	o.Logf(format, args...)
}

// Fatalf implements TB.
func (o *Owner) Fatalf(format string, args ...any) {
	o.Errorf(format, args...)
	runtime.Goexit()
}
