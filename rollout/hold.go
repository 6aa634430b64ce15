package rollout

import (
	"context"
	"slices"
	"sync"
	"time"

	"davit/reconcile"
)

// hold carries a StepHold out: it returns what the holder says, or that one of the canary's
// containers did not last, with its ID.
func (e *Executor) hold(ctx context.Context, job reconcile.Job, t task) outcome {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	broken := make(chan outcome, len(t.to))
	step := t.step
	step.Hold.Canary = slices.Clone(step.Hold.Canary)
	for i, id := range t.to {
		step.Hold.Canary[i].ID = id
		watched := t
		watched.id, watched.step.Replica = id, step.Hold.Canary[i]
		watching.Go(func() {
			if _, err := e.watch(ctx, watched); err != nil {
				broken <- outcome{id: id, err: err}
			}
		})
	}
	answer := make(chan ruled, 1)
	watching.Go(func() { answer <- rule(ctx, job, step) })
	select {
	case o := <-broken:
		return o
	case r := <-answer:
		return r.outcome(step)
	}
}

// ruled is how a holder answered.
type ruled struct {
	reconcile.Ruling
	err error
}

func (r ruled) outcome(step reconcile.Step) outcome {
	if r.err == nil && r.Failed {
		r.err = &fault{reason: r.Reason + ", at " + step.Hold.String()}
	}
	return outcome{verdict: r.Reason, err: r.err}
}

// rule asks the job's holder; without one, it waits for what is left of the hold.
func rule(ctx context.Context, job reconcile.Job, step reconcile.Step) ruled {
	if job.Holder == nil {
		left := step.Hold.For
		if !step.Hold.Since.IsZero() {
			left -= time.Since(step.Hold.Since)
		}
		return ruled{err: pause(ctx, left)}
	}
	r, err := job.Holder.Hold(ctx, step)
	if err != nil && ctx.Err() != nil {
		err = errAbandoned
	} else if err != nil {
		err = failed(step, err)
	}
	return ruled{r, err}
}
