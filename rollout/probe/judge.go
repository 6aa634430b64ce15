// Package probe looks at containers: Judge says when to look and what follows from what
// was seen, a Dialer looks.
//
// The semantics are those of Kubernetes. A startup probe suspends the others until it has
// succeeded once, and a container whose startup probe fails has failed. A readiness probe
// makes a container ready and unready, and never stops it; a liveness probe says that one
// has to be replaced. One success and three failures in a row change a verdict where
// nothing else is declared. A new start of the container begins everything anew.
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
	Liveness
)

func (k Kind) String() string { return [...]string{"startup", "readiness", "liveness"}[k] }

// Judge judges one container by its probes. It has no clock: it is told the time of
// each look.
type Judge struct {
	probes compose.Probes
	// began is false before the container's first start.
	began bool
	// courses are those of the probes, by kind.
	courses [Liveness + 1]course
}

// NewJudge is a judge of a container that has not started.
func NewJudge(p compose.Probes) *Judge { return &Judge{probes: p} }

// Begin forgets everything: the container started at that time, by the clock of the
// looks.
func (j *Judge) Begin(started time.Time) {
	j.began = true
	for k := range j.courses {
		j.courses[k] = begun(j.Probe(Kind(k)), started)
	}
	// A container that is alive has nothing to prove: only failures are of interest.
	j.courses[Liveness].calm = true
}

// Next is the probe to look with next, and when; false where none is to be.
func (j *Judge) Next() (kind Kind, at time.Time, ok bool) {
	for k := range j.courses {
		if !j.turn(Kind(k)) {
			continue
		}
		if due := j.courses[k].due(); !ok || due.Before(at) {
			kind, at, ok = Kind(k), due, true
		}
	}
	return kind, at, ok
}

// Probe is the probe of that kind, nil where there is none.
func (j *Judge) Probe(k Kind) *compose.Probe {
	return [...]*compose.Probe{j.probes.Startup, j.probes.Readiness, j.probes.Liveness}[k]
}

// Take takes the answer to a look that was begun at that time into account. An answer
// that comes after the probe's turn is over is dropped.
func (j *Judge) Take(k Kind, at time.Time, a Answer) {
	if j.turn(k) {
		j.courses[k].take(at, a)
	}
}

// Pass notes that a look that was begun at that time could not be made, which says
// nothing of the container.
func (j *Judge) Pass(k Kind, at time.Time) {
	if j.turn(k) {
		j.courses[k].pass(at)
	}
}

// turn reports whether it is the turn of the probes of that kind: a startup probe that
// has succeeded never comes again, and suspends the others before.
func (j *Judge) turn(k Kind) bool {
	return j.began && j.Probe(k) != nil && (k == Startup) == j.starting()
}

func (j *Judge) starting() bool {
	return j.probes.Startup != nil && j.courses[Startup].verdict != Passing
}

// Ready reports whether the container can serve, as far as probes say.
func (j *Judge) Ready() bool {
	if !j.began || j.starting() {
		return false
	}
	return j.probes.Readiness == nil || j.courses[Readiness].verdict == Passing
}

// Verdict is what the startup probe says until it has succeeded, and the readiness probe
// after that, with the output of its last failure since its last success.
func (j *Judge) Verdict() (k Kind, v Verdict, output string) {
	k = Readiness
	if j.starting() {
		k = Startup
	}
	c := j.courses[k]
	return k, c.verdict, c.output
}

// Doomed reports whether the container has to be replaced, and by what probe: liveness,
// or a startup that failed after all.
func (j *Judge) Doomed() (k Kind, output string, doomed bool) {
	k = Liveness
	if j.starting() {
		k = Startup
	}
	c := j.courses[k]
	return k, c.output, c.verdict == Failing
}
