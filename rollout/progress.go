package rollout

import (
	"maps"
	"slices"
	"time"

	"davit/reconcile"
)

// progress measures, for every service with a gate under way, how long none of its
// replicas has become ready. A gate that has time left ends with it all the same: what
// many replicas fail at one after the other takes no longer than what one does.
type progress struct {
	timer *time.Timer
	// since is when a replica of the service became ready last, or was waited for again: a
	// canary's hold, or the delay between batches, is no lack of progress.
	since map[string]time.Time
	// waited is how long that had lasted when the execution ended early, by service.
	waited map[string]time.Duration
}

func newProgress() *progress {
	p := &progress{timer: time.NewTimer(time.Hour), since: map[string]time.Time{}}
	p.timer.Stop()
	return p
}

// expected reports whether the step is one whose success is progress.
func expected(s reconcile.Step) bool {
	return s.Kind == reconcile.StepGate && s.Gate.Progress > 0 && !s.Gate.Bystander
}

// attend begins to measure for a gate that begins, unless another one of its service is
// under way.
func (x *execution) attend(s reconcile.Step) {
	waited := false
	for id, t := range x.running {
		waited = waited || id != s.ID && expected(t.step) && t.step.Service == s.Service
	}
	if expected(s) && !waited {
		x.progress.since[s.Service] = time.Now()
	}
	x.rearm()
}

// made notes that a gate was passed.
func (x *execution) made(s reconcile.Step) {
	if expected(s) {
		x.progress.since[s.Service] = time.Now()
	}
	x.rearm()
}

// waited is how long replicas were waited for until c ended the execution. Of one that
// became ready and did not stay so, that is since its start.
func (x *execution) waited(c cause) map[string]time.Duration {
	out := map[string]time.Duration{}
	take := func(s reconcile.Step) {
		if expected(s) {
			out[s.Service] = max(c.at.Sub(x.progress.since[s.Service]), 0)
		}
	}
	if begun, known := x.started[c.container]; known && c.step.Kind == reconcile.StepMonitor {
		out[c.step.Service] = c.at.Sub(begun)
	}
	take(c.step)
	for _, t := range x.running {
		take(t.step)
	}
	return out
}

// rearm sets the timer to when the first service runs out of time.
func (x *execution) rearm() {
	x.progress.timer.Stop()
	var first time.Time
	for _, t := range x.running {
		if due := x.progress.since[t.step.Service].Add(t.step.Gate.Progress); expected(t.step) && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	if !first.IsZero() {
		x.progress.timer.Reset(max(time.Until(first), time.Millisecond))
	}
}

// overdue ends the execution for a service that makes no progress.
func (x *execution) overdue() {
	for _, id := range slices.Sorted(maps.Keys(x.running)) {
		t := x.running[id]
		limit := t.step.Gate.Progress
		if expected(t.step) && time.Since(x.progress.since[t.step.Service]) >= limit && len(x.causes) == 0 {
			x.end(cause{step: t.step, container: t.id, err: &fault{
				reason: "no replica of " + t.step.Service + " has become ready for " + span(limit) + ": still waiting for " + t.step.Target()}})
			return
		}
	}
	x.rearm()
}
