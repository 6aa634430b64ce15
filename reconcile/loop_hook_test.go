package reconcile_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// hooked is a service with hooks.
func hooked(tag, hooks string) string {
	return web(tag) + "    x-davit: {hooks: {" + hooks + "}}\n"
}

const migrates = "pre_deploy: [{run: [/app, migrate], timeout: 5m}]"

// withHooks is a good image whose commands take a while and end like that.
func withHooks(codes map[reconcile.HookPhase]int) enginetest.Behaviour {
	b := healthy()
	b.HooksTake, b.Hooks, b.Log = 20*time.Second, codes, "adding a column\nconstraint violated: hunter2\n"
	return b
}

// begun are the hooks that were started since the log was cleared, in order.
func (h *host) begun() string {
	var out []string
	for _, op := range h.engine.Log() {
		if op.Kind == enginetest.OpStart && strings.Contains(op.Target, "_") {
			out = append(out, op.Target)
		}
	}
	return strings.Join(out, " ")
}

func (h *host) latest() reconcile.Release {
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	return h.record.releases[0]
}

func (h *host) release(seq int64) reconcile.Release {
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	for _, r := range h.record.releases {
		if r.Seq == seq {
			return r
		}
	}
	h.t.Fatalf("no release #%d", seq)
	return reconcile.Release{}
}

// expectNoHooks checks that no container of a hook is left.
func (h *host) expectNoHooks() {
	h.t.Helper()
	for _, c := range h.observe().Containers {
		if c.OneOff {
			h.t.Errorf("%s is left, %s", c.Name, c.State)
		}
	}
}

func TestHooksAreRunOncePerReleaseAroundItsChanges(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", withHooks(nil))
		h.image("shop:1.1", withHooks(nil))
		const both = migrates + ", post_deploy: [{run: [/app, warm], timeout: 1m}]"
		h.push("v1.0.0", hooked("1.0", both))
		h.pass(5 * time.Minute)
		h.expect("first release", h.begun(), "shop-web-pre_deploy-1-1 shop-web-post_deploy-1-1")
		h.engine.ClearLog()
		h.push("v1.1.0", hooked("1.1", both))
		h.pass(10 * time.Second)
		h.expect("while the first hook runs", h.running(), "web/0 shop:1.1, web/1 shop:1.0")
		h.pass(2 * time.Hour)
		h.expect("second release", h.begun(), "shop-web-pre_deploy-1-2 shop-web-post_deploy-1-2")
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expectNoHooks()
		rec, _ := h.latest().Service("web")
		for _, want := range []string{"pre_deploy 1: exited with code 0 after 20s", "post_deploy 1: exited", "adding a column"} {
			if !strings.Contains(rec.Logs, want) {
				t.Errorf("the record does not say %q:\n%s", want, rec.Logs)
			}
		}
		h.engine.ClearLog()
		h.push("v1.0.1", hooked("1.0", both))
		h.pass(time.Hour)
		h.expect("a revert", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 rollback v1.0.1 succeeded restores #1")
		h.expect("hooks of a revert", h.begun(), "")
	})
}

func TestAChangeOfHooksAloneRestartsAndRunsNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", withHooks(nil))
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.engine.ClearLog()
		h.push("v1.0.1", hooked("1.0", migrates))
		h.pass(time.Hour)
		for _, op := range h.engine.Log() {
			if op.Kind != enginetest.OpTag && op.Kind != enginetest.OpUntag {
				t.Errorf("changed: %s", op)
			}
		}
		h.expect("sync", string(h.status().Sync), "synced")
	})
}

