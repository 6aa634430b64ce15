package reconcile

import (
	"context"
	"fmt"
	"slices"
)

// takeDown takes a stack's containers and networks away, never its volumes. It
// returns when they are gone; how says on whose word.
func (l *Loop) takeDown(ctx context.Context, stack, how string) error {
	observed, err := l.Engine.Observe(ctx)
	if err != nil {
		return err
	}
	job := Job{Plan: removal(stack, l.Instance, "removed "+how, observed), Report: l.Emit}
	result := l.Executor.Execute(ctx, job)
	if result.Failure != nil {
		return fmt.Errorf("remove stack %s: %s", stack, result.Failure.Reason)
	}
	if result.Err != nil {
		return fmt.Errorf("remove stack %s: %w", stack, result.Err)
	}
	l.Emit(Event{At: l.Now(), Stack: stack, Kind: EventRemoved, Severity: SeverityInfo,
		Message: "containers and networks removed " + how + "; volumes and history are kept"})
	return l.retag(ctx, stack, nil)
}

// removal is the plan that removes everything of a stack but its data.
func removal(stack, instance, why string, o Observed) Plan {
	p := &planner{plan: Plan{Stack: stack}, stopped: map[string]int{}, owned: o.ownedBy(stack, instance)}
	var removed []int
	for _, c := range p.owned {
		var after []int
		if c.Running() || c.State == Restarting {
			after = []int{p.stop(c, why)}
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
