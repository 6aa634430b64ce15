package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"davit/reconcile"
)

const (
	// redraw is how often the lines of what is under way are drawn again.
	redraw = time.Second / 2
	// shown is how many of those lines there are at most.
	shown = 15
)

// progress shows what happens while a command waits. On a terminal that can go back, each
// step that is under way has a line of its own below everything else, with how long it has
// taken, until it is over; elsewhere every event is a line.
type progress struct {
	console *console
	out     io.Writer
	// stop ends the drawing, ended says that it has.
	stop, ended chan struct{}

	mu    sync.Mutex
	steps []underWay
	// drawn is how many lines the next drawing replaces.
	drawn int
}

// underWay is a step that has begun and not ended.
type underWay struct {
	stack, service, text string
	seq                  int64
	since                time.Time
}

// newProgress begins to show; close ends it.
func (c *console) newProgress() *progress {
	p := &progress{console: c, out: c.Out, stop: make(chan struct{}), ended: make(chan struct{})}
	if c.Width == nil {
		close(p.ended)
		return p
	}
	go func() {
		defer close(p.ended)
		tick := time.NewTicker(redraw)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.change(func() {})
			case <-p.stop:
				return
			}
		}
	}()
	return p
}

// close leaves nothing but what is to stay.
func (p *progress) close() {
	close(p.stop)
	<-p.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	p.steps = nil
}

// say adds a line that stays.
func (p *progress) say(line string) { p.change(func() { fmt.Fprintln(p.out, line) }) }

// event shows what happened.
func (p *progress) event(e reconcile.Event) {
	p.change(func() {
		passing := p.console.Width != nil && strings.HasPrefix(string(e.Kind), "Step") && e.Severity == reconcile.SeverityInfo
		if p.follow(e); !passing {
			fmt.Fprintln(p.out, p.console.eventLine(e))
		}
	})
}

// change has f write what stays, above what is under way.
func (p *progress) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	f()
	p.draw()
}

// follow keeps account of what is under way.
func (p *progress) follow(e reconcile.Event) {
	own := func(u underWay) bool { return u.stack == e.Stack && u.service == e.Service && u.seq == e.Seq }
	switch e.Kind {
	case reconcile.EventStepStarted:
		p.steps = append(p.steps, underWay{e.Stack, e.Service, e.Message, e.Seq, p.console.Now()})
		slices.SortStableFunc(p.steps, func(a, b underWay) int {
			return cmp.Or(cmp.Compare(a.stack, b.stack), cmp.Compare(a.service, b.service))
		})
	case reconcile.EventStepDone, reconcile.EventStepFailed:
		// How it ended comes after what it is.
		ended := -1
		for i, u := range p.steps {
			if own(u) && strings.HasPrefix(e.Message, u.text) && (ended < 0 || len(u.text) > len(p.steps[ended].text)) {
				ended = i
			}
		}
		if ended >= 0 {
			p.steps = slices.Delete(p.steps, ended, ended+1)
		}
	case reconcile.EventReleaseEnded, reconcile.EventReleaseFailed, reconcile.EventReleaseSucceeded, reconcile.EventRolledBack:
		p.steps = slices.DeleteFunc(p.steps, func(u underWay) bool { return u.stack == e.Stack && u.seq == e.Seq })
	}
}

// wipe takes back the lines of the last drawing.
func (p *progress) wipe() {
	if p.drawn > 0 {
		fmt.Fprintf(p.out, "\x1b[%dA\r\x1b[J", p.drawn)
		p.drawn = 0
	}
}

// draw writes a line for each step that is under way.
func (p *progress) draw() {
	if p.console.Width == nil || len(p.steps) == 0 {
		return
	}
	width, now := p.console.Width(), p.console.Now()
	for i, u := range p.steps {
		if i == shown {
			fmt.Fprintf(p.out, "  and %d more\n", len(p.steps)-i)
			p.drawn++
			break
		}
		took := max(now.Sub(u.since), 0).Truncate(time.Second).String()
		where := u.stack
		if u.service != "" {
			where += "/" + u.service
		}
		line := cut(inline(where)+"  "+inline(u.text), width-len(took)-5)
		fmt.Fprintf(p.out, "  %s  %s\n", line, p.console.paint(took, dim))
		p.drawn++
	}
}

// cut is text of at most n characters.
func cut(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= max(n, 1) {
		return text
	}
	return string(runes[:max(n, 1)-1]) + "…"
}

// widthOf tells how many columns the terminal has that out is; nil where it is none, or one
// that cannot go back.
func widthOf(out *os.File, kind string) func() int {
	if !term.IsTerminal(int(out.Fd())) || kind == "dumb" {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(out.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}
}