func TestAFailedPreDeployStopsTheReleaseBeforeAnyChange(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.scrub = func(s string) string { return strings.ReplaceAll(s, "hunter2", "•••") }
		h.stop()
		h.boot()
		h.image("shop:1.0", withHooks(nil))
		h.image("shop:1.1", withHooks(map[reconcile.HookPhase]int{reconcile.HookPreDeploy: 3}))
		h.push("v1.0.0", hooked("1.0", migrates))
		h.pass(5 * time.Minute)
		before := h.running()
		h.engine.ClearLog()
		h.push("v1.1.0", hooked("1.1", migrates))
		h.pass(3 * time.Hour)
		for _, op := range h.engine.Log() {
			if !strings.Contains(op.Target, "pre_deploy") && op.Kind != enginetest.OpTag && op.Kind != enginetest.OpUntag {
				t.Errorf("changed: %s", op)
			}
		}
		h.expect("running", h.running(), before)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("runs", h.begun(), "shop-web-pre_deploy-1-2")
		failed := h.release(2)
		rec, _ := failed.Service("web")
		if !strings.Contains(failed.Failure, "code 3: adding a column\nconstraint violated: •••") || !strings.Contains(rec.Logs, "constraint violated") {
			t.Errorf("the failure says %q, the record %q", failed.Failure, rec.Logs)
		}
		h.expectNoHooks()
		if err := h.loop.Retry(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		h.expect("runs after a retry", h.begun(), "shop-web-pre_deploy-1-2 shop-web-pre_deploy-1-4")
	})
}

func TestAHookThatDoesNotEndInTimeIsStopped(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		b := withHooks(nil)
		b.HooksHang, b.IgnoresTERM = true, true
		h.image("shop:1.1", b)
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", hooked("1.1", migrates))
		h.pass(4 * time.Minute)
		h.expect("in time", h.running(), "web/0 shop:1.1, web/1 shop:1.0")
		h.pass(2 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if f := h.release(2).Failure; !strings.Contains(f, "did not end within 5m") {
			t.Errorf("the failure says %q", f)
		}
		h.pass(time.Hour)
		h.expectNoHooks()
	})
}

func TestAfterAnIrreversibleHookAFailurePauses(t *testing.T) {
	const irreversible = "pre_deploy: [{run: [/app, migrate], timeout: 5m, irreversible: true}]"
	simulate(t, func(t *testing.T, h *host) {
		bad := withHooks(nil)
		bad.Sick, bad.UnhealthyAfter = true, 5*time.Second
		h.image("shop:1.0", withHooks(nil))
		h.image("shop:bad", bad)
		h.image("shop:worse", bad)
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", hooked("bad", irreversible))
		h.pass(time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed")
		h.expect("sync", string(h.status().Sync), "held")
		if f := h.release(2).Failure; !strings.Contains(f, "irreversible") {
			t.Errorf("the failure says %q", f)
		}
		// What comes next fails without a hook of its own. There is still no way back.
		h.push("v1.2.0", web("worse"))
		h.pass(time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 deploy v1.2.0 failed")
	})
}

func TestOnFailureIsRunOnceAndToldWhichReleaseFailed(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		bad := withHooks(map[reconcile.HookPhase]int{reconcile.HookOnFailure: 1})
		bad.Sick, bad.UnhealthyAfter = true, 5*time.Second
		h.image("shop:1.0", withHooks(nil))
		h.image("shop:bad", bad)
		const tells = "on_failure: [{run: [/app, tell], timeout: 1m}, {run: [/app, wail], timeout: 1m}]"
		h.push("v1.0.0", hooked("1.0", tells))
		h.pass(time.Minute)
		h.push("v1.1.0", hooked("bad", tells))
		h.pass(3 * time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("runs", h.begun(), "shop-web-on_failure-1-2 shop-web-on_failure-2-2")
		h.stop()
		h.boot()
		h.pass(time.Hour)
		h.expect("runs after a restart", h.begun(), "shop-web-on_failure-1-2 shop-web-on_failure-2-2")
		h.expectNoHooks()
	})
}

// What was begun keeps to its timeout, and the rest of its list is run, whatever is in the
// history by then.
func TestOnFailureIsSeenToTheEndThoughTheAgentEndedAndSomethingNewerCame(t *testing.T) {
	const tells = "on_failure: [{run: [/app, tell], timeout: 5m}, {run: [/app, wail], timeout: 5m}]"
	for name, story := range map[string]func(h *host){
		"a fix": func(h *host) { h.push("v1.2.0", hooked("1.2", tells)); h.pass(2 * time.Second) },
		"a rollback": func(h *host) {
			_, _ = h.loop.Rollback(h.t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"})
			h.pass(2 * time.Second)
		},
		"a long time": func(h *host) {
			h.stop()
			h.pass(2 * time.Hour)
			h.boot()
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				hangs := enginetest.Behaviour{Healthcheck: true, Sick: true, UnhealthyAfter: 5 * time.Second, HooksHang: true}
				h.image("shop:0.9", healthy())
				h.image("shop:1.0", healthy())
				h.image("shop:1.2", healthy())
				h.image("shop:bad", hangs)
				h.push("v0.9.0", hooked("0.9", tells))
				h.pass(time.Minute)
				h.push("v1.0.0", hooked("1.0", tells))
				h.pass(time.Minute)
				h.push("v1.1.0", hooked("bad", tells))
				h.pass(20 * time.Second)
				h.expect("begun", h.begun(), "shop-web-on_failure-1-3")
				story(h)
				h.stop()
				h.boot()
				h.pass(30 * time.Minute)
				h.expect("begun", h.begun(), "shop-web-on_failure-1-3 shop-web-on_failure-2-3")
				h.expectNoHooks()
			})
		})
	}
}

