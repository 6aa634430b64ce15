package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// takeDown takes a stack's containers and networks away, never its volumes. It
// returns when they are gone; r says on whose word. The end is on record: whatever
// comes to run under the name afterwards is somebody else's.
func (l *Loop) takeDown(ctx context.Context, stack string, r Release) error {
	observed, err := l.Engine.Observe(ctx)
	if err != nil {
		return err
	}
	how := r.Reason
	r.Stack, r.Kind, r.Reason, r.Started = stack, KindRemove, "removed "+how, l.Now()
	l.mu.Lock()
	history := l.stacks[stack].history
	if last := newest(history); last != nil && last.Kind == KindRemove && last.Outcome == Interrupted && last.Reason == r.Reason {
		r.Seq, r.Started = last.Seq, last.Started // it goes on
	}
	l.mu.Unlock()
	if r, err = l.History.Begin(ctx, r); err != nil {
		return fmt.Errorf("record the removal of stack %s: %w", stack, err)
	}
	l.mirror(r)
	result := l.Executor.Execute(ctx, Job{Plan: removal(stack, l.Instance, r.Reason, history, observed), Release: r, Report: l.Emit})
	switch {
	case result.Failure != nil:
		err = fmt.Errorf("remove stack %s: %s", stack, result.Failure.Reason)
	case result.Err != nil:
		err = fmt.Errorf("remove stack %s: %w", stack, result.Err)
	}
	if err := errors.Join(err, l.endRemoval(ctx, r, err)); err != nil {
		return err
	}
	l.Emit(Event{At: l.Now(), Stack: stack, Kind: EventRemoved, Severity: SeverityInfo,
		Message: "containers and networks removed " + how + "; volumes and history are kept"})
	return l.retag(ctx, stack, nil)
}

// endRemoval records how the removal r ended, failed being nil for well.
func (l *Loop) endRemoval(ctx context.Context, r Release, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	r.Outcome, r.Finished = Succeeded, l.Now()
	if failed != nil {
		r.Outcome, r.Failure = Interrupted, l.Scrub(failed.Error())
	}
	err := l.History.Finish(ctx, r)
	l.mirror(r)
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stacks[r.Stack].unfinished = &r
	return fmt.Errorf("record the end of the removal of stack %s: %w", r.Stack, err)
}

// mirror puts the removal r into the loop's mirror of the history.
func (l *Loop) mirror(r Release) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stacks[r.Stack]
	if len(s.history) > 0 && s.history[0].Seq == r.Seq {
		s.history = slices.Clone(s.history)
		s.history[0] = r
		return
	}
	s.history = append([]Release{r}, s.history...)
}

// removes reports whether r took the stack away.
func (r Release) removes() bool { return r.Kind == KindRemove && r.Outcome == Succeeded }

// removal is the plan that removes everything of a stack but its data.
func removal(stack, instance, why string, history []Release, o Observed) Plan {
	p := takingAway(stack, instance, o)
	var removed []int
	for _, c := range p.owned {
		var after []int
		if c.Running() || c.State == Restarting {
			after = []int{p.stopAsMade(c, history, why)}
		}
		removed = append(removed, p.add(Step{Kind: StepRemove, Service: c.Service, Replica: replicaOf(c), Reason: why}, after...))
	}
	for _, n := range o.Networks {
		if n.Stack == stack && n.Instance == instance {
			p.add(Step{Kind: StepPrune, Resource: n.Name, Network: n.ID, Reason: why}, slices.Clone(removed)...)
		}
	}
	return p.plan
}
