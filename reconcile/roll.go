package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// roll carries the plan out, and plans what is left anew for as long as only the budget,
// or a failure that is tolerated, has ended it. All of it is one release.
func (a *attempt) roll(ctx context.Context, plan Plan) Result {
	var (
		all   = Result{Containers: map[Replica]string{}, Gates: map[string]string{}, Hooks: map[string]string{}}
		pause backoff
	)
	for {
		result := a.execute(ctx, plan, a.release)
		all.Begun, all.Done, all.Failure, all.Err = result.Begun, result.Done, result.Failure, result.Err
		maps.Copy(all.Containers, result.Containers)
		maps.Copy(all.Gates, result.Gates)
		maps.Copy(all.Hooks, result.Hooks)
		if result.Served.After(all.Served) {
			all.Served = result.Served
		}
		goesOn, err := a.relent(ctx, result)
		if err == nil && goesOn {
			pause.next(a.loop.Now(), budgetPause)
			plan, err = a.replan(ctx, &pause)
		}
		switch {
		case err != nil:
			all.Failure, all.Err = nil, err
			return all
		case !goesOn:
			return all
		}
	}
}

// relent reports whether what has ended an execution is no end of the release. What it
// does about it may fail.
func (a *attempt) relent(ctx context.Context, result Result) (bool, error) {
	if result.Failure == nil {
		if !errors.Is(result.Err, ErrBudget) {
			return false, nil
		}
		a.waitsFor(result.Err)
		return true, nil
	}
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil {
		return false, nil // it counts as what it is
	}
	a.lack(result)
	t, asked := a.toleranceOf(result.Failure, observed)
	if !asked {
		return false, nil
	}
	if !t.tolerates() {
		result.Failure.Reason += "; " + t.String()
		return false, nil
	}
	return true, a.forgive(ctx, result.Failure, t)
}

// replan is the plan for what is left, made as soon as the budget allows one. Hooks that
// were begun are not in it.
func (a *attempt) replan(ctx context.Context, pause *backoff) (Plan, error) {
	if err := a.recallHooks(ctx); err != nil {
		return Plan{}, err
	}
	for {
		if err := sleep(ctx, pause.until.Sub(a.loop.Now())); err != nil {
			return Plan{}, err
		}
		observed, err := a.look(ctx)
		if err != nil {
			return Plan{}, err
		}
		plan, err := NewPlan(a.desired(), observed, a.loop.Now())
		if plan.Short != nil {
			err = plan.Short // it is this release's all the same
		}
		if !errors.Is(err, ErrBudget) {
			if err == nil {
				a.waitsFor(nil)
			}
			return plan, err
		}
		a.waitsFor(err)
		pause.next(a.loop.Now(), budgetPause)
	}
}

// waitsFor shows what the release waits for; nothing for any error but the budget's. It
// gives up its place among the stacks that are worked on: this may take long.
func (a *attempt) waitsFor(err error) {
	var waiting *Waiting
	text := a.release.underWay()
	if errors.As(err, &waiting) {
		text = waiting.Reason
		a.yield()
	}
	a.loop.mu.Lock()
	a.stack.show(SyncProgressing, text, a.loop.Now())
	a.loop.mu.Unlock()
	if waiting != nil && text != a.told {
		a.told = text
		a.loop.Emit(a.event(EventWaiting, SeverityWarning, text))
	}
}

// yield gives up the attempt's place among the stacks that are worked on: what is left
// of it is to wait.
func (a *attempt) yield() {
	if a.leave != nil {
		a.leave()
	}
}

// underWay is what the status says of a stack while r runs.
func (r Release) underWay() string { return fmt.Sprintf("release #%d %s: %s", r.Seq, r.Kind, r.Reason) }
