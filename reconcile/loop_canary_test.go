package reconcile_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// canaryOf is the shop with one share after another: 5 percent for a minute, 30 for two.
func canaryOf(tag string) string {
	return published(tag) + "    x-davit: {strategy: canary, canary: {steps: [{weight: 5, hold: 1m}, {weight: 30, hold: 2m}]}}\n"
}

// manualOf is the same with its last step left to somebody.
func manualOf(tag string) string {
	return strings.Replace(canaryOf(tag), "hold: 2m}]", "hold: 2m}], promotion: manual", 1)
}

// withCanary is withEdge on a host whose agents remember, on which the shop's 1.0 runs.
func withCanary(t *testing.T, f func(t *testing.T, h *host, edge *enginetest.Edge)) {
	t.Helper()
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.remembers()
		h.push("v1.0.0", canaryOf("1.0"))
		h.pass(time.Minute)
		f(t, h, edge)
	})
}

// remembers has the agents to come share a memory.
func (h *host) remembers() {
	adjust, kept := h.adjust, &memory{}
	h.adjust = func(o *reconcile.Options) {
		adjust(o)
		o.Memory = kept
	}
	h.stop()
	h.boot()
}

// shared is how what comes to the shop is shared out, by release: "#1 95, #2 5".
func shared(h *host, edge *enginetest.Edge) string {
	h.t.Helper()
	table, err := edge.Look(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	r, _ := table.Route("shop", "web")
	var out []string
	for _, release := range slices.Sorted(maps.Keys(r.Weights)) {
		out = append(out, fmt.Sprintf("#%d %d", release, r.Weights[release]))
	}
	return strings.Join(out, ", ")
}

// rollout is what the status says of the shop's canary.
func (h *host) rollout() string {
	for _, s := range h.status().Services {
		if s.Name == "web" && s.Rollout != nil {
			return s.Rollout.String()
		}
	}
	return ""
}

func TestACanaryGetsItsShareStepByStep(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		begun := time.Now()
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(30 * time.Second)
		h.expect("shares", shared(h, edge), "#1 95, #2 5")
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.1")
		if got := h.rollout(); !strings.HasPrefix(got, "canary step 1 of 3, holding, 5 %, waits for the end of its hold at ") {
			t.Errorf("the status says %q", got)
		}
		h.pass(time.Minute)
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		if got := h.rollout(); !strings.HasPrefix(got, "canary step 2 of 3, holding, 30 %, ") {
			t.Errorf("the status says %q", got)
		}
		for _, s := range h.status().Services {
			if since := s.Rollout.Since.Sub(begun); since < time.Minute || since > 70*time.Second {
				t.Errorf("step 2 is held since %v after the push", since)
			}
		}
		h.pass(3 * time.Minute)
		h.expect("shares", shared(h, edge), "")
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("edge", routes(h, edge), "web [80]: web/2")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		h.expect("rollout", h.rollout(), "")
	})
}

func TestAManualCanaryWaitsForSomebody(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", manualOf("1.1"))
		h.pass(24 * time.Hour)
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		h.expect("rollout", h.rollout(), "canary step 2 of 3, holding, 30 %, waits for somebody to promote or abort it")
		if h.emitted(reconcile.EventUndecided) != 1 || !strings.Contains(h.story(), "web, canary step 2 of 3, 30 %, waits for somebody to promote or abort it (`davit promote shop` or `davit abort shop`)") {
			t.Errorf("nobody is asked to promote it:\n%s", h.story())
		}
		if err := h.loop.Promote(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		if h.emitted(reconcile.EventPromoted) != 1 || !strings.Contains(h.story(), "web promoted by ann, from canary step 2 of 3, 30 %") {
			t.Errorf("who promoted it is not told:\n%s", h.story())
		}
		if err := h.loop.Promote(t.Context(), "shop", "ann"); err == nil {
			t.Error("what is over was promoted")
		}
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err == nil {
			t.Error("what is over was aborted")
		}
	})
}

// What is not waited for makes no progress either.
func TestACanaryThatWasHeldForLongIsStillPromotedWithMoreReplicas(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		three := func(tag string) string { return manualOf(tag) + "    deploy: {replicas: 3}\n" }
		h.push("v1.0.1", three("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", three("1.1"))
		h.pass(24 * time.Hour)
		if err := h.loop.Promote(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.1 succeeded\n#3 deploy v1.1.0 succeeded")
		h.expect("shares", shared(h, edge), "")
	})
}

