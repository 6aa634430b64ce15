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

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

var errExecFormat = errors.New("OCI runtime create failed: exec format error")

func TestAReplacementRunsInItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/3"] = healthyAfter(1300 * time.Millisecond)
		image := reconcile.Image{Ref: "web:1.3", Digest: "sha256:abc"}
		pull := reconcile.Step{Kind: reconcile.StepPull, Image: image}
		create := of(reconcile.StepCreate, "web", 3, 1)
		create.Image, create.Create = image, reconcile.Create{Name: "shop-web-3", Ports: true}
		gate := gated(of(reconcile.StepGate, "web", 3, 3), reconcile.Gate{Timeout: time.Minute})
		always := of(reconcile.StepPolicy, "web", 3, 5)
		always.Restart = "always"
		off := on(reconcile.StepPolicy, "web/1", 6)
		off.Restart = "no"
		p := plan(pull, create, of(reconcile.StepStart, "web", 3, 2), gate, of(reconcile.StepJoin, "web", 3, 4), always,
			off, on(reconcile.StepStop, "web/1", 7),
			reconcile.Step{Kind: reconcile.StepPrune, Resource: "shop_old", Network: "n1", After: []int{8}})
		var events []string
		j := job(p)
		j.Report = func(e reconcile.Event) {
			if e.Seq != 7 || e.Version != "v1.3.0" || e.Commit != "9d10e44" || e.Stack != "shop" || e.At.IsZero() {
				t.Errorf("event %+v does not say what it belongs to", e)
			}
			events = append(events, string(e.Kind)+" "+e.Message)
		}

		e := executor(s)
		time.AfterFunc(1300*time.Millisecond, func() { e.Changed("web/3") })
		r := e.Execute(t.Context(), j)

		equal(t, "error", r.Err, nil)
		equal(t, "failure", r.Failure, (*reconcile.Failure)(nil))
		equal(t, "done", r.Done, []int{1, 2, 3, 4, 5, 6, 7, 8, 9})
		equal(t, "calls", s.did(), []string{"pull web:1.3", "create web/3", "start web/3", "join web/3 web",
			"policy web/3 always", "policy web/1 no", "stop web/1", "prune n1"})
		equal(t, "containers", r.Containers, map[reconcile.Replica]string{{Service: "web", Number: 3}: "web/3"})
		equal(t, "gates", r.Gates, map[string]string{"web": "healthy after 1.3s"})
		c := s.creates[0]
		equal(t, "created from", c.Image.ID, "sha256:id-of-web:1.3")
		equal(t, "born with", c.Restart, "no")
		equal(t, "labelled", []any{c.Release, c.Version, c.Number, c.Create.Name, c.Create.Ports}, []any{7, "v1.3.0", 3, "shop-web-3", true})
		equal(t, "intentions", len(s.journal), 8)
		equal(t, "ends", len(s.ends), 8)
		equal(t, "created", []any{s.ends[1].Container, s.ends[1].Stack, s.ends[1].Seq, s.ends[1].Step}, []any{"web/3", "shop", 7, 2})
		equal(t, "intention", s.journal[2].Action, "start web/3")
		equal(t, "events", len(events), 18)
		equal(t, "gate's event", events[7], "StepDone gate web/3: healthy after 1.3s")
	})
}

func TestIndependentStepsRunAtOnceUpToTheLimit(t *testing.T) {
	for _, c := range []struct {
		name     string
		parallel int
		want     time.Duration
	}{
		{"all at once by default", 0, time.Second},
		{"two at a time", 2, 2 * time.Second},
		{"one by one", 1, 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				var steps []reconcile.Step
				for i := range 4 {
					steps = append(steps, on(reconcile.StepStop, fmt.Sprintf("web/%d", i)))
					s.takes[fmt.Sprintf("stop web/%d", i)] = time.Second
				}
				begun := time.Now()
				r := New(Options{Engine: s, Journal: s, Parallel: c.parallel}).Execute(t.Context(), job(plan(steps...)))
				equal(t, "error", r.Err, nil)
				equal(t, "time", time.Since(begun), c.want)
				if c.parallel > 0 {
					equal(t, "at once", s.peak, c.parallel)
				}
			})
		})
	}
}

func TestWhatWaitsHoldsNoPlaceOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.born["web/1"], s.born["web/2"] = time.Now(), time.Now()
		s.lives["web/1"] = healthyAfter(time.Minute)
		p := plan(
			gated(on(reconcile.StepGate, "web/1"), reconcile.Gate{Timeout: time.Hour}),
			gated(on(reconcile.StepMonitor, "web/2"), reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: time.Minute}),
			reconcile.Step{Kind: reconcile.StepDelay, Wait: time.Minute},
			on(reconcile.StepStop, "old/1"),
		)
		r := New(Options{Engine: s, Journal: s, Parallel: 1}).Execute(t.Context(), job(p))
		equal(t, "error", r.Err, nil)
		equal(t, "first done", r.Done[0], 4)
	})
}

func TestTheFirstFailureStopsWhatIsNewAndLetsCallsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.fails["start web/1"] = errExecFormat
		s.takes["start web/1"] = time.Second
		s.takes["stop old/1"] = 20 * time.Second // the start is tried once more meanwhile
		s.logs["web/1"] = "panic"
		s.born["old/2"] = time.Now()
		s.lives["old/2"] = healthyAfter(time.Hour)
		begun := time.Now()
		r := executor(s).Execute(t.Context(), job(plan(
			on(reconcile.StepStart, "web/1"),
			on(reconcile.StepStop, "old/1"),
			gated(on(reconcile.StepGate, "old/2"), reconcile.Gate{Timeout: 2 * time.Hour}),
			reconcile.Step{Kind: reconcile.StepDelay, Wait: time.Hour},
			on(reconcile.StepStop, "old/3", 1),
			on(reconcile.StepStop, "old/4", 2),
		)))
		equal(t, "time", time.Since(begun), 20*time.Second)
		equal(t, "done", r.Done, []int{2})
		equal(t, "calls", len(s.did()), 3)
		equal(t, "error", r.Err, nil)
		if r.Failure == nil {
			t.Fatal("no failure")
		}
		equal(t, "failed step", r.Failure.Step.ID, 1)
		equal(t, "failed container", r.Failure.Container, "web/1")
		equal(t, "reason", r.Failure.Reason, "web/1 could not be started: "+errExecFormat.Error())
		equal(t, "logs", r.Failure.Logs, "panic")
	})
}

func TestACancelledExecutionEndsAtTheNextSafePoint(t *testing.T) {
	superseded := errors.New("superseded by main@sha1:abc")
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.takes["stop old/1"] = 20 * time.Second
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(superseded) })
		begun := time.Now()
		r := executor(s).Execute(ctx, job(plan(
			on(reconcile.StepStop, "old/1"),
			reconcile.Step{Kind: reconcile.StepDelay, Wait: time.Hour},
			on(reconcile.StepStop, "old/2", 1),
		)))
		equal(t, "error", r.Err, superseded)
		equal(t, "failure", r.Failure, (*reconcile.Failure)(nil))
		equal(t, "done", r.Done, []int{1})
		equal(t, "calls", s.did(), []string{"stop old/1"})
		equal(t, "how the call ended", s.calls[0].err, nil)
		equal(t, "time", time.Since(begun), 20*time.Second)
	})
}

func TestACancellationThatEndsNothingIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.takes["stop old/1"] = 2 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := executor(s).Execute(ctx, job(plan(on(reconcile.StepStop, "old/1"))))
		equal(t, "error", r.Err, nil)
		equal(t, "done", r.Done, []int{1})
	})
}

func TestAnExecutionThatIsCancelledBeforehandDoesNothing(t *testing.T) {
	s := newScripted()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := executor(s).Execute(ctx, job(plan(on(reconcile.StepStop, "old/1"))))
	if !errors.Is(r.Err, context.Canceled) {
		t.Errorf("error is %v", r.Err)
	}
	equal(t, "calls", s.did(), []string{})
	equal(t, "intentions", len(s.journal), 0)
}

