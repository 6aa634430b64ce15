package rollout

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"davit/reconcile"
)

// leaving is a stop that leaves floor of the counted replicas ready.
func leaving(id string, floor int, counted ...string) reconcile.Step {
	s := on(reconcile.StepStop, id)
	s.Budget = reconcile.Budget{Floor: floor, Of: len(counted), Leaving: []reconcile.Replica{s.Replica}}
	for _, c := range counted {
		s.Budget.Counted = append(s.Budget.Counted, reconcile.Counted{Replica: on(reconcile.StepStop, c).Replica})
	}
	return s
}

func TestTwoStepsAtOnceDoNotGetTheSamePlaceInABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		r := executor(s).Execute(t.Context(), job(plan(
			leaving("web/1", 2, "web/1", "web/2", "web/3"), leaving("web/2", 2, "web/1", "web/2", "web/3"))))
		var waiting *reconcile.Waiting
		if !errors.Is(r.Err, reconcile.ErrBudget) || !errors.As(r.Err, &waiting) || waiting.Reason != "web: budget: 2 of 3 ready, needs 2" {
			t.Errorf("%v", r.Err)
		}
		equal(t, "calls", len(s.calls), 1)
	})
}

func TestABudgetIsWaitedForBeforeAnythingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/2"] = healthyAfter(4 * sec)
		s.born["web/2"] = time.Now()
		r := executor(s).Execute(t.Context(), job(plan(leaving("web/1", 1, "web/1", "web/2"))))
		equal(t, "error", r.Err, error(nil))
		equal(t, "calls", len(s.calls), 1)
	})
}

func TestWhatIsNotReadyMayGoWhateverTheBudgetSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"], s.lives["web/2"] = unhealthyAfter(0), unhealthyAfter(0)
		r := executor(s).Execute(t.Context(), job(plan(leaving("web/1", 2, "web/1", "web/2"))))
		equal(t, "error", r.Err, error(nil))
		equal(t, "calls", len(s.calls), 1)
	})
}

func TestAReplicaCountsFromItsGateOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/2"] = healthyAfter(2 * sec)
		s.born["web/2"] = time.Now()
		stop := leaving("web/1", 1, "web/1", "web/2")
		stop.Budget.Counted[1].Since = 1
		begun := time.Now()
		r := executor(s).Execute(t.Context(), job(plan(
			gated(on(reconcile.StepGate, "web/2"), reconcile.Gate{StableFor: 5 * sec, Timeout: time.Minute}), stop)))
		equal(t, "error", r.Err, error(nil))
		if took := time.Since(begun); took < 7*sec {
			t.Errorf("it counted after %v", took)
		}
	})
}

func TestABudgetOfWhichTheEngineSaysNothingEndsTheExecution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.away = true
		r := executor(s).Execute(t.Context(), job(plan(leaving("web/1", 1, "web/1", "web/2"))))
		if !errors.Is(r.Err, reconcile.ErrEngineUnavailable) {
			t.Errorf("%v", r.Err)
		}
		equal(t, "calls", len(s.calls), 0)
	})
}

func TestWatchingIsToldOnceNothingElseIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		told := 0
		var at time.Duration
		begun := time.Now()
		j := job(plan(
			gated(on(reconcile.StepGate, "web/1"), reconcile.Gate{StableFor: 5 * sec, Timeout: time.Minute}),
			gated(on(reconcile.StepMonitor, "web/2"), reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: time.Hour})))
		j.Watching = func() { told, at = told+1, time.Since(begun) }
		s.born["web/1"] = time.Now()
		executor(s).Execute(t.Context(), j)
		equal(t, "told", told, 1)
		if at < 5*sec || at > 10*sec {
			t.Errorf("told after %v", at)
		}
	})
}

func TestOneReplicaAfterTheOtherGetsNoMoreTimeThanTheRolloutHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"], s.lives["web/2"] = healthyAfter(20*sec), healthyAfter(time.Hour)
		s.born["web/1"], s.born["web/2"] = time.Now(), time.Now()
		g := reconcile.Gate{Timeout: time.Hour, Progress: 30 * sec}
		begun := time.Now()
		r := executor(s).Execute(t.Context(), job(plan(gated(on(reconcile.StepGate, "web/1"), g), gated(on(reconcile.StepGate, "web/2"), g))))
		if r.Failure == nil {
			t.Fatalf("no failure: %v", r.Err)
		}
		equal(t, "reason", r.Failure.Reason, "no replica of web has become ready for 30s: still waiting for web/2")
		if took := time.Since(begun).Round(sec); took != 50*sec && took != 51*sec {
			t.Errorf("it took %v", took)
		}
	})
}