// The delay between batches may be longer than a replica may take.
func TestADelayIsNoLackOfProgress(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", replicated("1.0", 2, "delay: 1h", ""))
		h.pass(time.Minute)
		h.push("v1.1.0", replicated("1.1", 2, "delay: 1h", ""))
		h.pass(2 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

// Nor is what came before a replica that fails, and that another one makes up for.
func TestAFailureAfterADelayIsMadeUpFor(t *testing.T) {
	for name, failing := range map[string]string{"within the ratio": "max_failure_ratio: 0.5", "continue": "failure_action: continue"} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", healthy())
				update := "delay: 15m, " + failing
				h.push("v1.0.0", replicated("1.0", 2, update, ""))
				h.pass(time.Minute)
				h.push("v1.1.0", replicated("1.1", 2, update, ""))
				h.pass(10 * time.Minute)
				h.engine.Turn("shop:1.1", sick())
				h.until(1)
				h.engine.Turn("shop:1.1", healthy())
				h.pass(30 * time.Minute)
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
			})
		})
	}
}

func TestPromotingEndsOneHoldOnly(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(20 * time.Second)
		h.expect("shares", shared(h, edge), "#1 95, #2 5")
		if err := h.loop.Promote(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
	})
}

// returned fails the test unless all traffic went back to 1.0 before anything of a canary
// was stopped.
func returned(h *host, edge *enginetest.Edge, history string) {
	h.t.Helper()
	h.expect("shares", shared(h, edge), "")
	h.expect("running", h.running(), "web/1 shop:1.0")
	h.expect("edge", routes(h, edge), "web [80]: web/1")
	h.expect("history", h.history(), history)
}

// stopsAfterReturn complains of a canary that is stopped, or whose policy is taken, while
// the edge hands it anything.
func stopsAfterReturn(h *host, edge *enginetest.Edge) {
	h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
		if at != enginetest.Before || op.Kind != enginetest.OpStop {
			return nil
		}
		table, err := edge.Look(h.t.Context())
		if err != nil {
			return nil
		}
		r, _ := table.Route("shop", "web")
		for _, m := range r.Members {
			if len(r.Weights) > 0 || m.Draining.IsZero() && "shop-web-"+strings.TrimPrefix(m.Name, "web/") == op.Target {
				h.t.Errorf("%s is stopped while %s is handed something, shares %v", op.Target, m.Name, r.Weights)
			}
		}
		return nil
	})
}

func TestAbortingReturnsAllWeightBeforeAnythingStops(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"while the canary starts": 200 * time.Millisecond, "in the first hold": 30 * time.Second, "in the second hold": 90 * time.Second,
	} {
		for failing, yaml := range map[string]string{"rolled back": "", "paused": "x-davit: {rollback: none}\n"} {
			t.Run(name+", "+failing, func(t *testing.T) {
				withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
					stopsAfterReturn(h, edge)
					h.push("v1.1.0", canaryOf("1.1")+yaml)
					h.pass(after)
					if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
						t.Fatal(err)
					}
					h.pass(2 * time.Minute)
					returned(h, edge, "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
					h.expect("sync", string(h.status().Sync), "held")
					if failure := h.record.releases[1].Failure; !strings.HasPrefix(failure, "aborted by ann, at canary step ") {
						t.Errorf("the record says %q", failure)
					}
					h.pass(time.Hour)
					if err := h.loop.Retry(t.Context(), "shop", "ann"); err != nil {
						t.Fatal(err)
					}
					h.pass(10 * time.Minute)
					if !strings.HasSuffix(h.running(), "shop:1.1") {
						t.Errorf("after a retry there is %s", h.running())
					}
				})
			})
		}
	}
}

func TestACanaryThatBecomesUnhealthyLosesItsWeightFirst(t *testing.T) {
	for name, b := range map[string]enginetest.Behaviour{
		"unhealthy": {Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 80 * time.Second},
		"exits":     {Healthcheck: true, HealthyAfter: time.Second, Exits: true, ExitAfter: 80 * time.Second, ExitCode: 3},
		"never":     sick(),
	} {
		t.Run(name, func(t *testing.T) {
			withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				stopsAfterReturn(h, edge)
				h.image("shop:bad", b)
				h.push("v1.1.0", canaryOf("bad"))
				h.pass(10 * time.Minute)
				returned(h, edge, "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
			})
		})
	}
}

