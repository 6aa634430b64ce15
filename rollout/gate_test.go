package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"davit/reconcile"
)

// gate runs one gate of web/1, which has just been started.
func gate(t *testing.T, e *Executor, s *scripted, g reconcile.Gate) reconcile.Result {
	t.Helper()
	s.set(func() { s.born["web/1"] = time.Now() })
	return e.Execute(t.Context(), job(plan(gated(on(reconcile.StepGate, "web/1"), g))))
}

func TestAGateNoticesReadinessWithoutEvents(t *testing.T) {
	for _, ready := range []time.Duration{0, 60 * ms, 700 * ms, 3 * sec, 41 * sec} {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted()
			s.lives["web/1"] = healthyAfter(ready)
			begun := time.Now()
			r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Hour})
			if took := time.Since(begun); r.Err != nil || r.Failure != nil || took < ready || took > ready+pollMax {
				t.Errorf("ready after %v, noticed after %v: %+v", ready, took, r)
			}
		})
	}
}

func TestAnEventWakesAGateAtOnce(t *testing.T) {
	for _, id := range []string{"web/1", ""} {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted()
			e := executor(s)
			const ready = 33333 * ms
			s.lives["web/1"] = healthyAfter(ready)
			time.AfterFunc(ready, func() { e.Changed(id) })
			begun := time.Now()
			r := gate(t, e, s, reconcile.Gate{Timeout: time.Hour})
			equal(t, "failure", r.Failure, (*reconcile.Failure)(nil))
			equal(t, "noticed after", time.Since(begun), ready)
			equal(t, "listeners left", len(e.bells.waiting), 0)
		})
	}
}

func TestOtherContainersDoNotWakeAGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		e := executor(s)
		s.lives["web/1"] = healthyAfter(sec)
		for range 1000 {
			time.AfterFunc(500*ms, func() { e.Changed("web/2") })
		}
		gate(t, e, s, reconcile.Gate{Timeout: time.Hour})
		if s.looks["web/1"] > 12 {
			t.Errorf("%d looks in a second", s.looks["web/1"])
		}
	})
}

func TestAStormOfEventsIsOneLook(t *testing.T) {
	var b bells
	rung, stop := b.listen("web/1")
	for range 1000 {
		b.ring("web/1")
	}
	equal(t, "rings", len(rung), 1)
	stop()
	b.ring("web/1") // nobody listens
	equal(t, "listeners left", len(b.waiting), 0)
}

func TestAGateEndsOnTheMomentItsConditionHasLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		begun := time.Now()
		r := gate(t, executor(s), s, reconcile.Gate{StableFor: 5123 * ms, Timeout: time.Minute})
		equal(t, "gates", r.Gates, map[string]string{"web": "running for 5.1s"})
		equal(t, "time", time.Since(begun), 5123*ms)
	})
}

func TestAGateIsNotBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"] = healthyAfter(time.Minute)
		gate(t, executor(s), s, reconcile.Gate{Timeout: time.Hour})
		if n := s.looks["web/1"]; n > 130 {
			t.Errorf("%d looks in a minute", n)
		}
	})
}

func TestAFailedGateSaysWhyAndShowsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.exitsAfter("web/1", 1300*ms, 2)
		s.logs["web/1"] = "cannot open config"
		begun := time.Now()
		r := gate(t, executor(s), s, reconcile.Gate{StableFor: 5 * sec, Timeout: time.Minute})
		if r.Failure == nil {
			t.Fatalf("no failure: %v", r.Err)
		}
		equal(t, "reason", r.Failure.Reason, "web/1 exited with code 2 after 1.3s")
		equal(t, "logs", r.Failure.Logs, "cannot open config")
		equal(t, "container", r.Failure.Container, "web/1")
		if took := time.Since(begun); took > 2*sec {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestAFailureWhoseLogCannotBeReadIsStillAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.exitsAfter("web/1", 0, 2)
		s.evidence = errors.New("driver none")
		r := gate(t, executor(s), s, reconcile.Gate{})
		if r.Failure == nil || !strings.Contains(r.Failure.Logs, "driver none") {
			t.Errorf("failure is %+v", r.Failure)
		}
	})
}

func TestAContainerRemovedByHandIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"] = healthyAfter(time.Hour)
		time.AfterFunc(3*sec, func() {
			s.set(func() { s.fails["inspect web/1"] = fmt.Errorf("inspect: %w", reconcile.ErrContainerMissing) })
		})
		r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Minute})
		if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrContainerMissing) {
			t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
		}
		equal(t, "gates", r.Gates, map[string]string{})
	})
}

func TestAGateWaitsForAnEngineThatIsAway(t *testing.T) {
	for _, c := range []struct {
		name   string
		outage time.Duration
		err    error
	}{
		{"that comes back", 25 * sec, nil},
		{"up to a limit", time.Hour, reconcile.ErrEngineUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.lives["web/1"] = healthyAfter(40 * sec)
				lost := time.AfterFunc(10*sec, func() { s.set(func() { s.away = true }) })
				back := time.AfterFunc(10*sec+c.outage, func() { s.set(func() { s.away = false }) })
				defer lost.Stop()
				defer back.Stop()
				begun := time.Now()
				r := gate(t, executor(s), s, reconcile.Gate{Timeout: 20 * sec})
				if r.Failure != nil || !errors.Is(r.Err, c.err) {
					t.Fatalf("failure is %+v, error %v", r.Failure, r.Err)
				}
				if took := time.Since(begun); c.err != nil && (took < 39*sec || took > 41*sec) {
					t.Errorf("gave up after %v", took)
				}
			})
		})
	}
}

func TestAnEngineThatAnswersNonsenseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.fails["inspect web/1"] = errors.New("invalid character '<'")
		r := gate(t, executor(s), s, reconcile.Gate{Timeout: sec})
		if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrEngineUnavailable) || !strings.Contains(r.Err.Error(), "invalid character") {
			t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
		}
	})
}

// hanging is an engine that takes a request and never answers.
type hanging struct{ *scripted }

func (h hanging) Inspect(ctx context.Context, _ string) (reconcile.Container, error) {
	<-ctx.Done()
	return reconcile.Container{}, ctx.Err()
}

func TestAnEngineThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hanging{newScripted()}
		begun := time.Now()
		r := gate(t, New(Options{Engine: s, Journal: s}), s.scripted, reconcile.Gate{Timeout: sec})
		if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrEngineUnavailable) {
			t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
		}
		equal(t, "time", time.Since(begun), outageLimit)
	})
}

func TestACancelledGateDoesNotWaitForAHangingEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hanging{newScripted()}
		ctx, cancel := context.WithTimeout(t.Context(), 2*sec)
		defer cancel()
		begun := time.Now()
		r := New(Options{Engine: s, Journal: s}).Execute(ctx, job(plan(on(reconcile.StepGate, "web/1"))))
		equal(t, "error", r.Err, context.DeadlineExceeded)
		equal(t, "time", time.Since(begun), 2*sec)
	})
}

func TestAMonitorCountsFromItsOwnBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.born["web/1"] = time.Now().Add(-time.Hour)
		begun := time.Now()
		r := executor(s).Execute(t.Context(), job(plan(
			gated(on(reconcile.StepMonitor, "web/1"), reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: 10 * sec}))))
		equal(t, "error", r.Err, nil)
		equal(t, "time", time.Since(begun), 10*sec)
		equal(t, "gates", r.Gates, map[string]string{})
	})
}

func TestAMonitorThatSeesACrashFailsTheContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.born["web/1"] = time.Now()
		s.lives["web/1"] = func(age time.Duration) reconcile.Container {
			if age < 4*sec {
				return reconcile.Container{State: reconcile.Running}
			}
			return reconcile.Container{State: reconcile.Running, Restarts: 1, Started: time.Now()}
		}
		r := executor(s).Execute(t.Context(), job(plan(
			gated(on(reconcile.StepMonitor, "web/1"), reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: 10 * sec}))))
		if r.Failure == nil || r.Failure.Step.Kind != reconcile.StepMonitor {
			t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
		}
	})
}

func TestABystanderThatIsNotReadyIsWaitedForAndNobodysFault(t *testing.T) {
	for name, life := range map[string]life{"unhealthy": unhealthyAfter(sec), "never ready": healthyAfter(time.Hour)} {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted()
			s.lives["web/1"] = life
			r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Minute, Bystander: true})
			var waiting *reconcile.Waiting
			if r.Failure != nil || !errors.As(r.Err, &waiting) {
				t.Errorf("%s: failure %+v, error %v", name, r.Failure, r.Err)
			}
		})
	}
}

// An engine that is killed and started at once may answer every look, the next one late and
// with what it has done to the containers that outlived it.
func TestWhatAnEngineThatWasBackAtOnceHasEndedIsNobodysFault(t *testing.T) {
	ended := func(age time.Duration) reconcile.Container {
		if age < 4*sec {
			return reconcile.Container{State: reconcile.Running}
		}
		return reconcile.Container{State: reconcile.Exited, Finished: time.Now()}
	}
	monitor := gated(on(reconcile.StepMonitor, "web/1"), reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: 10 * sec})
	completion := gated(on(reconcile.StepGate, "web/1"), reconcile.Gate{Kind: reconcile.GateCompleted, Timeout: time.Minute})
	for _, c := range []struct {
		name   string
		step   reconcile.Step
		lost   time.Duration
		outage time.Duration
		fault  bool
		err    error
	}{
		{"what was watched", monitor, 4*sec - ms, 2 * ms, false, reconcile.ErrEngineUnavailable},
		{"what was watched, though it is not heard yet", monitor, sec, time.Minute, false, reconcile.ErrEngineUnavailable},
		{"but not where it is never heard", monitor, -2 * time.Minute, time.Hour, true, nil},
		{"what was to complete, and may not have", completion, 4*sec - ms, 2 * ms, false, reconcile.ErrEngineUnavailable},
		{"but what was seen to have outlived it is not excused", monitor, 2 * sec, ms, true, nil},
		{"nor made to complete once more", completion, 2 * sec, ms, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				e := executor(s)
				time.AfterFunc(c.lost, e.Lost)
				time.AfterFunc(c.lost+c.outage, e.Recovered)
				time.Sleep(-c.lost)
				synctest.Wait()
				s.born["web/1"], s.lives["web/1"] = time.Now(), ended
				r := e.Execute(t.Context(), job(plan(c.step)))
				if (r.Failure != nil) != c.fault || !errors.Is(r.Err, c.err) {
					t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
				}
			})
		})
	}
}

func TestAContainerThatEndsWhileItsEngineGoesDownIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"] = hookLife(sec, 0)
		s.fails["answer"] = errors.New("connection refused")
		r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Minute, StableFor: 5 * sec})
		if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrEngineUnavailable) || !strings.Contains(r.Err.Error(), "exited with code 0") {
			t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
		}
	})
}