func TestACancellationWhileTheIntentionIsWrittenKeepsTheStepFromHappening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.writing = 2 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := executor(s).Execute(ctx, job(plan(on(reconcile.StepStop, "old/1"))))
		equal(t, "error", r.Err, context.DeadlineExceeded)
		equal(t, "calls", s.did(), []string{})
		equal(t, "intentions", len(s.journal), 1)
		equal(t, "ends", []any{len(s.ends), s.ends[0].Err}, []any{1, errAbandoned})
	})
}

func TestAPullIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.takes["pull web:1"] = 50 * time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		r := executor(s).Execute(ctx, job(plan(reconcile.Step{Kind: reconcile.StepPull, Image: reconcile.Image{Ref: "web:1"}})))
		equal(t, "error", r.Err, context.DeadlineExceeded)
		equal(t, "time", time.Since(begun), time.Second)
	})
}

func TestAFailureIsNotHiddenByACancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.takes["start web/1"] = 5 * time.Second
		s.fails["start web/1"] = errExecFormat
		s.logs["web/1"] = "panic"
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := executor(s).Execute(ctx, job(plan(on(reconcile.StepStart, "web/1"), on(reconcile.StepStop, "old/1", 1))))
		equal(t, "error", r.Err, nil)
		if r.Failure == nil || r.Failure.Step.ID != 1 {
			t.Fatalf("failure is %+v", r.Failure)
		}
		equal(t, "logs", r.Failure.Logs, "panic")
	})
}

func TestTheEarliestCauseCounts(t *testing.T) {
	for _, c := range []struct {
		name         string
		web, db      time.Duration
		dbErr        error
		step         int
		err, errToo  error
		wantsFailure bool
	}{
		{"of two failures the earlier", 3 * time.Second, 2 * time.Second, errExecFormat, 2, nil, nil, true},
		{"of two failures at once the plan's first", time.Second, time.Second, errExecFormat, 1, nil, nil, true},
		{"a failure before an outage", time.Second, 2 * time.Second, reconcile.ErrEngineUnavailable, 1, nil, nil, true},
		{"an outage before a failure that may come of it", 2 * time.Second, time.Second, reconcile.ErrEngineUnavailable, 0,
			reconcile.ErrEngineUnavailable, errExecFormat, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.takes["start web/1"], s.fails["start web/1"] = c.web, errExecFormat
				s.takes["start dbx/1"], s.fails["start dbx/1"] = c.db, c.dbErr
				r := executor(s).Execute(t.Context(), job(plan(on(reconcile.StepStart, "web/1"), on(reconcile.StepStart, "dbx/1"))))
				if c.wantsFailure != (r.Failure != nil) || c.wantsFailure == (r.Err != nil) {
					t.Fatalf("failure is %v, error is %v", r.Failure, r.Err)
				}
				if r.Failure != nil {
					equal(t, "failed step", r.Failure.Step.ID, c.step)
					return
				}
				if !errors.Is(r.Err, c.err) || !strings.Contains(r.Err.Error(), c.errToo.Error()) {
					t.Errorf("error is %v", r.Err)
				}
			})
		})
	}
}

func TestAJournalThatCannotBeWrittenForbidsTheStep(t *testing.T) {
	s := newScripted()
	s.intend = fmt.Errorf("append to journal: %w", reconcile.ErrDiskFull)
	r := executor(s).Execute(t.Context(), job(plan(on(reconcile.StepStop, "old/1"))))
	if !errors.Is(r.Err, reconcile.ErrDiskFull) || r.Failure != nil {
		t.Errorf("error is %v, failure %v", r.Err, r.Failure)
	}
	equal(t, "calls", s.did(), []string{})
	equal(t, "done", len(r.Done), 0)
}

func TestAnEndThatCannotBeRecordedIsReportedAndNotUndone(t *testing.T) {
	s := newScripted()
	s.done = reconcile.ErrDiskFull
	var warned []string
	j := job(plan(on(reconcile.StepStop, "old/1")))
	j.Report = func(e reconcile.Event) {
		if e.Severity == reconcile.SeverityWarning {
			warned = append(warned, string(e.Kind)+" "+e.Message)
		}
	}
	r := executor(s).Execute(t.Context(), j)
	equal(t, "error", r.Err, nil)
	equal(t, "done", r.Done, []int{1})
	equal(t, "warnings", warned, []string{"StepDone stop old/1; its end is not in the journal: disk full"})
}

