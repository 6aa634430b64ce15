package reconcile_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/engine/enginetest"
	"davit/reconcile"
)

const undoable = "pre_deploy: [{run: [/app, migrate], timeout: 5m, irreversible: true}]"

// restart has the agent die and come back; Git answers again after that time, or not at
// all for 0.
func (h *host) restart(gitAnswers time.Duration) {
	h.stop()
	commit := h.revision.Commit
	h.revision.Commit = ""
	h.boot()
	if gitAnswers == 0 {
		h.loop.SourceState("", time.Now(), errors.New("git is down"))
		return
	}
	h.pass(gitAnswers)
	h.revision.Commit = commit
	h.declare()
}

// breakFiles pushes files that do not load.
func (h *host) breakFiles() {
	h.revision.Commit = fmt.Sprintf("%040d", 99)
	h.loop.Declare(reconcile.Declaration{Revision: h.revision, Broken: map[string]error{"shop": errors.New("compose.yaml: typo")}})
}

// stays are ways to go on that begin nothing: what davit has been told to leave as it is,
// or may not take back, is still there afterwards.
var stays = map[string]func(h *host){
	"the agent restarts":                 func(h *host) { h.restart(3 * time.Second) },
	"the agent restarts and Git is down": func(h *host) { h.restart(0) },
	"a broken file is pushed":            func(h *host) { h.breakFiles() },
	"it is gone from the repository":     func(h *host) { h.push("v1.2.0", "") },
	"a fix waits for its window":         func(h *host) { h.push("v1.2.0", windowed("fix", sundays)) },
	"a fix waits for another stack":      func(h *host) { h.push("v1.2.0", "x-davit: {depends_on: [nobody]}\n"+web("fix")) },
	"a fix waits for its image":          func(h *host) { h.push("v1.2.0", web("notyet")) },
	"a fix waits, and the agent restarts": func(h *host) {
		h.push("v1.2.0", web("notyet"))
		h.pass(2 * time.Minute)
		h.restart(3 * time.Second)
	},
	"a fix waits, and the agent restarts and Git is down": func(h *host) {
		h.push("v1.2.0", web("notyet"))
		h.pass(2 * time.Minute)
		h.restart(0)
	},
	"it is suspended for a while": func(h *host) {
		_ = h.loop.Suspend(h.t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann", For: time.Minute})
		h.pass(2 * time.Minute)
	},
	"it is to be tried again, and the disk is full": func(h *host) {
		h.disk.fill(true)
		_ = h.loop.Retry(h.t.Context(), "shop", "ann")
		h.pass(10 * time.Minute)
		h.restart(0)
	},
	"the daemon restarts": func(h *host) { h.engine.RestartDaemon() },
}

// beginnings end in releases that are not to be taken back.
var beginnings = map[string]struct {
	push func(h *host)
	// outcome is what has become of it.
	outcome string
}{
	"failed after an irreversible hook": {func(h *host) { h.push("v1.1.0", hooked("late", undoable)); h.pass(10 * time.Minute) }, "failed"},
	"failed with failure_action: pause": {func(h *host) {
		h.push("v1.1.0", web("late")+"    deploy: {update_config: {failure_action: pause}}\n")
		h.pass(10 * time.Minute)
	}, "failed"},
	"paused and its irreversible hook's container is gone": {func(h *host) {
		h.push("v1.1.0", hooked("late", undoable))
		h.pass(10 * time.Minute)
		h.pruneHooks()
	}, "failed"},
	"failed, and the agent died before it had written so": {func(h *host) {
		h.record.dieOnFailure = true
		h.push("v1.1.0", hooked("late", undoable))
		h.pass(10 * time.Minute)
		h.stop()
		h.record.dieOnFailure = false
		h.record.die(false)
		h.boot()
		h.pass(time.Minute)
	}, "interrupted"},
	"watched after an irreversible hook": {func(h *host) {
		h.push("v1.1.0", hooked("1.1", undoable))
		h.pass(27 * time.Second)
		h.expect("running", h.running(), "web/2 shop:1.1")
	}, ""},
}

// pruneHooks removes the containers of hooks that have ended, as `docker container prune`
// does.
func (h *host) pruneHooks() {
	for _, c := range h.observe().Containers {
		if c.OneOff && !c.Running() {
			h.engine.RemoveByHand(c.ID)
		}
	}
}

// unpaused is a host with a good release #1, and images for what comes.
func unpaused(t *testing.T, f func(h *host)) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", withHooks(nil))
		h.image("shop:late", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 6 * time.Second})
		h.image("shop:1.1", withHooks(nil))
		h.image("shop:fix", withHooks(nil))
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		f(h)
	})
}

// undone reports whether anything was taken back.
func (h *host) undone(before string) bool {
	return h.running() != before || strings.Contains(h.history(), "rollback") || strings.Contains(h.history(), "drift")
}

