package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"davit/reconcile"
)

// scenario is a random plan and random misfortune.
type scenario struct {
	plan     reconcile.Plan
	takes    map[string]time.Duration
	fails    map[string]error
	sick     map[string]time.Duration // gates that turn unhealthy
	cancel   time.Duration            // 0 for never
	parallel int
}

func drawScenario(t *rapid.T) scenario {
	c := scenario{
		takes: map[string]time.Duration{}, fails: map[string]error{}, sick: map[string]time.Duration{},
		parallel: rapid.IntRange(1, 5).Draw(t, "parallel"),
	}
	moment := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.IntRange(0, 4).Draw(t, "seconds")) * time.Second
	})
	if rapid.IntRange(0, 3).Draw(t, "cancel") == 0 {
		c.cancel = moment.Draw(t, "cancelled") + time.Second/2
	}
	var steps []reconcile.Step
	for i := range rapid.IntRange(0, 14).Draw(t, "steps") {
		s := c.drawStep(t, i+1, moment)
		for id := 1; id <= i; id++ {
			if rapid.IntRange(0, 3).Draw(t, "edge") == 0 {
				s.After = append(s.After, id)
			}
		}
		steps = append(steps, s)
	}
	c.plan = plan(steps...)
	return c
}

func (c scenario) drawStep(t *rapid.T, id int, moment *rapid.Generator[time.Duration]) reconcile.Step {
	kind := rapid.SampledFrom([]reconcile.StepKind{reconcile.StepStart, reconcile.StepStop, reconcile.StepRemove,
		reconcile.StepGate, reconcile.StepMonitor, reconcile.StepDelay}).Draw(t, "kind")
	target := fmt.Sprintf("web/%d", id)
	s := on(kind, target)
	takes := moment.Draw(t, "takes")
	bad := rapid.IntRange(0, 5).Draw(t, "bad") == 0
	switch kind {
	case reconcile.StepDelay:
		s.Wait, s.Service = takes, target // which is how it is told from others
	case reconcile.StepMonitor:
		s.Gate = reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: takes}
	case reconcile.StepGate:
		s.Gate = reconcile.Gate{StableFor: takes, Timeout: time.Minute}
	default:
		call := kind.String() + " " + target
		c.takes[call] = takes
		if bad {
			c.fails[call] = rapid.SampledFrom([]error{errExecFormat, reconcile.ErrEngineUnavailable}).Draw(t, "error")
		}
		return s
	}
	if bad {
		c.sick[target] = moment.Draw(t, "sick")
	}
	return s
}

// trace is what an execution left behind.
type trace struct {
	engine *scripted
	result reconcile.Result
	events []reconcile.Event
	// active is the number of calls that were still running afterwards.
	active int
}

func (c scenario) play(t *testing.T) (out trace) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.takes, s.fails = c.takes, c.fails
		for _, step := range c.plan.Steps {
			s.born[step.Replica.ID] = time.Now()
		}
		for id, d := range c.sick {
			s.lives[id] = unhealthyAfter(d)
		}
		ctx := t.Context()
		if c.cancel > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.cancel)
			defer cancel()
		}
		j := job(c.plan)
		j.Report = func(e reconcile.Event) { out.events = append(out.events, e) }
		e := New(Options{Engine: s, Journal: s, Parallel: c.parallel})
		out.result = e.Execute(ctx, j)
		out.engine, out.active = s, s.active
		if len(e.bells.waiting) > 0 {
			out.active++
		}
	})
	return out
}

func TestNoExecutionBreaksItsOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawScenario(rt)
		// What is asserted about the bubble is asserted outside of it: a rapid
		// failure is a panic that must reach rapid.
		tr := c.play(t)
		for _, violation := range c.violations(tr) {
			rt.Error(violation)
		}
	})
}

