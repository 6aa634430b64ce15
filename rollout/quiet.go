package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"davit/reconcile"
)

// DefaultProgressTimeout is for plans that do not say how long they may go
// without a step ending.
const DefaultProgressTimeout = 10 * time.Minute

// quiet measures how long no step of the plan has ended, of whatever service: an engine that
// hangs, where progress is about the replicas of one service that do not become ready.
type quiet struct {
	limit time.Duration
	timer *time.Timer
}

func newQuiet(limit time.Duration) *quiet {
	if limit <= 0 {
		limit = DefaultProgressTimeout
	}
	return &quiet{limit: limit, timer: time.NewTimer(limit)}
}

// broken starts the measurement anew: a step ended.
func (q *quiet) broken() { q.timer.Reset(q.limit) }

func (q *quiet) stop() { q.timer.Stop() }

// stalled ends an execution that makes no progress. What is still gating is to
// blame; if nothing is, the engine hangs.
func (x *execution) stalled() {
	var gating, calling []task
	for _, id := range slices.Sorted(maps.Keys(x.running)) {
		t := x.running[id]
		switch t.step.Kind {
		case reconcile.StepDelay, reconcile.StepMonitor, reconcile.StepHold, reconcile.StepDrain, reconcile.StepShift, reconcile.StepPull, reconcile.StepBuild, reconcile.StepHook:
			// Each ends at a time of its own, which may well be later.
			x.quiet.broken()
			return
		case reconcile.StepGate:
			gating = append(gating, t)
		default:
			calling = append(calling, t)
		}
	}
	why := "no progress for " + span(x.quiet.limit)
	var c cause
	switch {
	case len(gating)+len(calling) == 0:
		x.quiet.broken()
		return // a budget is asked, which ends by itself
	case len(x.causes) > 0:
		return // it is ending already, and waits for calls that have limits
	case len(gating) > 0:
		c.step, c.container = gating[0].step, gating[0].id
		c.err = failed(c.step, excused(c.step, &fault{reason: why + ": still waiting for " + targets(gating)}))
	default:
		c.step = calling[0].step
		c.err = fmt.Errorf("%s: the engine has not finished %s: %w", why, targets(calling), reconcile.ErrEngineUnavailable)
	}
	x.end(c)
}

// targets names what tasks act on.
func targets(tasks []task) string {
	var names []string
	for _, t := range tasks {
		names = append(names, t.step.Target())
	}
	return strings.Join(names, ", ")
}