func TestACanaryIsProbedWhileItIsHeld(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		stopsAfterReturn(h, edge)
		adjust := h.adjust
		h.adjust = func(o *reconcile.Options) {
			adjust(o)
			o.Executor = rollout.New(rollout.Options{Engine: h.engine, Edge: o.Edge, Prober: h.engine, Journal: h.record, Preflight: h.disk})
		}
		h.stop()
		h.boot()
		h.image("shop:mute", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, MuteAfter: 80 * time.Second})
		h.push("v1.1.0", strings.Replace(canaryOf("mute"), "strategy:", "probes: {readiness: {tcp: 8080}}, strategy:", 1))
		h.pass(75 * time.Second)
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		h.pass(2 * time.Minute)
		returned(h, edge, "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
	})
}

func TestAFailedCanaryThatPausesGetsNothingEither(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.image("shop:bad", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 80 * time.Second})
		h.push("v1.1.0", canaryOf("bad")+"x-davit: {rollback: none}\n")
		h.pass(10 * time.Minute)
		h.expect("shares", shared(h, edge), "")
		h.expect("edge", routes(h, edge), "web [80]: web/1, web/2 draining")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed")
	})
}

func TestANewerCommitBeginsItsOwnCanaryFromTheFirstStep(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		stopsAfterReturn(h, edge)
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(90 * time.Second)
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		h.push("v1.2.0", canaryOf("1.2"))
		h.pass(30 * time.Second)
		h.expect("shares", shared(h, edge), "#1 95, #3 5")
		h.expect("running", h.running(), "web/1 shop:1.0, web/3 shop:1.2")
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/3 shop:1.2")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 superseded\n#3 deploy v1.2.0 succeeded")
	})
}

func TestARevertInTheMiddleOfACanaryTakesNoSteps(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		stopsAfterReturn(h, edge)
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(90 * time.Second)
		h.push("v1.2.0", canaryOf("1.0"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("shares", shared(h, edge), "")
	})
}

func TestASuspendedCanaryStaysWhereItIs(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(90 * time.Second)
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		h.expect("rollout", h.rollout(), "interrupted, 30 %")
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

func TestASuspendedCanaryKeepsNoStableReplicaInServiceThatIsNotReady(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.remembers()
		three := func(tag string) string { return canaryOf(tag) + "    deploy: {replicas: 3}\n" }
		h.image("shop:weak", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 30 * time.Minute})
		h.push("v1.0.0", three("weak"))
		h.pass(10 * time.Minute)
		h.push("v1.1.0", three("1.1"))
		h.pass(90 * time.Second)
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		for _, name := range []string{"shop-web-2", "shop-web-3"} {
			h.engine.Kill(h.by()[name].ID) // they are started anew, and well for longer
		}
		h.pass(time.Minute)
		h.expect("edge", routes(h, edge), "web [80]: web/1, web/2, web/3, web/4")
		h.pass(10 * time.Minute)
		h.expect("edge, with one unhealthy", routes(h, edge), "web [80]: web/2, web/3, web/4")
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		h.pass(20 * time.Minute)
		if n := len(strings.Split(routes(h, edge), ", ")); n < 2 {
			t.Errorf("with all of them unhealthy there is %s", routes(h, edge))
		}
	})
}

func TestASuspendedCanaryThatIsAbortedLosesItsWeightAtOnce(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		stopsAfterReturn(h, edge)
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(90 * time.Second)
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.expect("shares", shared(h, edge), "")
		h.expect("edge", routes(h, edge), "web [80]: web/1, web/2 draining")
		h.pass(time.Hour)
		h.expect("shares", shared(h, edge), "")
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.1")
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		returned(h, edge, "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 cancelled\n#3 deploy v1.1.0 failed\n#4 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("failure", h.release(3).Failure, "aborted by ann")
	})
}

