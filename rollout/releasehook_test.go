package rollout

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

// preDeploy is the step of a hook of web.
func preDeploy(id string) reconcile.Step {
	return reconcile.Step{Kind: reconcile.StepHook, Replica: reconcile.Replica{Service: "web", ID: id}, Service: "web", Reason: "pre_deploy 1/1",
		Hook: reconcile.Hook{Phase: reconcile.HookPreDeploy, Count: 1, Timeout: time.Minute, ServiceHook: types.ServiceHook{Command: []string{"/app", "migrate"}}}}
}

// hookLife is a container that is created, and ends so long after its start.
func hookLife(takes time.Duration, code int) life {
	return func(age time.Duration) reconcile.Container {
		switch {
		case age > 24*time.Hour: // never started
			return reconcile.Container{State: reconcile.Created}
		case age < takes:
			return reconcile.Container{State: reconcile.Running}
		}
		return reconcile.Container{State: reconcile.Exited, ExitCode: code, Finished: time.Now().Add(takes - age)}
	}
}

func TestAHookOfAReleaseIsMadeStartedAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/0"], s.logs["web/0"] = hookLife(3*time.Second, 0), "one table, two columns"
		j := job(plan(preDeploy(""), on(reconcile.StepStop, "web/1", 1)))
		value := "kept"
		j.Plan.Project.Services[0].Config.Environment = types.MappingWithEquals{"OWN": &value}
		j.Plan.Project.Services[0].Config.Command = types.ShellCommand{"serve"}
		r := executor(s).Execute(t.Context(), j)
		equal(t, "result", []any{r.Failure, r.Err}, []any{(*reconcile.Failure)(nil), nil})
		equal(t, "calls", s.did(), []string{"create web/0", "start web/0", "stop web/1"})
		equal(t, "record", r.Hooks["web"], "pre_deploy 1: exited with code 0 after 3s\none table, two columns")
		c := s.creates[0]
		equal(t, "made", []any{c.Create.Name, c.Create.Ports, c.Create.Hook.Phase, c.Restart, c.Release, c.Service.Config.Entrypoint, len(c.Service.Config.Command)},
			[]any{"shop-web-pre_deploy-1-7", false, reconcile.HookPreDeploy, "no", 7, "[/app migrate]", 0})
		for name, want := range map[string]string{"OWN": "kept", "DAVIT_RELEASE": "7", "DAVIT_HOOK": "pre_deploy", "DAVIT_SERVICE": "web", "DAVIT_STACK": "shop", "DAVIT_VERSION": "v1.3.0", "DAVIT_COMMIT": "9d10e44"} {
			got := c.Service.Config.Environment[name]
			if got == nil || *got != want {
				t.Errorf("%s is %v, want %s", name, got, want)
			}
		}
		if len(j.Plan.Project.Services[0].Config.Environment) != 1 {
			t.Error("the service's own environment was changed")
		}
		// The journal says that it was begun only when it is about to be started.
		equal(t, "journal", []string{s.journal[0].Container, s.journal[1].Container, s.ends[1].Container}, []string{"", "shop-web-pre_deploy-1-7", "shop-web-pre_deploy-1-7"})
	})
}

func TestAHookThatFailsEndsThePlanWithItsLastWords(t *testing.T) {
	for name, c := range map[string]struct {
		life  life
		calls []string
		says  string
	}{
		"a code":  {hookLife(time.Second, 3), []string{"create web/0", "start web/0"}, "exited with code 3: no such column"},
		"no time": {hookLife(time.Hour, 0), []string{"create web/0", "start web/0", "stop web/0"}, "did not end within 1m: no such column"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.lives["web/0"], s.logs["web/0"] = c.life, "no such column: hunter2"
				scrub := func(text string) string { return strings.ReplaceAll(text, "hunter2", "•••") }
				r := New(Options{Engine: s, Journal: s, Scrub: scrub}).Execute(t.Context(), job(plan(preDeploy(""), on(reconcile.StepStop, "web/1", 1))))
				equal(t, "calls", s.did(), c.calls)
				if strings.Contains(fmt.Sprint(r.Failure, s.ends), "hunter2") {
					t.Errorf("a secret is told: %+v, %+v", r.Failure, s.ends)
				}
				if r.Failure == nil || !strings.Contains(r.Failure.Reason, c.says) || r.Failure.Logs == "" {
					t.Fatalf("failure %+v, error %v", r.Failure, r.Err)
				}
			})
		})
	}
}