func (c scenario) violations(tr trace) (out []string) {
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	done := map[int]bool{}
	for _, id := range tr.result.Done {
		if done[id] {
			complain("step %d is done twice", id)
		}
		done[id] = true
	}
	if tr.active > 0 {
		complain("something still runs")
	}
	if tr.engine.peak > c.parallel {
		complain("%d changes at once, %d allowed", tr.engine.peak, c.parallel)
	}
	complete := len(done) == len(c.plan.Steps)
	if ended := tr.result.Failure != nil || tr.result.Err != nil; ended == complete {
		complain("%d of %d done, failure %v, error %v", len(done), len(c.plan.Steps), tr.result.Failure, tr.result.Err)
	}
	if tr.result.Failure != nil && tr.result.Err != nil {
		complain("both a failure and an error")
	}
	out = append(out, c.orderViolations(tr, done)...)
	return append(out, c.callViolations(tr, done)...)
}

// orderViolations reads the events: what began before its prerequisites were
// done, or after something had failed.
func (c scenario) orderViolations(tr trace, done map[int]bool) (out []string) {
	finished := map[string]bool{}
	failed := ""
	steps := map[string]reconcile.Step{}
	for _, s := range c.plan.Steps {
		steps[key(s)] = s
	}
	for _, e := range tr.events {
		name, _, _ := strings.Cut(e.Message, ":")
		s := steps[name]
		switch e.Kind {
		case reconcile.EventStepStarted:
			if failed != "" {
				out = append(out, fmt.Sprintf("%s began after %s failed", name, failed))
			}
			for _, id := range s.After {
				if before := c.plan.Steps[id-1]; !finished[key(before)] {
					out = append(out, fmt.Sprintf("%s began before %s succeeded", name, key(before)))
				}
			}
		case reconcile.EventStepDone:
			finished[name] = true
			if !done[s.ID] {
				out = append(out, name+" was reported as done, but is not among Done")
			}
		case reconcile.EventStepFailed:
			failed = name
		}
	}
	return out
}

func key(s reconcile.Step) string { return s.Kind.String() + " " + s.Target() }

// callViolations compares what the engine saw with what the plan allows.
func (c scenario) callViolations(tr trace, done map[int]bool) (out []string) {
	intended := map[string]int{}
	for i, e := range tr.engine.journal {
		intended[e.Action] = tr.engine.at[i]
	}
	ended := map[int]int{}
	for _, call := range tr.engine.calls {
		s := c.stepOf(call.what)
		ended[s.ID] = call.end
		if at, ok := intended[call.what]; !ok || at >= call.began {
			out = append(out, call.what+" was not announced in the journal")
		}
		if ok := call.err == nil; ok != done[s.ID] {
			out = append(out, fmt.Sprintf("%s ended with %v, done is %v", call.what, call.err, done[s.ID]))
		}
	}
	for _, call := range tr.engine.calls {
		for _, id := range c.stepOf(call.what).After {
			before := c.plan.Steps[id-1]
			end, called := ended[id]
			if !done[id] || before.Kind.Mutates() && (!called || end >= call.began) {
				out = append(out, fmt.Sprintf("the engine got %q before %q had succeeded", call.what, key(before)))
			}
		}
		for _, other := range tr.engine.calls {
			last := ended[c.stepOf(other.what).ID] == other.end // it is asked once more before it counts as failed
			if last && other.err != nil && call.begun.After(other.ended) {
				out = append(out, fmt.Sprintf("the engine got %q after %q had failed", call.what, other.what))
			}
		}
	}
	if c.cancel > 0 && errors.Is(tr.result.Err, context.DeadlineExceeded) {
		for _, call := range tr.engine.calls {
			if first := tr.engine.calls[0].begun; call.begun.Sub(first) > c.cancel {
				out = append(out, call.what+" began after the cancellation")
			}
		}
	}
	return out
}

func (c scenario) stepOf(what string) reconcile.Step {
	i := slices.IndexFunc(c.plan.Steps, func(s reconcile.Step) bool { return key(s) == what })
	return c.plan.Steps[i]
}
