package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/reconcile"
)

// handOver carries a StepShift out. A load balancer that cannot be told is waited for,
// for as long as the plan may go without progress: whoever is to leave has not been
// stopped, and serves on. What it refuses to take is the content's fault.
func (e *Executor) handOver(abortable context.Context, job reconcile.Job, t task) outcome {
	limit := job.Plan.ProgressTimeout
	if limit <= 0 {
		limit = DefaultProgressTimeout
	}
	for begun := time.Now(); ; {
		o := e.change(abortable, job, t)
		var b *reconcile.BalancerError
		switch {
		case !errors.As(o.err, &b):
			return o
		case !b.Away:
			o.err = &fault{reason: fmt.Sprintf("%s could not be handed over: %v", t.step.Service, b)}
			return o
		}
		t.waits(b.Error())
		err := e.answers(abortable, b.Balancer.Name, begun.Add(limit))
		switch {
		case err == nil: // once more
		case abortable.Err() != nil:
			o.err = errAbandoned
			return o
		default:
			o.err = &fault{reason: fmt.Sprintf("%s could not be handed over within %s: %v", t.step.Service, span(limit), b)}
			return o
		}
	}
}

// errNoAnswer ends a wait.
var errNoAnswer = errors.New("no answer in time")

// answers returns once the load balancer can be told something, or it is too late.
func (e *Executor) answers(ctx context.Context, name string, until time.Time) error {
	for {
		if err := pause(ctx, pollMax); err != nil {
			return err
		}
		if !time.Now().Before(until) {
			return errNoAnswer
		}
		table, err := e.edge.Look(ctx)
		if b, _ := table.Balancer(name); err == nil && b.Away == "" {
			return nil
		}
	}
}
