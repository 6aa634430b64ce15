package rollout

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"davit/reconcile"
)

func TestAGateDoesNotWaitForTheEnginesOwnHealthCheck(t *testing.T) {
	for _, ready := range []time.Duration{0, 60 * ms, 700 * ms, 3 * sec, 20 * sec} {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted()
			s.lives["web/1"] = healthyAfter(30 * sec)
			s.examine = func(_ context.Context, age time.Duration) error {
				if age < ready {
					return &reconcile.HookFailure{ExitCode: 1}
				}
				return nil
			}
			begun := time.Now()
			r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Hour})
			if took := time.Since(begun); r.Err != nil || r.Failure != nil || took < ready || took > ready+checkupMax+pollMax {
				t.Errorf("ready after %v, noticed after %v: %+v", ready, took, r)
			}
			if r.Gates["web"] == "" || len(s.exams) > 22 {
				t.Errorf("verdict %q after examinations at %v", r.Gates["web"], s.exams)
			}
		})
	}
}

func TestAContainerThatStartsAgainInItsGateIsExaminedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		begun := time.Now()
		again := begun.Add(5 * sec)
		starting := func(time.Duration) reconcile.Container {
			c := reconcile.Container{State: reconcile.Running, Health: reconcile.HealthStarting, Started: begun}
			if !time.Now().Before(again) {
				c.Started, c.Restarts = again, 1
			}
			return c
		}
		s.lives["web/1"] = starting
		s.examine = func(context.Context, time.Duration) error {
			if time.Now().Before(again) {
				return errors.New("nobody may look now")
			}
			return nil
		}
		r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Hour})
		if took := time.Since(begun); r.Err != nil || r.Failure != nil || took > 5*sec+checkupMax+pollMax {
			t.Errorf("started again after 5s, ready after %v: %+v", took, r)
		}
	})
}

func TestAHealthCheckThatHangsOrMayNotBeRunIsLeftToTheEngine(t *testing.T) {
	for name, examine := range map[string]func(context.Context, time.Duration) error{
		"an engine that runs no commands": func(context.Context, time.Duration) error { return errors.New("exec is forbidden by the proxy") },
		"a command that does not end":     func(context.Context, time.Duration) error { return &reconcile.HookFailure{TimedOut: 5 * sec} },
		"an engine that does not answer": func(ctx context.Context, _ time.Duration) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.lives["web/1"], s.examine = healthyAfter(30*sec), examine
				begun := time.Now()
				r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Hour})
				if took := time.Since(begun); r.Err != nil || r.Failure != nil || took < 30*sec || took > 30*sec+pollMax {
					t.Errorf("healthy after 30s, noticed after %v: %+v", took, r)
				}
				if len(s.exams) != 1 {
					t.Errorf("examined at %v", s.exams)
				}
			})
		})
	}
}

func TestAnEngineThatIsBusyIsAskedForAnExaminationAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"] = healthyAfter(30 * sec)
		s.examine = func(_ context.Context, age time.Duration) error {
			if age < 3*sec {
				return reconcile.ErrEngineUnavailable
			}
			return nil
		}
		begun := time.Now()
		r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Hour})
		if took := time.Since(begun); r.Err != nil || r.Failure != nil || took > 3*sec+checkupMax+pollMax {
			t.Errorf("able to look after 3s, noticed after %v: %+v", took, r)
		}
	})
}

func TestNobodyExaminesWhatTheEngineHasAVerdictOf(t *testing.T) {
	for name, live := range map[string]life{
		"healthy": healthyAfter(0), "unhealthy": unhealthyAfter(0), "without a health check": running,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.lives["web/1"] = live
				s.examine = func(context.Context, time.Duration) error { return nil }
				gate(t, executor(s), s, reconcile.Gate{StableFor: 5 * sec, Timeout: time.Minute})
				if len(s.exams) > 0 {
					t.Errorf("examined at %v", s.exams)
				}
			})
		})
	}
}

func TestAnExaminationThatFailsIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"] = healthyAfter(time.Hour)
		r := gate(t, executor(s), s, reconcile.Gate{Timeout: time.Minute})
		if r.Failure == nil {
			t.Fatalf("no failure: %v", r.Err)
		}
		equal(t, "reason", r.Failure.Reason, "web/1 did not become healthy within 1m: its health is starting")
	})
}