func TestARunningHookIsWaitedForAndNeverStartedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		started, takes time.Duration
		code           int
		fails          bool
	}{
		"goes on":                {-2 * time.Second, 10 * time.Second, 0, false},
		"has ended":              {-time.Hour, 10 * time.Second, 0, false},
		"has failed":             {-time.Hour, 10 * time.Second, 1, true},
		"ended once time was up": {-time.Hour, time.Minute, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.lives["one"], s.born["one"] = hookLife(c.takes, c.code), time.Now().Add(c.started)
				r := executor(s).Execute(t.Context(), job(plan(preDeploy("one"))))
				equal(t, "calls", s.did(), []string{})
				if (r.Failure != nil) != c.fails || r.Err != nil {
					t.Fatalf("failure %+v, error %v", r.Failure, r.Err)
				}
			})
		})
	}
}

func TestALostHookFailsWithoutARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, step := newScripted(), preDeploy("")
		step.Hook.Lost = "nobody knows"
		r := executor(s).Execute(t.Context(), job(plan(step)))
		equal(t, "calls", s.did(), []string{})
		if r.Failure == nil || !strings.Contains(r.Failure.Reason, "nobody knows") {
			t.Fatalf("failure %+v, error %v", r.Failure, r.Err)
		}
	})
}

func TestAnExecutionThatEndsLeavesItsHookRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/0"] = hookLife(30*time.Second, 0)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		begun := time.Now()
		r := executor(s).Execute(ctx, job(plan(preDeploy(""))))
		equal(t, "calls", s.did(), []string{"create web/0", "start web/0"})
		if r.Err == nil || time.Since(begun) > 6*time.Second {
			t.Fatalf("ended after %v with %v", time.Since(begun), r.Err)
		}
		equal(t, "begun and not ended", fmt.Sprint(len(s.journal), len(s.ends)), "2 1")
	})
}

func TestAHookOfAFailedReleaseMayFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, step := newScripted(), preDeploy("")
		step.Hook.Phase = reconcile.HookOnFailure
		s.lives["web/0"] = hookLife(time.Second, 1)
		remove := reconcile.Step{Kind: reconcile.StepRemove, Replica: step.Replica, After: []int{1}}
		j := job(plan(step, remove))
		j.Release.Failure = "web/2 exited with code 1"
		r := executor(s).Execute(t.Context(), j)
		equal(t, "result", []any{r.Failure, r.Err}, []any{(*reconcile.Failure)(nil), nil})
		equal(t, "calls", s.did(), []string{"create web/0", "start web/0", "remove web/0"})
		equal(t, "told", *s.creates[0].Service.Config.Environment["DAVIT_FAILURE"], "web/2 exited with code 1")
	})
}

func TestAHookThatMayHaveBeenStoppedIsNotTakenForDoneThoughItEndedWithCode0(t *testing.T) {
	const blink = time.Nanosecond // no look falls into it
	for name, c := range map[string]struct {
		life   life
		outage time.Duration
		says   string
	}{
		"by an engine that went down":    {hookLife(6*time.Second, 0), 3 * time.Second, "while the engine was away"},
		"by one that was back at once":   {hookLife(5*time.Second+blink, 0), blink, "while the engine was away"},
		"not while the engine was there": {hookLife(20*time.Second, 0), 3 * time.Second, ""},
		"by somebody": {func(age time.Duration) reconcile.Container {
			c := hookLife(6*time.Second, 0)(age)
			c.StopByHand = c.State == reconcile.Exited
			return c
		}, 0, "somebody stopped it"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.lives["web/0"] = c.life
				if c.outage > 0 {
					defer time.AfterFunc(5*time.Second, func() { s.set(func() { s.away = true }) }).Stop()
					defer time.AfterFunc(5*time.Second+c.outage, func() { s.set(func() { s.away = false }) }).Stop()
				}
				e := executor(s)
				if c.outage > 0 {
					defer time.AfterFunc(5*time.Second, e.Lost).Stop()
					defer time.AfterFunc(5*time.Second+c.outage, e.Recovered).Stop()
				}
				r := e.Execute(t.Context(), job(plan(preDeploy(""))))
				if r.Err != nil || (r.Failure != nil) != (c.says != "") || r.Failure != nil && !strings.Contains(r.Failure.Reason, c.says) {
					t.Fatalf("failure %+v, error %v", r.Failure, r.Err)
				}
			})
		})
	}
}