// A rollback without a target ends what is not proven, and goes no further back.
func TestARollbackInTheMiddleOfACanaryReturnsToWhatServesBesideIt(t *testing.T) {
	for name, suspended := range map[string]bool{"under way": false, "suspended": true} {
		t.Run(name, func(t *testing.T) {
			withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				stopsAfterReturn(h, edge)
				h.push("v1.1.0", canaryOf("1.1"))
				h.pass(10 * time.Minute)
				h.push("v1.2.0", canaryOf("1.2"))
				h.pass(90 * time.Second)
				h.expect("shares", shared(h, edge), "#2 70, #3 30")
				if suspended {
					if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
						t.Fatal(err)
					}
					h.pass(time.Minute)
				}
				if r, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil || r.Seq != 2 {
					t.Fatalf("pinned to #%d: %v", r.Seq, err)
				}
				if suspended {
					if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
						t.Fatal(err)
					}
				}
				h.pass(2 * time.Minute)
				h.expect("running", h.running(), "web/2 shop:1.1")
				h.expect("edge", routes(h, edge), "web [80]: web/2")
				h.expect("sync", string(h.status().Sync), "pinned")
				if r, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil || r.Seq != 1 {
					t.Errorf("then pinned to #%d: %v", r.Seq, err)
				}
			})
		})
	}
}

func TestAnAgentThatDiesInAHoldGoesOnWithWhatIsLeftOfIt(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", manualOf("1.1"))
		h.pass(50 * time.Second)
		h.stop()
		h.pass(30 * time.Second)
		h.expect("shares", shared(h, edge), "#1 95, #2 5")
		h.boot()
		h.pass(20 * time.Second)
		h.expect("shares", shared(h, edge), "#1 70, #2 30") // and not a minute later
		h.pass(time.Hour)
		h.stop()
		h.boot()
		h.pass(time.Minute)
		h.expect("rollout", h.rollout(), "canary step 2 of 3, holding, 30 %, waits for somebody to promote or abort it")
	})
}

// An agent that has just started knows nothing of Git: for as long as its first poll may
// take it takes nothing back, and not when that has failed.
func TestAnAgentThatDiesInAHoldTakesNoShareAwayBeforeItsFirstPoll(t *testing.T) {
	for name, test := range map[string]struct {
		hears func(h *host)
		want  string
	}{
		"which takes its time":    {func(h *host) { h.pass(5 * time.Second); h.declare() }, "#1 95, #2 5"},
		"which fails":             {func(h *host) { h.loop.SourceState("", time.Time{}, errors.New("no route to host")) }, ""},
		"which never ends":        {func(h *host) { h.pass(15 * time.Second) }, ""},
		"which says other things": {func(h *host) { h.push("v1.2.0", canaryOf("1.0")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				h.push("v1.1.0", manualOf("1.1"))
				h.pass(10 * time.Second)
				h.expect("shares", shared(h, edge), "#1 95, #2 5")
				h.stop()
				commit := h.revision.Commit
				h.revision.Commit = "" // what boot does not declare
				h.boot()
				h.revision.Commit = commit
				h.pass(time.Second)
				h.expect("shares before anything is heard", shared(h, edge), "#1 95, #2 5")
				test.hears(h)
				h.pass(2 * time.Second)
				h.expect("shares", shared(h, edge), test.want)
			})
		})
	}
}

func TestAnAbortOutlivesTheAgent(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		stopsAfterReturn(h, edge)
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(90 * time.Second)
		h.record.refuseEnds(true) // the abort is on record, and what became of it is not
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		h.stop()
		h.record.refuseEnds(false)
		h.boot()
		h.pass(2 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if !strings.Contains(h.history(), "#3 deploy v1.1.0 failed") {
			t.Errorf("history:\n%s", h.history())
		}
	})
}