func TestWhoIsToBlame(t *testing.T) {
	const nobody = ""
	wrapped := func(err error) error { return fmt.Errorf("answer 500: %w", err) }
	policyNo, policyAlways := on(reconcile.StepPolicy, "web/1"), on(reconcile.StepPolicy, "web/1")
	policyNo.Restart, policyAlways.Restart = "no", "always"
	rename := on(reconcile.StepRename, "web/1")
	rename.Resource = "web"
	for _, c := range []struct {
		name   string
		step   reconcile.Step
		call   string
		err    error
		reason string
	}{
		{"a rejected create is the content's", of(reconcile.StepCreate, "web", 1), "create web/1", errors.New("invalid mount"), "web/1 could not be created: invalid mount"},
		{"a rejected start is the content's", on(reconcile.StepStart, "web/1"), "start web/1", errors.New("port is already allocated"), "web/1 could not be started: port is already allocated"},
		{"a rejected join is the content's", on(reconcile.StepJoin, "web/1"), "join web/1 web", errors.New("no"), "web/1 could not be given its service's name: no"},
		{"a rejected policy is the content's", policyAlways, "policy web/1 always", errors.New("no"), "web/1 could not be given its restart policy: no"},
		{"a rejected rename is the content's", rename, "rename web/1 web", errors.New("no"), "web/1 could not be given its name: no"},
		{"taking a policy from a predecessor is not", policyNo, "policy web/1 no", errors.New("no"), nobody},
		{"a failed stop is not", on(reconcile.StepStop, "web/1"), "stop web/1", errors.New("no"), nobody},
		{"a failed remove is not", on(reconcile.StepRemove, "web/1"), "remove web/1", errors.New("no"), nobody},
		{"a failed network is not", reconcile.Step{Kind: reconcile.StepNetwork, Resource: "back"}, "network back", errors.New("pool exhausted"), nobody},
		{"a network that was to be made anew is the content's", reconcile.Step{Kind: reconcile.StepNetwork, Resource: "back", Network: "n1"}, "network back",
			errors.New("pool overlaps"), "network back could not be made anew: pool overlaps"},
		{"a dead containerd is not", on(reconcile.StepStart, "web/1"), "start web/1", errors.New("answer 500: transport is closing: unavailable"), nobody},
		{"a runtime that was called off is not", of(reconcile.StepCreate, "web", 1), "create web/1", errors.New("OCI runtime create failed: context canceled: unknown"), nobody},
		{"a failed volume is not", reconcile.Step{Kind: reconcile.StepVolume, Resource: "data"}, "volume data", errors.New("no"), nobody},
		{"a failed prune is not", reconcile.Step{Kind: reconcile.StepPrune, Network: "n1"}, "prune n1", errors.New("no"), nobody},
		{"a failed pull is not", reconcile.Step{Kind: reconcile.StepPull, Image: reconcile.Image{Ref: "web:1"}}, "pull web:1", errors.New("no"), nobody},
		{"an engine that is away is not", of(reconcile.StepCreate, "web", 1), "create web/1", wrapped(reconcile.ErrEngineUnavailable), nobody},
		{"a full disk is not", of(reconcile.StepCreate, "web", 1), "create web/1", wrapped(reconcile.ErrDiskFull), nobody},
		{"a missing image is not", of(reconcile.StepCreate, "web", 1), "create web/1", wrapped(reconcile.ErrImageMissing), nobody},
		{"a registry is not", of(reconcile.StepCreate, "web", 1), "create web/1", wrapped(reconcile.ErrRegistryDenied), nobody},
		{"a container removed by hand is not", on(reconcile.StepStart, "web/1"), "start web/1", wrapped(reconcile.ErrContainerMissing), nobody},
		{"a call that took too long is not", on(reconcile.StepStart, "web/1"), "start web/1", wrapped(context.DeadlineExceeded), nobody},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScripted()
			s.fails[c.call] = c.err
			r := executor(s).Execute(t.Context(), job(plan(c.step)))
			if c.reason == nobody {
				equal(t, "calls", s.did(), []string{c.call})
				if r.Failure != nil || !errors.Is(r.Err, c.err) {
					t.Fatalf("failure is %+v, error %v", r.Failure, r.Err)
				}
				return
			}
			equal(t, "calls", s.did(), []string{c.call, c.call})
			if r.Failure == nil || r.Err != nil {
				t.Fatalf("no failure, but error %v", r.Err)
			}
			equal(t, "reason", r.Failure.Reason, c.reason)
		})
	}
}