// TestKilledAtAnyMutationNoHookIsRunTwice is the crash test of releases with hooks:
// the agent dies before and after each mutation, and, in a second round, the containers
// of its hooks are removed while it is away.
func TestKilledAtAnyMutationNoHookIsRunTwice(t *testing.T) {
	const all = migrates + ", post_deploy: [{run: [/app, warm], timeout: 1m}], on_failure: [{run: [/app, tell], timeout: 1m}]"
	stories := map[string]hookStory{
		"a release":                {tag: "1.1", hooks: all},
		"a release that fails":     {tag: "bad", hooks: all},
		"a hook that fails":        {tag: "1.2", hooks: all},
		"containers that are gone": {tag: "1.1", hooks: all, removed: true},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			want, mutations := story.run(t, 0, enginetest.Before)
			for n := 1; n <= mutations; n++ {
				for _, moment := range []enginetest.Moment{enginetest.Before, enginetest.After} {
					got, _ := story.run(t, n, moment)
					if got != want && !story.removed {
						t.Errorf("killed %s mutation %d of %d:\n got %s\nwant %s", moment, n, mutations, got, want)
					}
				}
			}
			t.Logf("%d mutations, killed before and after each", mutations)
		})
	}
}

type hookStory struct {
	tag, hooks string
	// removed is true when somebody prunes containers while the agent is away.
	removed bool
}

// prune is somebody's idea to remove what is none of the replicas.
func (h *host) prune() {
	for _, c := range h.observe().Containers {
		if c.OneOff {
			h.engine.RemoveByHand(c.ID)
		}
	}
}

