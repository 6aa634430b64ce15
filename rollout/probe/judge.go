// Package probe looks at containers: Judge says when to look and what follows from what
// was seen, a Dialer looks.
//
// The semantics are those of Kubernetes. A startup probe suspends the others until it has
// succeeded once, and a container whose startup probe fails has failed. A readiness probe
// makes a container ready and unready, and never stops it. One success and three failures
// in a row change a verdict where nothing else is declared. A new start of the container
// begins everything anew.
//
// Unlike there, a container that has never answered is looked at more often than its
// interval says. Such early looks can only succeed: failures count once per interval.
package probe

import (
	"time"

	"davit/compose"
)

// Kind is what a probe is for.
type Kind int

const (
	Startup Kind = iota
	Readiness
)

func (k Kind) String() string { return [...]string{"startup", "readiness"}[k] }

// Judge judges one container by its probes. It has no clock: it is told the time of
// each look.
type Judge struct {
	probes compose.Probes
	// began is false before the container's first start.
	began              bool
	startup, readiness course
}

// NewJudge is a judge of a container that has not started.
func NewJudge(p compose.Probes) *Judge { return &Judge{probes: p} }

// Begin forgets everything: the container started at that time, by the clock of the
// looks.
func (j *Judge) Begin(started time.Time) {
	j.began = true
	j.startup, j.readiness = begun(j.probes.Startup, started), begun(j.probes.Readiness, started)
}

// Next is the probe to look with next, and when; false where none is to be.
func (j *Judge) Next() (kind Kind, at time.Time, ok bool) {
	c := j.current()
	if !j.began || c.probe == nil {
		return 0, time.Time{}, false
	}
	return j.kind(), c.due(), true
}

// Probe is the probe of that kind, nil where there is none.
func (j *Judge) Probe(k Kind) *compose.Probe {
	if k == Startup {
		return j.probes.Startup
	}
	return j.probes.Readiness
}

// Take takes the answer to a look that was begun at that time into account. An answer
// that comes after the probe's turn is over is dropped.
func (j *Judge) Take(k Kind, at time.Time, a Answer) {
	if c := j.current(); j.began && k == j.kind() && c.probe != nil {
		c.take(at, a)
	}
}

// Pass notes that a look that was begun at that time could not be made, which says
// nothing of the container.
func (j *Judge) Pass(k Kind, at time.Time) {
	if c := j.current(); j.began && k == j.kind() && c.probe != nil {
		c.pass(at)
	}
}

// kind is whose turn it is: a startup probe that has succeeded never comes again.
func (j *Judge) kind() Kind {
	if j.probes.Startup != nil && j.startup.verdict != Passing {
		return Startup
	}
	return Readiness
}

func (j *Judge) current() *course {
	if j.kind() == Startup {
		return &j.startup
	}
	return &j.readiness
}

// Ready reports whether the container can serve, as far as probes say.
func (j *Judge) Ready() bool {
	if !j.began || j.kind() == Startup {
		return false
	}
	return j.probes.Readiness == nil || j.readiness.verdict == Passing
}

// Verdict is that of the probe whose turn it is, with the kind of it and the output of its
// last failure since its last success.
func (j *Judge) Verdict() (k Kind, v Verdict, output string) {
	c := j.current()
	return j.kind(), c.verdict, c.output
}