func TestAContainerThatAFailedCreateLeftIsNotForgotten(t *testing.T) {
	s := newScripted()
	s.fails["create web/1"] = errors.New("network has no address left for it")
	r := executor(s).Execute(t.Context(), job(plan(of(reconcile.StepCreate, "web", 1))))
	equal(t, "containers", r.Containers, map[reconcile.Replica]string{{Service: "web", Number: 1}: "web/1"})
	if r.Failure == nil || r.Failure.Container != "web/1" {
		t.Errorf("failure is %+v", r.Failure)
	}
}

func TestAHangingCallEndsAtItsLimit(t *testing.T) {
	for _, c := range []struct {
		name  string
		step  reconcile.Step
		call  string
		after time.Duration
	}{
		{"a start", on(reconcile.StepStart, "web/1"), "start web/1", callLimit},
		{"a stop", on(reconcile.StepStop, "web/1"), "stop web/1", stopLimit},
		{"a pull", reconcile.Step{Kind: reconcile.StepPull, Image: reconcile.Image{Ref: "web:1"}}, "pull web:1", pullLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.takes[c.call] = 1000 * time.Hour
				p := plan(c.step)
				p.ProgressTimeout = 10000 * time.Hour
				begun := time.Now()
				r := executor(s).Execute(t.Context(), job(p))
				if !errors.Is(r.Err, context.DeadlineExceeded) || r.Failure != nil {
					t.Errorf("error is %v, failure %v", r.Err, r.Failure)
				}
				equal(t, "time", time.Since(begun), c.after)
			})
		})
	}
}

func TestAStopIsGivenTheDeclaredGrace(t *testing.T) {
	p := plan(on(reconcile.StepStop, "web/1"))
	grace := types.Duration(time.Hour)
	p.Project.Services[0].Config.StopGracePeriod = &grace
	equal(t, "limit", limit(p, p.Steps[0]), time.Hour+stopLimit)
	p.Project = nil
	equal(t, "limit without a project", limit(p, p.Steps[0]), stopLimit)
}

func TestSecretsDoNotLeave(t *testing.T) {
	s := newScripted()
	s.fails["create web/1"] = errors.New("invalid mount hunter2")
	s.fails["stop old/1"] = errors.New("answer hunter2")
	clean := func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") }
	e := New(Options{Engine: s, Journal: s, Scrub: clean})
	for _, step := range []reconcile.Step{of(reconcile.StepCreate, "web", 1), on(reconcile.StepStop, "old/1")} {
		j := job(plan(step))
		var told strings.Builder
		j.Report = func(e reconcile.Event) { told.WriteString(e.Message) }
		r := e.Execute(t.Context(), j)
		if r.Err != nil {
			told.WriteString(r.Err.Error())
		}
		if r.Failure != nil {
			told.WriteString(r.Failure.Reason)
		}
		if text := told.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "***") {
			t.Errorf("told %q", text)
		}
	}
	s.logs["web/1"], s.evidence = "password hunter2", errors.New("hunter2")
	if logs := e.evidence(t.Context(), "web/1"); strings.Contains(logs, "hunter2") || !strings.Contains(logs, "password ***") {
		t.Errorf("logs are %q", logs)
	}
}

func TestAScrubbedErrorStillWrapsItsCause(t *testing.T) {
	e := New(Options{Scrub: func(string) string { return "***" }})
	err := e.clean(fmt.Errorf("hunter2: %w", reconcile.ErrDiskFull))
	if err.Error() != "***" || !errors.Is(err, reconcile.ErrDiskFull) {
		t.Errorf("error is %v", err)
	}
}

