package rollout_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// edged is a host on which the edge serves web/1 at port 80.
type edged struct {
	*host
	edge *enginetest.Edge
	desk *reconcile.Switchboard
}

var port80 = []compose.PublishedPort{{Network: "tcp", Host: 80, Target: 8080}}

// onEdge runs f with such a host, on which nothing may be stopped that is busy.
func onEdge(t *testing.T, f func(t *testing.T, h edged)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := edged{host: newHost(t, enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second})}
		h.edge = enginetest.NewEdge(h.engine)
		h.desk = reconcile.NewSwitchboard(h.edge)
		h.settle()
		h.executor = rollout.New(rollout.Options{Engine: h.engine, Edge: h.desk, Journal: memoryless{}})
		h.listen(t)
		defer func() { h.settle() }()
		r := h.run(t, reconcile.Step{Kind: reconcile.StepShift, Shift: reconcile.Shift{Ports: port80, To: []reconcile.Replica{h.oldReplica()}}})
		must(t, r.Err)
		f(t, h)
		for _, wrong := range h.edge.Wrongs() {
			t.Error(wrong)
		}
	})
}

func (h edged) oldReplica() reconcile.Replica {
	return reconcile.Replica{Service: "web", Number: 1, ID: h.old}
}

// run carries out steps, each after the one before.
func (h edged) run(t *testing.T, steps ...reconcile.Step) reconcile.Result {
	t.Helper()
	return h.executor.Execute(t.Context(), h.job(steps...))
}

func (h edged) job(steps ...reconcile.Step) reconcile.Job {
	for i := range steps {
		steps[i].ID, steps[i].Service = i+1, "web"
		if i > 0 {
			steps[i].After = []int{i}
		}
	}
	return reconcile.Job{Plan: reconcile.Plan{Stack: "shop", Project: h.project, Steps: steps}, Release: reconcile.Release{Stack: "shop", Seq: 2}}
}

// drain drains web/1 and stops it.
func (h edged) drain(limits compose.Drain) []reconcile.Step {
	return []reconcile.Step{
		{Kind: reconcile.StepDrain, Replica: h.oldReplica(), Drain: limits},
		{Kind: reconcile.StepStop, Replica: h.oldReplica()},
	}
}

var limits = compose.Drain{Timeout: 30 * time.Second, Streams: 5 * time.Minute}

func TestADrainEndsWhenNothingIsLeft(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Work = 7 * time.Second
		begun := time.Now()
		must(t, h.run(t, h.drain(limits)...).Err)
		if took := time.Since(begun); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestADrainEndsWhenItsTimeIsOver(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Work = time.Hour
		begun := time.Now()
		must(t, h.run(t, h.drain(limits)...).Err)
		check(t, "time", time.Since(begun), 5*time.Minute)
	})
}

// A container that stops while an edge has not cut off its connections yet ends them as
// if all were said.
func TestWhatIsLeftIsCutOffBeforeItsContainerIsStopped(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Work, h.edge.Late = time.Hour, 300*time.Millisecond
		begun := time.Now()
		must(t, h.run(t, h.drain(limits)...).Err) // an edge that was busy at the stop is told of by onEdge
		if took := time.Since(begun); took < 5*time.Minute+300*time.Millisecond || took > 5*time.Minute+400*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAnEdgeThatDoesNotCutOffIsNotWaitedForForever(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Work, h.edge.Late = time.Hour, time.Hour
		begun := time.Now()
		must(t, h.run(t, h.drain(limits)[:1]...).Err)
		if took := time.Since(begun); took < 5*time.Minute+time.Second || took > 5*time.Minute+2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestADrainThatBeganBeforeKeepsItsTime(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Work = time.Hour
		begun := time.Now()
		_, err := h.desk.Change(t.Context(), func(table reconcile.EdgeTable) reconcile.EdgeTable {
			return table.Drained(h.old, limits, time.Now())
		})
		must(t, err)
		time.Sleep(4 * time.Minute) // while no agent ran
		must(t, h.run(t, h.drain(compose.Drain{Timeout: time.Hour, Streams: time.Hour})...).Err)
		check(t, "time", time.Since(begun), 5*time.Minute)
	})
}

func TestAnEdgeThatIsAwayIsWaitedForAsLongAsItCouldBeBusy(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Work = time.Second
		h.edge.Die()
		begun := time.Now()
		must(t, h.run(t, reconcile.Step{Kind: reconcile.StepDrain, Replica: h.oldReplica(), Drain: limits}).Err)
		check(t, "time", time.Since(begun), 5*time.Minute)
	})
}

func TestAnEdgeThatComesBackIsAskedAgain(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Die()
		time.AfterFunc(10*time.Second, h.edge.Revive)
		begun := time.Now()
		must(t, h.run(t, h.drain(limits)...).Err)
		if took := time.Since(begun); took < 11*time.Second || took > 13*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWhatTheEdgeDoesNotKnowHasNothingToFinish(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Lose()
		begun := time.Now()
		must(t, h.run(t, h.drain(limits)...).Err)
		check(t, "time", time.Since(begun), time.Duration(0))
	})
}

func TestADrainIsGivenUpForANewerCommit(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.edge.Work = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		begun := time.Now()
		r := h.executor.Execute(ctx, h.job(h.drain(limits)...))
		check(t, "time", time.Since(begun), 10*time.Second)
		check(t, "done", len(r.Done), 0)
		check(t, "states", h.states(t), "old running always")
	})
}

func TestNothingIsHandedToAContainerThatHasEnded(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		h.engine.StopByHand(h.old)
		r := h.run(t, reconcile.Step{Kind: reconcile.StepShift, Shift: reconcile.Shift{Ports: port80, To: []reconcile.Replica{h.oldReplica()}}})
		if r.Failure == nil || !strings.Contains(r.Failure.Reason, "web/1 exited with code 0 before it was handed anything") {
			t.Errorf("%+v", r)
		}
	})
}

func TestAShiftToAPortThatIsTakenIsNobodysFault(t *testing.T) {
	onEdge(t, func(t *testing.T, h edged) {
		other := compose.PublishedPort{Network: "tcp", Host: 81, Target: 8080}
		h.edge.Taken = []reconcile.HostPort{reconcile.HostPortOf(other)}
		r := h.run(t, reconcile.Step{Kind: reconcile.StepShift, Shift: reconcile.Shift{Ports: []compose.PublishedPort{other}}})
		if r.Failure != nil || r.Err == nil || !strings.Contains(r.Err.Error(), "the edge cannot open host port 81: address already in use") {
			t.Errorf("%+v", r)
		}
	})
}
