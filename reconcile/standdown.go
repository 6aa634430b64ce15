package reconcile

import (
	"context"
	"fmt"
	"time"
)

// standDown stops what a failed release left running where there is no good one to
// return to: a first deploy goes back to nothing, and its containers are kept for
// inspection. The caller holds l.mu.
func (l *Loop) standDown(ctx context.Context, s *stack, in Situation, v Verdict, now time.Time) time.Time {
	switch {
	case leftRunning(s.name, l.Instance, s.history, l.observed).Empty():
		l.announce(s, v, now)
		return time.Time{}
	case now.Before(s.backoff.until):
		return s.backoff.until
	}
	l.start(ctx, s, in, v, "stand down")
	return time.Time{}
}

// standDown carries it out. No release begins: the failed one is the record.
func (a *attempt) standDown(ctx context.Context) error {
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil {
		return err
	}
	plan := leftRunning(a.stack.name, a.loop.Instance, a.in.History, observed)
	result := a.execute(ctx, plan, *a.verdict.Failed)
	if result.Failure != nil {
		return fmt.Errorf("stop what release #%d left: %s", a.verdict.Failed.Seq, result.Failure.Reason)
	}
	return result.Err
}

// leftRunning is the plan that stops the containers of failed releases.
func leftRunning(stack, instance string, history []Release, o Observed) Plan {
	p := takingAway(stack, instance, o)
	failed := failedContainers(history)
	for _, c := range p.owned {
		if has(failed, c.ID) && (c.Running() || c.State == Restarting) {
			p.stopAsMade(c, history, "failed; kept for inspection")
		}
	}
	return p.plan
}