func TestAnExecutionThatStandsStillEnds(t *testing.T) {
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	for _, c := range []struct {
		name   string
		limit  time.Duration
		steps  []reconcile.Step
		script func(*scripted)
		after  time.Duration
		reason string
		err    error
	}{
		{
			"a gate is to blame", 0,
			[]reconcile.Step{on(reconcile.StepGate, "web/1"), on(reconcile.StepGate, "dbx/1")},
			func(s *scripted) {
				s.lives["web/1"], s.lives["dbx/1"] = healthyAfter(time.Hour), healthyAfter(time.Hour)
			},
			minutes(10), "no progress for 10m: still waiting for web/1, dbx/1", nil,
		},
		{
			"steps that end put the end off", 0,
			[]reconcile.Step{on(reconcile.StepGate, "web/1"), on(reconcile.StepGate, "dbx/1")},
			func(s *scripted) {
				s.lives["web/1"], s.lives["dbx/1"] = healthyAfter(minutes(9)), healthyAfter(minutes(18))
			},
			minutes(18), "", nil,
		},
		{
			"a hanging call is the engine's", minutes(2),
			[]reconcile.Step{on(reconcile.StepStop, "web/1"), on(reconcile.StepStop, "web/2", 1)},
			func(s *scripted) { s.takes["stop web/1"] = minutes(3) },
			minutes(3), "", reconcile.ErrEngineUnavailable,
		},
		{
			"what has an end of its own is waited for", 0,
			[]reconcile.Step{
				{Kind: reconcile.StepDelay, Wait: minutes(11)},
				gated(on(reconcile.StepMonitor, "web/1", 1), reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: minutes(25)}),
				{Kind: reconcile.StepPull, Image: reconcile.Image{Ref: "web:1"}, After: []int{2}},
			},
			func(s *scripted) { s.takes["pull web:1"] = minutes(30) },
			minutes(66), "", nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.born["web/1"], s.born["dbx/1"] = time.Now(), time.Now()
				c.script(s)
				p := plan(c.steps...)
				p.ProgressTimeout = c.limit
				begun := time.Now()
				r := executor(s).Execute(t.Context(), job(p))
				// Polls may come a little after the moment itself.
				equal(t, "time", time.Since(begun).Truncate(time.Second), c.after)
				reason := ""
				if r.Failure != nil {
					reason = r.Failure.Reason
					equal(t, "container", r.Failure.Container, "web/1")
				}
				equal(t, "reason", reason, c.reason)
				if !errors.Is(r.Err, c.err) {
					t.Errorf("error is %v", r.Err)
				}
			})
		})
	}
}

func TestAServiceIsProvenByAllOfItsGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.born["web/1"], s.born["web/2"], s.born["dbx/1"] = time.Now(), time.Now(), time.Now()
		s.lives["web/2"] = unhealthyAfter(time.Second)
		r := executor(s).Execute(t.Context(), job(plan(
			on(reconcile.StepGate, "web/1"), on(reconcile.StepGate, "web/2"), on(reconcile.StepGate, "dbx/1"))))
		if r.Failure == nil {
			t.Fatal("no failure")
		}
		equal(t, "gates", r.Gates, map[string]string{"dbx": "running for 0s"})
	})
}

func TestAPlanThatCannotBeCarriedOutIsRefusedWhole(t *testing.T) {
	stop := func(after ...int) reconcile.Step { return on(reconcile.StepStop, "web/1", after...) }
	twice := plan(stop(), stop())
	twice.Steps[1].ID = 1
	unknown := plan(of(reconcile.StepCreate, "cache", 1))
	bare := plan(of(reconcile.StepCreate, "web", 1))
	bare.Project = nil
	for _, c := range []struct {
		name string
		plan reconcile.Plan
		want string
	}{
		{"a cycle", plan(stop(), stop(3), stop(2), stop(3)), "steps [2 3 4] wait for one another"},
		{"a step after itself", plan(stop(1)), "steps [1] wait for one another"},
		{"a prerequisite that does not exist", plan(stop(9)), "step 1 comes after step 9, which does not exist"},
		{"a number given twice", twice, "two steps are numbered 1"},
		{"a container that nothing creates", plan(of(reconcile.StepStart, "web", 4)), "no earlier step created web/4"},
		{"a service that is not declared", unknown, `no service "cache"`},
		{"no project", bare, "it has no project"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScripted()
			r := executor(s).Execute(t.Context(), job(c.plan))
			if r.Err == nil || r.Failure != nil || !strings.Contains(r.Err.Error(), c.want) {
				t.Errorf("error is %v, failure %v", r.Err, r.Failure)
			}
			equal(t, "calls", s.did(), []string{})
		})
	}
}