func (s hookStory) run(t *testing.T, n int, at enginetest.Moment) (end string, mutations int) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", withHooks(nil))
		h.image("shop:1.1", withHooks(nil))
		h.image("shop:1.2", withHooks(map[reconcile.HookPhase]int{reconcile.HookPreDeploy: 3}))
		bad := withHooks(nil)
		bad.Sick, bad.UnhealthyAfter = true, 5*time.Second
		h.image("shop:bad", bad)
		h.push("v1.0.0", web("1.0"))
		h.pass(2 * time.Minute)
		died, dead := make(chan struct{}), false
		runs := map[string]int{}
		var one sync.Mutex
		h.engine.Interrupt(func(op enginetest.Op, moment enginetest.Moment) error {
			one.Lock()
			defer one.Unlock()
			if dead {
				return errKilled
			}
			if moment == enginetest.Before && op.Kind != enginetest.OpTag && op.Kind != enginetest.OpUntag {
				mutations++
			}
			if mutations == n && moment == at {
				dead = true
				h.record.die(true)
				close(died)
				return errKilled
			}
			return nil
		})
		h.push("v1.1.0", hooked(s.tag, s.hooks))
		select {
		case <-died:
			h.stop()
			if s.removed {
				h.prune()
			}
			one.Lock()
			dead, n = false, -1
			one.Unlock()
			h.record.die(false)
			h.boot()
		case <-time.After(2 * time.Hour):
		}
		h.pass(2 * time.Hour)
		h.engine.Interrupt(nil)
		for _, op := range h.engine.Log() {
			if op.Kind == enginetest.OpStart && strings.Contains(op.Target, "_") {
				phase := op.Target[:strings.LastIndex(op.Target, "-")]
				if runs[phase]++; runs[phase] > 1 {
					t.Errorf("killed %s mutation %d: %s was run %d times", at, n, phase, runs[phase])
				}
			}
		}
		h.expectNoHooks()
		end = summary(h) + fmt.Sprint(" ", runs)
	})
	return end, mutations
}

// untilBack passes until a release has brought that tag back, an hour at most, and returns
// how long it took.
func (h *host) untilBack(tag string) time.Duration {
	begun := time.Now()
	for time.Since(begun) < time.Hour && !(strings.Contains(h.running(), "shop:"+tag) && strings.Contains(h.history(), "rollback")) {
		h.pass(time.Second)
	}
	return time.Since(begun)
}

func TestNoWayBackWaitsForAHookOfWhatItLeaves(t *testing.T) {
	const long = "post_deploy: [{run: [/app, smoke], timeout: 10m}]"
	hangs := enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, HooksHang: true}
	late := hangs
	late.UnhealthyAfter = 7 * time.Second
	for name, c := range map[string]struct {
		image     enginetest.Behaviour
		hooks, to string
		back      func(h *host) error
	}{
		"a failure beside post_deploy": {image: late, hooks: long, to: "1.1", back: func(*host) error { return nil }},
		"an abort in post_deploy": {image: hangs, hooks: long, to: "1.1", back: func(h *host) error {
			h.pass(30 * time.Second)
			return h.loop.Abort(h.t.Context(), "shop", "ann")
		}},
		"a rollback past pre_deploy": {image: hangs, hooks: "pre_deploy: [{run: [/app, migrate], timeout: 10m}]", to: "1.0", back: func(h *host) error {
			h.pass(10 * time.Second)
			_, err := h.loop.Rollback(h.t.Context(), reconcile.RollbackRequest{Stack: "shop", To: "1", Actor: "ann"})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", healthy())
				h.image("shop:1.2", c.image)
				h.push("v1.0.0", web("1.0"))
				h.pass(time.Minute)
				h.push("v1.1.0", web("1.1"))
				h.pass(time.Minute)
				h.push("v1.2.0", hooked("1.2", c.hooks))
				if err := c.back(h); err != nil {
					t.Fatal(err)
				}
				if took := h.untilBack(c.to); took > time.Minute {
					t.Errorf("back after %v\n%s", took, h.story())
				}
				h.pass(time.Minute)
				if h.latest().Running() || !strings.Contains(h.running(), "web/0 shop:1.2") {
					t.Errorf("the hook is to run on, and nothing to wait for it: %s, %s", h.running(), h.history())
				}
				h.pass(15 * time.Minute)
				h.expectNoHooks() // its time was up
			})
		})
	}
}

