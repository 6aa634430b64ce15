package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestAnyHistoryOfPushesVerbsAndMishapsEndsWell lets a davit live through a drawn
// life and checks what must hold all the time and in the end: one writer for each
// volume, one open release at most, the last content running if it is good and the
// last good one if it is not, and rest.
func TestAnyHistoryOfPushesVerbsAndMishapsEndsWell(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		writes := rapid.Bool().Draw(rt, "writes")
		var lives []act
		for range rapid.IntRange(2, 8).Draw(rt, "acts") {
			lives = append(lives, act{
				what: rapid.IntRange(0, 13).Draw(rt, "what"),
				tag:  rapid.IntRange(0, 5).Draw(rt, "content"),
				then: time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds after")) * time.Second,
			})
		}
		problem := ""
		simulate(t, func(t *testing.T, h *host) {
			l := &life{host: h, writes: writes}
			l.images()
			l.push(0)
			h.pass(time.Minute)
			for _, a := range lives {
				l.live(a)
				if open := l.open(); open > 1 {
					problem = fmt.Sprintf("%d open releases", open)
				}
			}
			if end := l.end(); problem == "" && end != "" {
				problem = end
			}
			if problem != "" {
				problem += fmt.Sprintf(" in %v\nrunning %s\n%s\n%s", lives, h.running(), h.history(), h.story())
			}
		})
		// A bubble is not to be left in the middle.
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// act is one thing that happens, and the time until the next.
type act struct {
	what, tag int
	then      time.Duration
}

var tags = []string{"1.0", "1.1", "1.2", "bad", "exits", "missing"}

func (a act) String() string {
	words := []string{"push", "push", "push", "push", "push", "retry", "rollback", "unpin", "suspend briefly", "agent dies", "daemon restarts", "container dies", "drill", "abort"}
	if a.what < 5 {
		return fmt.Sprintf("push %s, %s", tags[a.tag], a.then)
	}
	return fmt.Sprintf("%s, %s", words[a.what], a.then)
}

// life is a host with what was asked of it last.
type life struct {
	*host
	writes bool
	last   int
}

func (l *life) images() {
	bad, exits := sick(), enginetest.Behaviour{Exits: true, ExitAfter: time.Second, ExitCode: 2}
	for i, b := range []enginetest.Behaviour{healthy(), healthy(), healthy(), bad, exits} {
		if l.writes {
			b.Volumes = []string{"/data"}
		}
		l.image("shop:"+tags[i], b)
	}
}

func (l *life) push(tag int) {
	l.last = tag
	l.host.push(fmt.Sprintf("v1.%d.0", l.pushes), web(tags[tag]))
}

func (l *life) live(a act) {
	ctx := l.t.Context()
	switch a.what {
	default:
		l.push(a.tag)
	case 5:
		_ = l.loop.Retry(ctx, "shop", "ann")
	case 6:
		_, _ = l.loop.Rollback(ctx, reconcile.RollbackRequest{Stack: "shop", Actor: "ann", Hold: a.tag == 0})
	case 7:
		_ = l.loop.Unpin(ctx, "shop", "ann")
	case 8:
		_ = l.loop.Suspend(ctx, reconcile.SuspendRequest{Stack: "shop", Actor: "ann", For: 30 * time.Second})
	case 9:
		l.record.die(true)
		l.stop()
		l.record.die(false)
		l.boot()
	case 10:
		l.engine.RestartDaemon()
	case 11:
		if c := l.observe().Containers; len(c) > 0 {
			l.engine.Kill(c[a.tag%len(c)].ID)
		}
	case 12:
		_ = l.drill(reconcile.DrillRequest{DataCompatible: true, Gaps: true})
	case 13:
		_ = l.loop.Abort(ctx, "shop", "ann")
	}
	l.pass(a.then)
}

// open counts the releases that have not ended.
func (l *life) open() int {
	l.record.mu.Lock()
	defer l.record.mu.Unlock()
	n := 0
	for _, r := range l.record.releases {
		if r.Running() {
			n++
		}
	}
	return n
}

// end lets everything settle and says what is wrong.
func (l *life) end() string {
	_ = l.loop.Unpin(l.t.Context(), "shop", "ann")
	l.pass(30 * time.Minute)
	rows, running := strings.Count(l.history(), "\n"), l.host.running()
	l.looks.Store(0)
	l.pass(2 * time.Hour)
	var healthy []string
	for _, c := range l.observe().Containers {
		if c.Running() {
			healthy = append(healthy, c.ImageRef)
		}
	}
	for _, v := range l.engine.Volumes() {
		if n := l.engine.MaxWriters(v); n > 1 {
			return fmt.Sprintf("%d writers of %s", n, v)
		}
	}
	switch {
	case l.last < 3 && !held(l.host) && (len(healthy) != 1 || healthy[0] != "shop:"+tags[l.last]):
		return fmt.Sprintf("%v runs, want %s", healthy, tags[l.last])
	case len(healthy) != 1 || strings.HasSuffix(healthy[0], "bad") || strings.HasSuffix(healthy[0], "exits"):
		return fmt.Sprintf("%v runs, want something good", healthy)
	case running != l.host.running():
		return "what runs changes still: " + running
	case strings.Count(l.history(), "\n") != rows:
		return "releases are still made"
	case l.looks.Load() > 1500:
		return fmt.Sprintf("%d looks in two hours", l.looks.Load())
	case l.writes && len(l.engine.Volumes()) != 1:
		return fmt.Sprintf("%d volumes", len(l.engine.Volumes()))
	}
	return ""
}

func held(h *host) bool { return h.status().Sync == reconcile.SyncHeld }