// expectStays checks that nothing was taken back.
func (h *host) expectStays(before string) {
	h.t.Helper()
	if h.undone(before) {
		h.t.Errorf("%s ran, now %s\n%s\n%s", before, h.running(), h.history(), h.story())
	}
}

func TestWhatMayNotBeTakenBackStaysUntilSomethingElseBegins(t *testing.T) {
	for begins, b := range beginnings {
		for goesOn, story := range stays {
			t.Run(begins+"/"+goesOn, func(t *testing.T) {
				unpaused(t, func(h *host) {
					b.push(h)
					h.expect("outcome", h.release(2).Outcome.String(), b.outcome)
					before := h.running()
					story(h)
					h.pass(10 * time.Minute)
					h.expectStays(before)
				})
			})
		}
	}
}

// What does end it, and what serves then.
func TestWhatMayNotBeTakenBackEndsWithAnOperatorOrWithWhatBegins(t *testing.T) {
	tests := map[string]struct {
		story   func(h *host) error
		running string
		last    string
	}{
		"a fix":    {func(h *host) error { h.push("v1.2.0", web("fix")); return nil }, "shop:fix", "deploy v1.2.0 succeeded"},
		"a revert": {func(h *host) error { h.push("", web("1.0")); return nil }, "shop:1.0", "drift-fix v1.0.0 succeeded"},
		"a rollback": {func(h *host) error {
			_, err := h.loop.Rollback(h.t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"})
			return err
		}, "shop:1.0", "drift-fix v1.0.0 succeeded"},
		"a rollback while Git is down": {func(h *host) error {
			h.restart(0)
			h.pass(time.Minute)
			_, err := h.loop.Rollback(h.t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"})
			return err
		}, "shop:1.0", "drift-fix v1.0.0 succeeded"},
		"a retry": {func(h *host) error {
			h.image("shop:late", withHooks(nil))
			return h.loop.Retry(h.t.Context(), "shop", "ann")
		}, "shop:late", "deploy v1.1.0 succeeded"},
	}
	for begins, b := range beginnings {
		for name, tt := range tests {
			if b.outcome != "failed" && name == "a retry" {
				continue // it goes on by itself, with the container that it has
			}
			t.Run(begins+"/"+name, func(t *testing.T) {
				unpaused(t, func(h *host) {
					b.push(h)
					if err := tt.story(h); err != nil {
						t.Fatal(err)
					}
					h.pass(10 * time.Minute)
					if !strings.HasSuffix(h.running(), tt.running) || !strings.HasSuffix(h.history(), tt.last) {
						t.Errorf("%s runs\n%s\n%s", h.running(), h.history(), h.story())
					}
					h.expect("hold", fmt.Sprint(h.record.controls.Hold), "<nil>")
				})
			})
		}
	}
}

// An image that came behind its tag is no new content: what is declared is what ran before.
func TestAPausedRenewalStaysAsItIs(t *testing.T) {
	for name, hooks := range map[string]string{
		"after an irreversible hook": "    pull_policy: every_1m\n    x-davit: {hooks: {" + undoable + "}}\n",
		"by its failure_action":      "    deploy: {update_config: {failure_action: pause}}\n    pull_policy: every_1m\n",
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.engine.Publish("shop:latest", withHooks(nil))
				h.push("v1.0.0", web("latest")+hooks)
				h.pass(5 * time.Minute)
				h.engine.Publish("shop:latest", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 6 * time.Second})
				h.pass(5 * time.Minute)
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.0 failed")
				h.expect("sync", string(h.status().Sync), "held")
				before := h.running()
				h.restart(0)
				h.pass(5 * time.Minute)
				h.expectStays(before)
				h.declare()
				h.pass(5 * time.Minute)
				h.expectStays(before)
				h.engine.Publish("shop:latest", withHooks(nil))
				h.pass(5 * time.Minute)
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.0 failed\n#3 deploy v1.0.0 succeeded")
			})
		})
	}
}

// Whatever comes one after the other, what is paused stays so.
func TestWhatIsPausedStaysWhateverComesOneAfterTheOther(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := beginnings[rapid.SampledFrom(slices.Sorted(maps.Keys(beginnings))).Filter(func(name string) bool { return beginnings[name].outcome != "" }).Draw(rt, "begins")]
		stories := rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(stays))), 2, 5).Draw(rt, "goes on")
		problem := ""
		unpaused(t, func(h *host) {
			b.push(h)
			before := h.running()
			for _, story := range stories {
				stays[story](h)
				h.pass(3 * time.Minute)
			}
			if h.undone(before) {
				problem = fmt.Sprintf("%s ran, now %s\n%s\n%s", before, h.running(), h.history(), h.story())
			}
		})
		// A bubble is not to be left in the middle.
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
