package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"davit/cmd/internal/testbed"
)

// narrator prints the story, counts its claims, and owns what the story makes.
type narrator struct {
	ctx    context.Context
	cancel context.CancelFunc
	caller context.Context // ends when the reader has seen enough
	out    io.Writer
	begun  time.Time
	acts   int
	claims int

	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

var _ testbed.TB = (*narrator)(nil)

func newNarrator(caller context.Context, out io.Writer) *narrator {
	ctx, cancel := context.WithCancel(caller)
	return &narrator{ctx: ctx, cancel: cancel, caller: caller, out: out, begun: time.Now()}
}

// interrupted reports whether the story ends because somebody pressed Ctrl-C. What
// it was waiting for then proves nothing and is not shown.
func (n *narrator) interrupted() bool { return n.caller.Err() != nil }

// tell runs a story and takes away what it made, whatever becomes of it.
func (n *narrator) tell(story func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		story()
	}()
	<-done
	n.cancel()
	for _, cleanup := range slices.Backward(n.cleanups) {
		cleanup()
	}
}

// act begins a part of the story.
func (n *narrator) act(format string, args ...any) {
	n.acts++
	fmt.Fprintf(n.out, "\n%d. %s\n", n.acts, fmt.Sprintf(format, args...))
}

// say adds a sentence that claims nothing.
func (n *narrator) say(format string, args ...any) {
	fmt.Fprintf(n.out, "     %s\n", fmt.Sprintf(format, args...))
}

// claim prints what should be true and whether it is. What was seen is printed
// when it is not.
func (n *narrator) claim(ok bool, claim string, seen any) {
	n.claims++
	if ok {
		fmt.Fprintf(n.out, "  ok %-78s %5.1fs\n", claim, time.Since(n.begun).Seconds())
		return
	}
	n.Errorf("not so: %s\nseen: %v", claim, seen)
}

func (n *narrator) Helper()                  {}
func (n *narrator) Context() context.Context { return n.ctx }

func (n *narrator) Failed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

func (n *narrator) Cleanup(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cleanups = append(n.cleanups, f)
}

func (n *narrator) Logf(format string, args ...any) {
	if n.interrupted() {
		return
	}
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n     ")
	fmt.Fprintln(n.out, "     "+text)
}

func (n *narrator) Errorf(format string, args ...any) {
	n.mu.Lock()
	n.failed = true
	n.mu.Unlock()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n     ")
	fmt.Fprintln(n.out, "  !! "+text)
}

func (n *narrator) Fatalf(format string, args ...any) {
	if !n.interrupted() {
		n.Errorf(format, args...)
	}
	runtime.Goexit()
}
