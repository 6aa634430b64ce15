package reconcile

import (
	"errors"
	"slices"
	"time"

	"davit/compose"
)

// neglectGrace is how long what has ended is left to the engine, which may be about to
// start it again.
const neglectGrace = 10 * time.Second

// errNeglected ends work that is planned anew.
var errNeglected = errors.New("a service beside a canary has lost a replica")

// tend ends work that does nothing but hold a canary while a service which the release
// leaves as it is has lost a replica: drift of what is worked on is not corrected, and a
// hold may last for days. What is planned anew makes up for it and goes on with the hold.
// It returns when to look again, next at the latest. The caller holds l.mu.
func (l *Loop) tend(now, next time.Time) time.Time {
	for _, s := range l.stacks {
		if s.work == nil || !s.work.holds() || !l.balanced(s) {
			continue
		}
		switch since, found := l.neglected(s); {
		case !found:
		case now.Before(since.Add(neglectGrace)):
			next = sooner(next, since.Add(neglectGrace))
		case now.Before(s.tending.until):
			next = sooner(next, s.tending.until)
		default:
			if now.Sub(s.tending.until) > time.Hour {
				s.tending = backoff{}
			}
			s.tending.next(now, lastRetry)
			s.work.cancel(errNeglected)
		}
	}
	return next
}

// holds reports whether a canary is held, and nothing else is under way.
func (w *work) holds() bool {
	if w.course == nil {
		return false
	}
	// What is taken down has no project any more.
	if p := w.course.plan.Project; p == nil || p.Settings.Drift != compose.DriftCorrect {
		return false
	}
	holds := false
	for id := range w.course.under {
		switch s := w.course.plan.Steps[id-1]; {
		case s.Kind == StepHold && !s.Hold.Batch:
			holds = true
		case s.Kind != StepMonitor:
			return false
		}
	}
	return holds
}

// balanced reports whether all that share what comes to the canaries of s are fit: what is
// planned while a stable replica is away gives everything to the others.
func (l *Loop) balanced(s *stack) bool {
	if l.observed.Edge == nil || l.observed.Edge.Away != "" {
		return false
	}
	for service := range s.work.canaries {
		r, _ := l.observed.Edge.Route(s.name, service)
		fit := func(m Member) bool {
			return !m.Draining.IsZero() || slices.ContainsFunc(l.observed.Containers, func(c Container) bool { return c.ID == m.Container && c.fit() })
		}
		if slices.ContainsFunc(r.Members, func(m Member) bool { return !fit(m) }) {
			return false
		}
	}
	return true
}

// neglected finds a service that the release under way leaves as it is and that has fewer
// replicas than the record says, and since when, as far as anybody knows.
func (l *Loop) neglected(s *stack) (since time.Time, found bool) {
	now := current(s.history)
	if now == nil {
		return time.Time{}, false
	}
	for _, declared := range s.work.course.plan.Project.Services {
		rec, ok := now.Service(declared.Name)
		same := ok && rec.Spec == declared.Hash && rec.Image.Same(s.work.course.images[declared.Name])
		stopped := slices.ContainsFunc(s.controls.Stops, func(x Stop) bool { return x.Service == declared.Name })
		stale := !l.observed.At.After(s.work.course.moved[declared.Name])
		if !same || stopped || stale || declared.OneShot || !s.healing[declared.Name].GivenUp.IsZero() {
			continue
		}
		there := 0
		var last time.Time
		for _, c := range l.observed.ownedBy(s.name, l.Instance) {
			switch may := (&unit{Service: declared}).mayComplete(); {
			case c.Service != declared.Name || c.Spec != rec.Spec || c.ImageID != rec.Image.ID:
			case c.Running(), c.State == Restarting, c.StopByHand, may && c.State == Exited && c.ExitCode == 0:
				there++
			case c.Finished.After(last):
				last = c.Finished
			}
		}
		if there < min(declared.Replicas, len(rec.Containers)) {
			if l.observed.Answering.After(last) {
				last = l.observed.Answering
			}
			return last, true
		}
	}
	return time.Time{}, false
}
