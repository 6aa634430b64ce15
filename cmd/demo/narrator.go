package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"davit/cmd/internal/testbed"
)

// narrator prints the story, counts its claims, and owns what the story makes.
type narrator struct {
	*testbed.Owner
	caller context.Context // ends when the reader has seen enough
	out    io.Writer
	begun  time.Time
	acts   int
	claims int
}

var _ testbed.TB = (*narrator)(nil)

func newNarrator(caller context.Context, out io.Writer) *narrator {
	return &narrator{Owner: testbed.NewOwner(caller, out), caller: caller, out: out, begun: time.Now()}
}

// interrupted reports whether the story ends because somebody pressed Ctrl-C. What
// it was waiting for then proves nothing and is not shown.
func (n *narrator) interrupted() bool { return n.caller.Err() != nil }

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

func (n *narrator) Logf(format string, args ...any) {
	if n.interrupted() {
		return
	}
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n     ")
	fmt.Fprintln(n.out, "     "+text)
}

func (n *narrator) Errorf(format string, args ...any) {
	n.Fail()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n     ")
	fmt.Fprintln(n.out, "  !! "+text)
}

func (n *narrator) Fatalf(format string, args ...any) {
	if !n.interrupted() {
		n.Errorf(format, args...)
	}
	runtime.Goexit()
}