func TestAHookKeepsToItsTimeoutWhileItsStackIsSuspended(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		b := healthy()
		b.HooksHang = true
		h.image("shop:1.1", b)
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", hooked("1.1", migrates))
		h.pass(time.Minute)
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("in time", h.running(), "web/0 shop:1.1, web/1 shop:1.0")
		h.stop()
		h.boot()
		h.pass(4 * time.Minute)
		h.expect("its time is up", h.running(), "web/1 shop:1.0")
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if f := h.release(3).Failure; !strings.Contains(f, "did not end within 5m") {
			t.Errorf("the failure says %q\n%s", f, h.history())
		}
		h.expect("begun", h.begun(), "shop-web-pre_deploy-1-2")
		h.expectNoHooks()
	})
}

// The program ends with code 0 at the stop signal, and the agent dies before it has
// written down why it was stopped.
func TestAHookThatWasStoppedAtItsTimeoutHasFailedForTheNextAgentToo(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		b := withHooks(nil)
		b.HooksHang = true
		h.image("shop:1.1", b)
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", hooked("1.1", migrates))
		h.pass(4 * time.Minute)
		died, dead := make(chan struct{}), false
		h.engine.Interrupt(func(op enginetest.Op, moment enginetest.Moment) error {
			switch {
			case dead:
				return errKilled
			case op.Kind == enginetest.OpStop && strings.Contains(op.Target, "pre_deploy") && moment == enginetest.After:
				dead = true
				h.record.die(true)
				close(died)
				return errKilled
			}
			return nil
		})
		<-died
		h.stop()
		dead = false
		h.engine.Interrupt(nil)
		h.record.die(false)
		h.boot()
		h.pass(30 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if f := h.release(3).Failure; !strings.Contains(f, "did not end within 5m") {
			t.Errorf("the failure says %q\n%s", f, h.history())
		}
		h.expectNoHooks()
	})
}

func TestOnFailureIsNotRunForServicesThatTheReleaseDidNotChange(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		bad := withHooks(nil)
		bad.Sick = true
		h.image("shop:1.0", withHooks(nil))
		h.image("api:1.0", healthy())
		h.image("api:bad", bad)
		const tells = "    x-davit: {hooks: {on_failure: [{run: [/app, tell], timeout: 1m}]}}\n"
		both := func(tag string) string {
			return web("1.0") + tells + "  api:\n    image: api:" + tag + "\n    restart: unless-stopped\n" + tells
		}
		h.push("v1.0.0", both("1.0"))
		h.pass(time.Minute)
		h.engine.ClearLog()
		h.push("v1.1.0", both("bad"))
		h.pass(10 * time.Minute)
		h.expect("begun", h.begun(), "shop-api-on_failure-1-2")
	})
}

func TestHooksThatCouldNotBeRunAreRefusedWhenTheyAreDeclared(t *testing.T) {
	db := func(tag, hooks string) string {
		return "services:\n  db:\n    image: db:" + tag + "\n    restart: unless-stopped\n    volumes: [data:/data]\n" + hooks + "volumes: {data: {}}\n"
	}
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.image("db:bad", sick())
		h.push("v1.0.0", db("1", ""))
		h.pass(time.Minute)
		h.push("v1.0.1", db("1", "    x-davit: {hooks: {on_failure: [{run: [/app, tell], timeout: 1m}]}}\n"))
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "stalled")
		h.push("v1.1.0", db("bad", ""))
		h.pass(time.Hour)
		h.expect("running", h.running(), "db/1 db:1")
	})
}

func TestAHookAndTheReplicasOfItsReleaseHaveOneImageThoughItsTagMoves(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		slow := withHooks(nil)
		slow.HealthyAfter = 30 * time.Second
		first := h.image("shop:latest", slow)
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.engine.ClearLog()
		h.push("v1.1.0", hooked("latest", migrates))
		h.pass(30 * time.Second) // the hook has run, the container starts
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		h.image("shop:latest", slow)
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.expect("begun", h.begun(), "shop-web-pre_deploy-1-2")
		if ran := h.only("web").ImageID; ran != first.ID {
			t.Errorf("%s serves, the hook was run in %s\n%s", ran, first.ID, h.story())
		}
	})
}