func TestAnEmptyPlanSucceeds(t *testing.T) {
	r := executor(newScripted()).Execute(t.Context(), job(plan()))
	if r.Err != nil || r.Failure != nil || len(r.Done) != 0 || r.Containers == nil || r.Gates == nil {
		t.Errorf("result is %+v", r)
	}
}

func TestAPrerequisiteThatIsNamedTwiceCountsOnce(t *testing.T) {
	r := executor(newScripted()).Execute(t.Context(), job(plan(on(reconcile.StepStop, "web/1"), on(reconcile.StepStop, "web/2", 1, 1))))
	equal(t, "done", r.Done, []int{1, 2})
}

// TestADependentOfAFailedStepNeverBegins is about a design in which every step
// has a channel that is closed when the step ends, and a failure cancels the
// others a moment later: then a dependent sometimes sees the closed channel
// first. What depends on "the new one is ready" is "stop the old one".
func TestADependentOfAFailedStepNeverBegins(t *testing.T) {
	const trials, dependents = 10000, 64
	steps := []reconcile.Step{on(reconcile.StepStart, "web/0")}
	for i := range dependents {
		steps = append(steps, on(reconcile.StepStop, fmt.Sprintf("old/%d", i), 1))
	}
	j := job(plan(steps...))
	for range trials {
		s := newScripted()
		s.fails["start web/0"] = errExecFormat
		r := executor(s).Execute(t.Context(), j)
		if did := s.did(); len(did) != 2 || did[0] != did[1] || r.Failure == nil || len(r.Done) != 0 {
			slices.Sort(did)
			t.Fatalf("after a failed start the engine was asked for %v", did)
		}
	}
}

// refusing makes every command in a container fail.
type refusing struct{ *scripted }

func (r refusing) Run(context.Context, string, reconcile.Hook) error {
	return &reconcile.HookFailure{ExitCode: 3, Output: "no database"}
}

func TestAFailedCommandBeforeAGateFailsTheContentAndOneBeforeAStopDoesNot(t *testing.T) {
	hook := func(phase reconcile.HookPhase, then reconcile.StepKind) (*scripted, reconcile.Result, []string) {
		s := newScripted()
		step := on(reconcile.StepHook, "web/1")
		step.Hook = reconcile.Hook{Phase: phase, Timeout: time.Minute}
		j := job(plan(step, on(then, "web/1", 1)))
		var said []string
		j.Report = func(e reconcile.Event) { said = append(said, string(e.Severity)+" "+e.Message) }
		r := New(Options{Engine: refusing{s}, Journal: s}).Execute(t.Context(), j)
		return s, r, said
	}
	s, r, _ := hook(reconcile.HookPostStart, reconcile.StepPolicy)
	if r.Failure == nil || r.Failure.Reason != "web/1: its post_start command failed: exited with code 3: no database" || r.Failure.Container != "web/1" {
		t.Errorf("failure %+v, error %v", r.Failure, r.Err)
	}
	equal(t, "done after a failed post_start", len(s.did()), 0)

	s, r, said := hook(reconcile.HookPreStop, reconcile.StepStop)
	if r.Failure != nil || r.Err != nil {
		t.Errorf("failure %+v, error %v", r.Failure, r.Err)
	}
	equal(t, "done after a failed pre_stop", strings.Join(s.did(), "; "), "stop web/1")
	if text := strings.Join(said, "\n"); !strings.Contains(text, "warning") || !strings.Contains(text, "no database") {
		t.Errorf("nobody was told of the failed pre_stop:\n%s", text)
	}
}