func TestAnEdgeThatLosesItsTableInAHoldServesAgainAndTheCanaryBeginsAnew(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(90 * time.Second)
		edge.Lose()
		h.pass(20 * time.Second)
		if n := edge.Serving("web"); n == 0 {
			t.Errorf("nobody answers at the edge: %s", routes(h, edge))
		}
		h.expect("shares", shared(h, edge), "#1 95, #2 5")
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

// Whatever a release waits for, for days maybe, the service has its ports.
func TestAnEdgeThatLosesItsTableInARolloutServesAgain(t *testing.T) {
	three := "    deploy: {replicas: 3, update_config: {delay: 2h}}\n"
	for name, content := range map[string]func(tag string) string{
		"a batch in doubt": judgedOf,
		"a set in doubt": func(tag string) string {
			return strings.Replace(blueGreenOf(tag), "blue-green}", "blue-green, analysis: {}}", 1)
		},
		"a long watch": func(tag string) string { return published(tag) + "    x-davit: {monitor: 2h}\n" },
		"a long delay": func(tag string) string { return published(tag) + three },
		"one that starts for long": func(tag string) string {
			return published(map[string]string{"1.0": "1.0", "1.1": "slow"}[tag]) + "    x-davit: {start_timeout: 2h, progress_timeout: 2h}\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				h.remembers()
				adjust := h.adjust
				h.adjust = func(o *reconcile.Options) {
					adjust(o)
					o.Analyst = &scripted{findings: []reconcile.Finding{{Outcome: reconcile.AnalysisInconclusive, Reason: "no data"}}}
				}
				h.stop()
				h.boot()
				h.image("shop:slow", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Hour})
				h.push("v1.0.0", content("1.0"))
				h.pass(3 * time.Hour)
				h.push("v1.1.0", content("1.1"))
				h.pass(30 * time.Minute)
				if sync := h.status().Sync; sync != reconcile.SyncProgressing {
					t.Fatalf("it is %s", sync)
				}
				before := edge.Serving("web")
				edge.Lose()
				h.pass(20 * time.Second)
				if after := edge.Serving("web"); after != before || after == 0 {
					t.Errorf("%d answer at the edge, %d did: %s\n%s", after, before, routes(h, edge), h.history())
				}
			})
		})
	}
}

// A hold may last for days: what the release has nothing to do with is not to be away so long.
func TestAServiceBesideAHeldCanaryIsPutRight(t *testing.T) {
	const db = "  db: {image: \"db:15\", restart: \"no\"}\n"
	for name, lose := range map[string]func(h *host, id string){
		"removed":                     func(h *host, id string) { h.engine.RemoveByHand(id) },
		"ended":                       func(h *host, id string) { h.engine.Kill(id) },
		"lost in an engine's restart": func(h *host, id string) { h.engine.StopDaemon(); h.engine.StartDaemon(); h.engine.RemoveByHand(id) },
	} {
		t.Run(name, func(t *testing.T) {
			withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				h.remembers()
				h.image("db:15", healthy())
				h.push("v1.0.0", manualOf("1.0")+db)
				h.pass(time.Minute)
				h.push("v1.1.0", manualOf("1.1")+db)
				h.pass(2 * time.Hour)
				h.expect("shares", shared(h, edge), "#1 70, #2 30")
				lose(h, h.only("db").ID)
				h.pass(time.Minute)
				if c := h.only("db"); !c.Running() {
					t.Errorf("db is %s", c.State)
				}
				h.expect("shares", shared(h, edge), "#1 70, #2 30")
				h.expect("rollout", h.rollout(), "canary step 2 of 3, holding, 30 %, waits for somebody to promote or abort it")
				releases := len(h.record.releases)
				h.pass(2 * time.Hour)
				h.expect("releases", fmt.Sprint(len(h.record.releases)), fmt.Sprint(releases))
			})
		})
	}
}

func TestWhatAnOperatorStopsBesideAHeldCanaryStaysStopped(t *testing.T) {
	const db = "  db: {image: \"db:15\", restart: always}\n"
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.remembers()
		h.image("db:15", healthy())
		h.push("v1.0.0", manualOf("1.0")+db)
		h.pass(time.Minute)
		h.push("v1.1.0", manualOf("1.1")+db)
		h.pass(2 * time.Hour)
		h.engine.StopByHand(h.only("db").ID)
		h.pass(time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.1")
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
	})
}

func TestAnEngineThatRestartsInAHoldTakesNobodyOutOfService(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", manualOf("1.1"))
		h.pass(24 * time.Hour)
		h.engine.StopDaemon()
		h.pass(5 * time.Second)
		h.engine.StartDaemon()
		h.pass(10 * time.Second)
		h.expect("edge", routes(h, edge), "web [80]: web/1, web/2")
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		if n := edge.Serving("web"); n != 2 {
			t.Errorf("%d replicas serve", n)
		}
	})
}

