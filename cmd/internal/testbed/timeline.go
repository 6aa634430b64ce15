package testbed

import (
	"fmt"
	"strings"
	"time"
)

// What happens to a container, as far as serving goes.
type change int

const (
	started change = iota
	ready          // healthy, or started where nothing is checked
	unready
	signalled // asked to stop: it still runs but can be counted on no more
	ended
)

func (c change) String() string {
	return [...]string{"started", "ready", "unready", "signalled", "ended"}[c]
}

// moment is one change of one container.
type moment struct {
	at        time.Time
	what      change
	container string // ID
	name      string
	service   string
	volumes   []string // that it may write to
}

// Timeline is what happened to a stack's containers, in order. It is made from the
// engine's events, not from samples, so that nothing between two looks is missed.
type Timeline []moment

// situation is the state at one moment.
type situation struct {
	running map[string]moment // by container
	ready   map[string]bool
}

func (s *situation) apply(m moment) {
	switch m.what {
	case started:
		s.running[m.container] = m
		delete(s.ready, m.container)
	case ready:
		s.ready[m.container] = true
	case unready, signalled:
		delete(s.ready, m.container)
	case ended:
		delete(s.running, m.container)
		delete(s.ready, m.container)
	}
}

// walk replays the timeline and visits the situation at from and after every
// change since.
func (t Timeline) walk(from time.Time, visit func(situation)) {
	s := situation{running: map[string]moment{}, ready: map[string]bool{}}
	reached := false
	for _, m := range t {
		if !reached && !m.at.Before(from) {
			reached = true
			visit(s)
		}
		s.apply(m)
		if reached {
			visit(s)
		}
	}
	if !reached {
		visit(s)
	}
}

// MinReady is the lowest number of ready containers of a service since from.
func (t Timeline) MinReady(service string, from time.Time) int {
	lowest := -1
	t.walk(from, func(s situation) {
		n := 0
		for id, m := range s.running {
			if m.service == service && s.ready[id] {
				n++
			}
		}
		if lowest < 0 || n < lowest {
			lowest = n
		}
	})
	return lowest
}

// MaxRunning is the highest number of running containers of a service since from.
func (t Timeline) MaxRunning(service string, from time.Time) int {
	highest := 0
	t.walk(from, func(s situation) {
		n := 0
		for _, m := range s.running {
			if m.service == service {
				n++
			}
		}
		highest = max(highest, n)
	})
	return highest
}

// MaxWriters is the highest number of running containers that could write to one
// volume at the same time since from.
func (t Timeline) MaxWriters(from time.Time) int {
	highest := 0
	t.walk(from, func(s situation) {
		writers := map[string]int{}
		for _, m := range s.running {
			for _, v := range m.volumes {
				writers[v]++
				highest = max(highest, writers[v])
			}
		}
	})
	return highest
}

// Starts counts the starts of a service's containers since from.
func (t Timeline) Starts(service string, from time.Time) int {
	n := 0
	for _, m := range t {
		if m.what == started && m.service == service && !m.at.Before(from) {
			n++
		}
	}
	return n
}

// String is the timeline for a person, one change a line.
func (t Timeline) String() string {
	var b strings.Builder
	for _, m := range t {
		fmt.Fprintf(&b, "%s %-9s %s\n", m.at.Format("15:04:05.000"), m.what, m.name)
	}
	return b.String()
}
