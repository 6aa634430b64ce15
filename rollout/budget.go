package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"davit/reconcile"
)

// budgetPatience is how long a step waits for its budget before the execution ends:
// whoever plans anew may know how to make up for what was lost.
const budgetPatience = 10 * time.Second

// ledger is what the budgets of one execution have given out.
type ledger struct {
	// granted are the steps that may begin, asked those that are being looked at, and
	// since when they want to.
	granted, asked map[int]bool
	since          map[int]time.Time
	// claimed are the containers that are on their way out.
	claimed map[string]bool
	sights  chan sight
}

func newLedger() *ledger {
	return &ledger{granted: map[int]bool{}, asked: map[int]bool{}, since: map[int]time.Time{}, claimed: map[string]bool{}, sights: make(chan sight)}
}

// sight is which of the containers that a budget counts are ready.
type sight struct {
	step  int
	ready map[string]bool
	err   error
}

// solvent reports whether the step's budget, if it has one, was asked and agreed.
func (l *ledger) solvent(s reconcile.Step) bool { return s.Budget.Floor == 0 || l.granted[s.ID] }

// ask looks at what the budgets count of the steps that could begin otherwise.
func (x *execution) ask(abortable context.Context, group *sync.WaitGroup) {
	l := x.ledger
	for _, id := range x.steps.ready {
		step := x.steps.steps[id]
		if l.solvent(step) || l.asked[id] {
			continue
		}
		if !slices.ContainsFunc(step.Budget.Leaving, func(r reconcile.Replica) bool { return !l.claimed[r.ID] }) {
			l.granted[id] = true // it was, to the step before
			continue
		}
		first := l.since[id].IsZero()
		if first {
			l.since[id] = time.Now()
		}
		l.asked[id] = true
		counted := x.counted(step.Budget)
		group.Go(func() {
			var err error
			if !first {
				err = pause(abortable, pollMax)
			}
			seen := sight{step: id, err: err}
			if err == nil {
				seen.ready, seen.err = x.executor.ready(abortable, counted)
			}
			l.sights <- seen
		})
	}
}

// counted are the containers that the budget counts by now.
func (x *execution) counted(b reconcile.Budget) []string {
	var out []string
	for _, k := range b.Counted {
		id := k.Replica.ID
		if id == "" {
			id = x.created[named(k.Replica)]
		}
		if id != "" && (k.Since == 0 || slices.Contains(x.done, k.Since)) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// ready looks at the containers. One that is gone is not ready.
func (e *Executor) ready(ctx context.Context, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, id := range ids {
		looking, cancel := context.WithTimeout(ctx, lookLimit)
		c, err := e.engine.Inspect(looking, id)
		cancel()
		if err != nil && !errors.Is(err, reconcile.ErrContainerMissing) {
			return out, fmt.Errorf("look at container %s: %w", id, err)
		}
		out[id] = err == nil && isReady(c)
	}
	return out, nil
}

// weigh lets the step begin if enough is left without what it takes. It is the only
// place that gives anything out, so that two steps cannot get the same.
func (x *execution) weigh(s sight) {
	l, step := x.ledger, x.steps.steps[s.step]
	delete(l.asked, s.step)
	if len(x.causes) > 0 {
		return
	}
	stay, total, free := 0, 0, true
	for id, ready := range s.ready {
		switch leaves := slices.ContainsFunc(step.Budget.Leaving, func(r reconcile.Replica) bool { return r.ID == id }); {
		case !ready || l.claimed[id]:
		case leaves:
			total, free = total+1, false
		default:
			total, stay = total+1, stay+1
		}
	}
	if s.err == nil && (free || stay >= step.Budget.Floor) {
		l.granted[s.step] = true
		for _, r := range step.Budget.Leaving {
			l.claimed[r.ID] = true
		}
		return
	}
	why := &reconcile.Waiting{Reason: step.Service + ": " + step.Budget.Short(total), Err: reconcile.ErrBudget}
	switch waited := time.Since(l.since[s.step]); {
	case waited < budgetPatience:
	case s.err != nil:
		x.end(cause{step: step, err: failed(step, s.err)})
	default:
		x.end(cause{step: step, err: why})
	}
}