// A host boots, and what was pushed meanwhile is there before the old release is ready again.
func TestACanaryAfterARebootBeginsBesideWhatServedBefore(t *testing.T) {
	three := "    deploy: {replicas: 3}\n"
	for name, c := range map[string]struct {
		slow   time.Duration
		agent  bool
		more   string
		shares string
	}{
		"a slow one":              {30 * time.Second, false, "", "#1 95, #2 5"},
		"a slow one, a new agent": {30 * time.Second, true, "", "#1 95, #2 5"},
		"slower than a start may": {150 * time.Second, false, "", "#1 95, #2 5"},
		"three of them":           {30 * time.Second, false, three, "#1 95, #2 5"},
	} {
		t.Run(name, func(t *testing.T) {
			withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				h.remembers()
				h.image("shop:slow", enginetest.Behaviour{Healthcheck: true, HealthyAfter: c.slow})
				h.push("v1.0.0", strings.Replace(canaryOf("slow")+c.more, "strategy:", "start_timeout: 2h, strategy:", 1))
				h.pass(c.slow + time.Minute)
				h.engine.StopDaemon()
				if c.agent {
					h.stop()
				}
				h.pass(5 * time.Second)
				h.push("v1.1.0", canaryOf("1.1")+c.more)
				h.engine.StartDaemon()
				if c.agent {
					h.boot()
				}
				h.pass(20 * time.Second)
				if got := string(h.status().Sync); got != "waiting" {
					t.Errorf("it is %s", got)
				}
				h.pass(c.slow - 20*time.Second + 30*time.Second)
				h.expect("shares", shared(h, edge), c.shares)
				if n := edge.Serving("web"); c.more != "" && n < 4 {
					t.Errorf("%d replicas serve", n)
				}
			})
		})
	}
}

func TestAStableReplicaThatCrashesInAHoldServesAgain(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", manualOf("1.1"))
		h.pass(24 * time.Hour)
		h.engine.Kill(h.by()["shop-web-1"].ID)
		h.pass(10 * time.Second)
		h.expect("edge", routes(h, edge), "web [80]: web/1, web/2")
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		if n := edge.Serving("web"); n != 2 {
			t.Errorf("%d replicas serve", n)
		}
	})
}

func TestAChangeOfTheCanaryAloneRestartsNothing(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.engine.ClearLog()
		h.push("v1.1.0", manualOf("1.0"))
		h.pass(time.Hour)
		for _, op := range h.engine.Log() {
			if op.Kind != enginetest.OpTag && op.Kind != enginetest.OpUntag {
				t.Errorf("%s", op)
			}
		}
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

// TestACanaryKilledAtAnyMutationConverges is the story of crashes for canaries: never
// fewer at the edge than are declared, never weight for what is not ready.
func TestACanaryKilledAtAnyMutationConverges(t *testing.T) {
	share := func(tag string, more string) string {
		return published(tag) + "    x-davit: {strategy: canary, canary: {steps: [{weight: 5, hold: 5s}, {weight: 60, hold: 5s}]}}\n" + more
	}
	three := "    deploy: {replicas: 3}\n"
	stories := map[string]crashStory{
		"a canary":                   {first: share("1.0", ""), then: []string{share("1.1", "")}, floor: 1, edged: true},
		"a canary of three replicas": {first: share("1.0", three), then: []string{share("1.1", three)}, floor: 3, edged: true},
		"a canary that fails":        {first: share("1.0", ""), then: []string{share("late", "")}, floor: 1, edged: true},
		"a canary that is reverted":  {first: share("1.0", ""), then: []string{share("1.1", ""), share("1.0", "")}, floor: 1, edged: true},
	}
	killed(t, stories)
}

func TestWhoAsksForACanaryIsToldToTheEdge(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		asked := func() string {
			table, err := edge.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r, _ := table.Route("shop", "web")
			return fmt.Sprint(r.Match, r.Matched)
		}
		matching := func(tag string) string {
			return strings.Replace(canaryOf(tag), "canary: {steps", "canary: {match: [{header: X-Canary, value: \"on\"}, {cookie: canary}], steps", 1)
		}
		h.push("v1.1.0", matching("1.1"))
		h.pass(30 * time.Second)
		h.expect("shares", shared(h, edge), "#1 95, #2 5")
		h.expect("asked", asked(), "[header X-Canary: on cookie canary] [2]")
		h.stop()
		h.boot()
		h.pass(time.Minute)
		h.expect("shares", shared(h, edge), "#1 70, #2 30")
		h.expect("asked", asked(), "[header X-Canary: on cookie canary] [2]")
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("asked of nobody", asked(), "[] []")
		h.push("v1.2.0", matching("1.2"))
		h.pass(10 * time.Minute)
		h.expect("edge", routes(h, edge), "web [80]: web/3")
		h.expect("asked in the end", asked(), "[] []")
	})
}
