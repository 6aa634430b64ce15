package engine

import (
	"testing"
	"time"

	"davit/reconcile"
)

func TestWhoStoppedAContainer(t *testing.T) {
	started := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	killed := started.Add(time.Hour)
	exited := reconcile.Container{ID: "a", State: reconcile.Exited, Started: started, Finished: killed.Add(time.Second)}
	with := func(edit func(*reconcile.Container)) reconcile.Container {
		c := exited
		edit(&c)
		return c
	}
	for name, c := range map[string]struct {
		did  func(stops)
		of   reconcile.Container
		want bool
	}{
		"nobody":                     {func(stops) {}, exited, false},
		"somebody, docker stop":      {func(s stops) { s.killed("a", killed, true); s.completed("a") }, exited, true},
		"somebody, a signal":         {func(s stops) { s.killed("a", killed, true) }, exited, true},
		"somebody, a signal of old":  {func(s stops) { s.killed("a", killed.Add(-time.Hour/2), true) }, exited, false},
		"nobody, after a reload":     {func(s stops) { s.killed("a", killed, false) }, exited, false},
		"somebody, a signal of ours": {func(s stops) { s.killed("a", killed, false); s.completed("a") }, exited, true},
		"a process of before":        {func(s stops) { s.completed("a") }, exited, false},
		"this process":               {func(s stops) { s.stop("a"); s.killed("a", killed, true); s.completed("a") }, exited, false},
		"somebody, then this one":    {func(s stops) { s.killed("a", killed, true); s.stop("a") }, exited, false},
		"somebody, before its start": {func(s stops) { s.killed("a", started.Add(-time.Second), true); s.completed("a") }, exited, false},
		"nobody, it was started":     {func(s stops) { s.killed("a", killed, true); s.start("a") }, exited, false},
		"nobody, it runs": {func(s stops) { s.killed("a", killed, true) },
			with(func(c *reconcile.Container) { c.State = reconcile.Running }), false},
		"somebody's other container": {func(s stops) { s.killed("b", killed, true) }, exited, false},
		"an engine that went down":   {func(s stops) { s.killed("a", killed, true); s.completed("a"); s.doubt() }, exited, false},
		"somebody, and then the engine went down": {func(s stops) {
			s.killed("a", killed, true)
			s.completed("a")
			s.confirm("a")
			s.doubt()
		}, exited, true},
		"somebody, and it is gone": {func(s stops) { s.killed("a", killed, true); s.keepOnly(nil) }, exited, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStops()
			c.did(s)
			if got := s.ended(c.of); got != c.want {
				t.Errorf("by hand: %t, want %t", got, c.want)
			}
		})
	}
}

func TestWhoIsAboutToEndAContainer(t *testing.T) {
	started := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	killed := started.Add(time.Hour)
	for name, c := range map[string]struct {
		did   func(stops)
		state reconcile.ContainerState
		after time.Duration
		want  bool
		grace time.Duration
	}{
		"nobody":                      {func(stops) {}, reconcile.Running, 0, false, 0},
		"somebody, with time":         {func(s stops) { s.killed("a", killed, true) }, reconcile.Running, 5 * time.Minute, true, 5 * time.Minute},
		"somebody, for all time":      {func(s stops) { s.killed("a", killed, true) }, reconcile.Running, time.Hour, true, -time.Second},
		"somebody, past its time":     {func(s stops) { s.killed("a", killed, true) }, reconcile.Running, 6 * time.Minute, false, 5 * time.Minute},
		"somebody":                    {func(s stops) { s.killed("a", killed, true) }, reconcile.Running, 30 * time.Second, true, 0},
		"somebody, in vain":           {func(s stops) { s.killed("a", killed, true) }, reconcile.Running, time.Minute, false, 0},
		"somebody, and it has ended":  {func(s stops) { s.killed("a", killed, true) }, reconcile.Exited, time.Second, false, 0},
		"nobody, it was a reload":     {func(s stops) { s.killed("a", killed, false) }, reconcile.Running, time.Second, false, 0},
		"nobody, it was started anew": {func(s stops) { s.killed("a", started.Add(-time.Second), true) }, reconcile.Running, 0, false, 0},
		"this process":                {func(s stops) { s.stop("a"); s.killed("a", killed, true) }, reconcile.Running, time.Second, false, 0},
	} {
		s := newStops()
		c.did(s)
		if got := s.ending(reconcile.Container{ID: "a", State: c.state, Started: started, Grace: c.grace}, killed.Add(c.after)); got != c.want {
			t.Errorf("%s: by hand: %t, want %t", name, got, c.want)
		}
	}
}
