package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// Ports at which the probes of these tests ask.
const (
	readyPort = 8080
	livePort  = 8081
)

// alive is a stack of one service with a liveness probe that gives up after 3 s, and more
// of x-davit.
func alive(tag, more string) string {
	return web(tag) + "    x-davit: {monitor: 0s, stable_for: 1s, probes: {liveness: {tcp: 8081, interval: 1s}}" + more + "}\n"
}

// remembering is simulate with a memory that outlives the agent.
func remembering(t *testing.T, f func(t *testing.T, h *host)) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		kept := &memory{}
		h.adjust = func(o *reconcile.Options) { o.Memory = kept }
		h.stop()
		h.boot()
		f(t, h)
	})
}

// only is the one container of a service that runs.
func (h *host) only(service string) reconcile.Container {
	h.t.Helper()
	h.settle()
	var found []reconcile.Container
	for _, c := range h.observe().Containers {
		if c.Service == service && c.Running() {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		h.t.Fatalf("%d containers of %s run\n%s\n%s", len(found), service, h.history(), h.story())
	}
	return found[0]
}

// crashes has a container end by itself n times, each time that it runs.
func (h *host) crashes(service string, n int) {
	h.t.Helper()
	for range n {
		h.engine.Kill(h.only(service).ID)
		h.pass(15 * time.Second)
	}
}

func TestWhatFailsByItselfIsReplacedStartFirst(t *testing.T) {
	for name, c := range map[string]struct {
		image enginetest.Behaviour
		yaml  string
		hurt  func(h *host)
		says  string
	}{
		"by its liveness probe": {enginetest.Behaviour{}, alive("1.0", ""),
			func(h *host) { h.engine.Silence(h.only("web").ID, livePort, true) },
			"healed web/1: liveness failed 3 times: connection refused"},
		"by its health check": {healthy(), web("1.0"),
			func(h *host) { h.engine.Sicken(h.only("web").ID, true) },
			"healed web/1: unhealthy for 30s"},
		"by starting again and again": {enginetest.Behaviour{}, web("1.0"),
			func(h *host) { h.crashes("web", 3) },
			"healed web/1: restarted by itself 3 times within 5m"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", c.image)
				h.push("v1.0.0", c.yaml)
				h.pass(time.Minute)
				old := h.only("web")
				c.hurt(h)
				h.pass(time.Minute)
				h.expect("running", h.running(), "web/2 shop:1.0")
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded")
				if r := h.last(); r.Reason != c.says || r.Trigger != reconcile.TriggerHealing {
					t.Errorf("recorded as %s: %s", r.Trigger, r.Reason)
				}
				if !strings.Contains(h.story(), c.says) {
					t.Errorf("nobody says %q:\n%s", c.says, h.story())
				}
				if now, started := h.by()["shop-web-1"], h.only("web").Started; now.ID != old.ID || now.Running() || !now.Finished.After(started) {
					t.Errorf("the old one was not kept, or stopped before the new one had started: %+v", now)
				}
				s := h.status()
				if s.Sync != reconcile.SyncSynced || s.Health != reconcile.ConditionHealthy || s.Services[0].Healing == nil || s.Services[0].Healing.Attempts != 1 {
					t.Errorf("status %s %s %+v", s.Sync, s.Health, s.Services)
				}
				h.engine.ClearLog()
				h.pass(3 * time.Hour)
				h.expect("mutations of what is well", h.acts(), "")
				if s := h.status(); s.Services[0].Healing != nil {
					t.Errorf("after hours of health the status still has %+v", s.Services[0].Healing)
				}
			})
		})
	}
}

func TestWhatWritesAVolumeIsHealedStopFirst(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.push("v1.0.0", alive("1.0", "")+"    volumes: [\"data:/data\"]\nvolumes: {data: {}}\n")
		h.pass(time.Minute)
		h.engine.Silence(h.only("web").ID, livePort, true)
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.0")
		if before, after := h.by()["shop-web-1"], h.only("web"); before.Finished.After(after.Started) {
			t.Errorf("the new one started at %v, the old one ended at %v", after.Started, before.Finished)
		}
	})
}

func TestWhatFailedIsReplacedThoughNobodyElseIsLeft(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.push("v1.0.0", alive("1.0", ", order: stop-first")+"    deploy: {replicas: 2}\n")
		h.pass(time.Minute)
		h.engine.StopByHand(h.by()["shop-web-2"].ID)
		h.pass(10 * time.Second)
		h.engine.Silence(h.by()["shop-web-1"].ID, livePort, true)
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/3 shop:1.0")
	})
}

func TestWhatIsWellAgainWhileItsHealingWaitsStays(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 30 * time.Second})
		h.image("api:1", healthy())
		h.push("v1.0.0", alive("1.0", "")+"  api:\n    image: api:1\n    restart: always\n    deploy: {replicas: 3}\n    x-davit: {monitor: 0s, order: stop-first, min_available: 2}\n")
		h.pass(2 * time.Minute)
		old := h.only("web")
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.engine.Silence(old.ID, livePort, true)
		h.engine.UpdateByHand(h.by()["shop-api-1"].ID, reconcile.Limits{Memory: 64 << 20})
		h.engine.Sicken(h.by()["shop-api-3"].ID, true)
		h.pass(5 * time.Second)
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Second)
		h.engine.Silence(old.ID, livePort, false)
		h.pass(10 * time.Second)
		h.engine.Sicken(h.by()["shop-api-3"].ID, false)
		h.pass(time.Hour)
		if now := h.only("web"); now.ID != old.ID {
			t.Errorf("it was replaced though it was well\n%s\n%s", h.history(), h.story())
		}
	})
}

func TestWhatEndsByItselfIsStartedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		image enginetest.Behaviour
		says  string
	}{
		"with a code":        {enginetest.Behaviour{Exits: true, ExitAfter: 90 * time.Second, ExitCode: 3}, "healed web/1: exited with code 3"},
		"for lack of memory": {enginetest.Behaviour{Exits: true, ExitAfter: 90 * time.Second, OOM: true}, "healed web/1: was killed for lack of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", c.image)
				h.push("v1.0.0", "services:\n  web:\n    image: shop:1.0\n")
				h.pass(2 * time.Minute)
				h.expect("running", h.running(), "web/1 shop:1.0")
				if r := h.last(); r.Reason != c.says || r.Trigger != reconcile.TriggerHealing {
					t.Errorf("recorded as %s: %s\n%s", r.Trigger, r.Reason, h.story())
				}
			})
		})
	}
}

// doomed is an image whose containers stop answering their liveness probe a while after
// their start.
func doomed(after time.Duration) enginetest.Behaviour { return enginetest.Behaviour{MuteAfter: after} }

func TestHealingPausesEverLongerAndEndsWithAReason(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("agent restarts: %t", restarts), func(t *testing.T) {
			remembering(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", doomed(20*time.Second))
				h.push("v1.0.0", alive("1.0", ""))
				h.pass(time.Minute)
				for range 40 {
					if restarts {
						h.stop()
						h.boot()
					}
					h.pass(30 * time.Second)
				}
				h.record.mu.Lock()
				var begun []time.Time
				for _, r := range h.record.releases {
					if r.Trigger == reconcile.TriggerHealing {
						begun = append([]time.Time{r.Started}, begun...)
					}
				}
				h.record.mu.Unlock()
				if len(begun) != 5 {
					t.Fatalf("%d attempts\n%s", len(begun), h.story())
				}
				for i, pause := 1, 10*time.Second; i < len(begun); i, pause = i+1, 2*pause {
					if got := begun[i].Sub(begun[i-1]); got < pause {
						t.Errorf("attempt %d came %v after the one before, want at least %v", i+1, got, pause)
					}
				}
				h.degraded("web/3: liveness failed 3 times: connection refused")
				h.expect("what is beyond help runs on", h.running(), "web/3 shop:1.0")
				h.engine.ClearLog()
				h.pass(2 * time.Hour)
				h.expect("creations", fmt.Sprint(strings.Count(h.acts(), "create ")), "0")
			})
		})
	}
}

// degraded makes sure that the stack's one service was given up, once, and why.
func (h *host) degraded(reason string) {
	h.t.Helper()
	h.expect("events", fmt.Sprint(h.emitted(reconcile.EventDegraded)), "1")
	s := h.status()
	if s.Sync != reconcile.SyncSynced || s.Health == reconcile.ConditionHealthy || s.WaitingFor != "not healed any more: "+reason || s.Services[0].Healing == nil || s.Services[0].Healing.GivenUp == nil {
		h.t.Errorf("status %s %s %q %+v\n%s", s.Sync, s.Health, s.WaitingFor, s.Services, h.story())
	}
}

func TestWhatWasGivenUpIsHealedAgain(t *testing.T) {
	for name, act := range map[string]func(h *host){
		"when an operator says so": func(h *host) {
			if err := h.loop.Retry(h.t.Context(), "shop", "ann"); err != nil {
				h.t.Fatal(err)
			}
		},
		"when the content changes": func(h *host) { h.push("v1.1.0", alive("1.0", ", healing: {attempts: 1, backoff: 20s}")) },
		"when it has been well": func(h *host) {
			h.engine.Silence(h.only("web").ID, livePort, false)
			h.pass(61 * time.Minute)
			h.engine.Silence(h.only("web").ID, livePort, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			remembering(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", enginetest.Behaviour{})
				h.push("v1.0.0", alive("1.0", ", healing: {attempts: 1}"))
				h.pass(time.Minute)
				for range 2 {
					h.engine.Silence(h.only("web").ID, livePort, true)
					h.pass(time.Minute)
				}
				h.degraded("web/2: liveness failed 3 times: connection refused")
				h.stop()
				h.boot()
				h.pass(10 * time.Minute)
				h.expect("running while it is given up", h.running(), "web/2 shop:1.0")
				act(h)
				h.pass(time.Minute)
				if got := h.running(); got == "web/2 shop:1.0" {
					t.Errorf("it was not healed\n%s\n%s", h.history(), h.story())
				}
			})
		})
	}
}

func TestAReplacementThatFailsIsTakenAwayAndTriedAgain(t *testing.T) {
	remembering(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{AnswersAfter: 10 * time.Second, MuteAfter: 2 * time.Minute})
		gated := web("1.0") + "    x-davit: {start_timeout: 30s, monitor: 0s, healing: {attempts: 3}, probes: {readiness: {tcp: 8080, interval: 1s}, liveness: {tcp: 8081, interval: 1s, initial_delay: 15s}}}\n"
		h.push("v1.0.0", gated)
		h.pass(time.Minute)
		h.engine.Turn("shop:1.0", enginetest.Behaviour{AnswersAfter: time.Hour})
		h.pass(20 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 failed")
		h.expect("events of an end", fmt.Sprint(h.emitted(reconcile.EventDegraded)), "1")
		left := 0
		for _, c := range h.observe().Containers {
			if !c.Running() {
				left++
			}
		}
		if left > 3 {
			t.Errorf("%d failed replacements are kept", left)
		}
		h.engine.Turn("shop:1.0", enginetest.Behaviour{})
		if err := h.loop.Retry(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		if got := h.running(); !strings.HasPrefix(got, "web/") || got == "web/1 shop:1.0" {
			t.Errorf("running %s\n%s", got, h.story())
		}
	})
}

func TestAReplacementThatFailsTakesNoOtherWithIt(t *testing.T) {
	remembering(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.image("api:1", enginetest.Behaviour{})
		h.push("v1.0.0", alive("1.0", "")+"  api: {image: 'api:1', restart: always, x-davit: {monitor: 0s, start_timeout: 20s, probes: {readiness: {tcp: 8080}, liveness: {tcp: 8081, interval: 1s}}}}\n")
		h.pass(time.Minute)
		h.engine.Turn("api:1", enginetest.Behaviour{AnswersAfter: 24 * time.Hour})
		for _, name := range []string{"shop-web-1", "shop-api-1"} {
			h.engine.Silence(h.by()[name].ID, livePort, true)
		}
		h.pass(40 * time.Minute)
		h.expect("running", h.running(), "api/1 api:1, web/2 shop:1.0")
		h.expect("given up", fmt.Sprint(h.emitted(reconcile.EventDegraded)), "1")
		h.engine.Silence(h.only("web").ID, livePort, true)
		h.pass(time.Minute)
		h.expect("once what has replaced it fails", h.running(), "api/1 api:1, web/3 shop:1.0")
	})
}

// A service without a restart policy has nothing that would tell a container which davit
// has stopped from one that ended by itself: it was given up for its own replacement.
func TestWhatAFailedReplacementWasToReplaceGoesOn(t *testing.T) {
	for name, policy := range map[string]string{"no policy": "", "one that leaves ended work alone": "    restart: \"no\"\n"} {
		t.Run(name, func(t *testing.T) {
			remembering(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", enginetest.Behaviour{})
				h.push("v1.0.0", dataful(policy, ", start_timeout: 20s, healing: {attempts: 1}"))
				h.pass(time.Minute)
				old := h.only("web")
				h.engine.Turn("shop:1.0", enginetest.Behaviour{Exits: true, ExitAfter: time.Second / 2, ExitCode: 1})
				h.engine.Silence(old.ID, livePort, true)
				h.pass(40 * time.Minute)
				h.engine.Turn("shop:1.0", enginetest.Behaviour{})
				h.pass(20 * time.Minute)
				h.expect("running once it can", h.running(), "web/1 shop:1.0")
				if now := h.only("web"); now.ID != old.ID {
					t.Errorf("another container\n%s", h.story())
				}
			})
		})
	}
}

// dataful is a service that is replaced stop-first, and has a liveness probe.
func dataful(policy, more string) string {
	return "services:\n  web:\n    image: shop:1.0\n" + policy + "    volumes: [\"data:/data\"]\n" +
		"    x-davit: {monitor: 0s, stable_for: 1s, probes: {liveness: {tcp: 8081, interval: 1s}}" + more + "}\nvolumes: {data: {}}\n"
}

func TestWhatAnOperatorStopsIsNotHealed(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.push("v1.0.0", alive("1.0", ""))
		h.pass(time.Minute)
		web := h.only("web")
		h.engine.Silence(web.ID, livePort, true)
		h.pass(1500 * time.Millisecond)
		h.engine.StopByHand(web.ID)
		h.pass(3 * time.Hour)
		h.expect("running", h.running(), "")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		if s := h.status(); s.WaitingFor != "stopped by operator: web/1" {
			t.Errorf("status %q", s.WaitingFor)
		}
	})
}

func TestNothingIsHealedDuringARollout(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.image("shop:1.1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Minute})
		h.push("v1.0.0", alive("1.0", ""))
		h.pass(time.Minute)
		h.push("v1.1.0", alive("1.1", ""))
		h.pass(time.Second)
		h.engine.Silence(h.by()["shop-web-1"].ID, livePort, true)
		h.pass(45 * time.Second)
		h.expect("history meanwhile", strings.TrimSpace(h.history()), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0")
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestHealingThatIsOffLeavesWhatFailsAsItIs(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		hurt func(h *host)
		want string
	}{
		"dead by its probe": {alive("1.0", ", healing: off"), func(h *host) { h.engine.Silence(h.only("web").ID, livePort, true) }, "web/1 shop:1.0"},
		"ended":             {strings.Replace(alive("1.0", ", healing: off"), "unless-stopped", `"no"`, 1), func(h *host) { h.engine.Kill(h.only("web").ID) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", enginetest.Behaviour{})
				h.push("v1.0.0", c.yaml)
				h.pass(time.Minute)
				c.hurt(h)
				h.pass(3 * time.Hour)
				h.expect("running", h.running(), c.want)
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
				if s := h.status(); s.Health == reconcile.ConditionHealthy {
					t.Errorf("it passes for healthy: %+v", s)
				}
				h.engine.RemoveByHand(h.by()["shop-web-1"].ID)
				h.pass(time.Minute)
				h.expect("running after somebody removed it", h.running(), "web/1 shop:1.0")
			})
		})
	}
}

func TestWhatAnEngineTookDownComesBackAndCountsForNothing(t *testing.T) {
	remembering(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.push("v1.0.0", "services:\n  web:\n    image: shop:1.0\n    x-davit: {healing: {attempts: 1}}\n")
		h.pass(time.Minute)
		for range 8 {
			h.engine.StopDaemon()
			h.pass(5 * time.Second)
			h.engine.StartDaemon() // a container without a policy stays down
			h.pass(time.Minute)
			h.expect("running", h.running(), "web/1 shop:1.0")
		}
		if s := h.status(); s.Services[0].Healing != nil || h.emitted(reconcile.EventDegraded) > 0 {
			t.Errorf("it counts: %+v\n%s", s.Services[0].Healing, h.story())
		}
		if strings.Contains(h.story(), "healed") {
			t.Errorf("what the engine did is put down to the container:\n%s", h.story())
		}
	})
}

func TestWhatAnEngineTookDownComesBackThoughItWasGivenUp(t *testing.T) {
	remembering(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.push("v1.0.0", dataful("", ", healing: {attempts: 1}"))
		h.pass(time.Minute)
		for range 2 {
			h.engine.Silence(h.only("web").ID, livePort, true)
			h.pass(time.Minute)
		}
		h.degraded("web/2: liveness failed 3 times: connection refused")
		h.engine.StopDaemon()
		h.pass(5 * time.Second)
		h.engine.StartDaemon()
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.0")
		h.engine.Kill(h.only("web").ID)
		h.pass(10 * time.Minute)
		h.expect("running after it has ended by itself", h.running(), "")
	})
}

func TestOtherDriftDoesNotWaitForWhatCannotBeHealed(t *testing.T) {
	remembering(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", doomed(20*time.Second))
		h.image("db:1", healthy())
		h.push("v1.0.0", alive("1.0", "")+"  db: {image: 'db:1', restart: always}\n")
		h.pass(20 * time.Minute)
		h.engine.RemoveByHand(h.only("db").ID)
		h.pass(10 * time.Second)
		h.only("db")
	})
}

func TestReadinessMovesOnlyTheWeight(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		yaml := published("1.0") + "    deploy: {replicas: 2}\n    x-davit: {monitor: 0s, probes: {readiness: {tcp: 8080, interval: 1s}}}\n"
		h.push("v1.0.0", yaml)
		h.pass(time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/1, web/2")
		one, two := h.by()["shop-web-1"].ID, h.by()["shop-web-2"].ID
		for _, step := range []struct {
			what string
			act  func()
			want string
		}{
			{"one that does not answer gets nothing new", func() { h.engine.Silence(one, readyPort, true) }, "web [80]: web/2"},
			{"the last one keeps its place", func() { h.engine.Silence(two, readyPort, true) }, "web [80]: web/2"},
			{"and loses it to one that is ready", func() { h.engine.Silence(one, readyPort, false) }, "web [80]: web/1"},
			{"both are back", func() { h.engine.Silence(two, readyPort, false) }, "web [80]: web/1, web/2"},
			{"a health check that fails is no better", func() { h.engine.Sicken(one, true) }, "web [80]: web/2"},
			{"and comes back as well", func() { h.engine.Sicken(one, false) }, "web [80]: web/1, web/2"},
		} {
			step.act()
			h.pass(5 * time.Second)
			h.expect(step.what, routes(h, edge), step.want)
		}
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		h.engine.Silence(one, readyPort, true)
		h.pass(5 * time.Second)
		if s := h.status(); s.Services[0].Ready != 1 || s.Health != reconcile.ConditionDegraded {
			t.Errorf("status %s, %d ready", s.Health, s.Services[0].Ready)
		}
		h.push("v1.0.1", yaml+"  side: {image: 'shop:1.1', x-davit: {monitor: 0s}}\n")
		h.pass(time.Minute)
		h.expect("a release of something else", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.1 succeeded")
		h.expect("leaves the weight where it is", routes(h, edge), "web [80]: web/2")
	})
}

func TestWhatStartsAgainIsReadyBeforeItIsHandedAnything(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		edge := h.giveEdge()
		h.image("shop:1.0", enginetest.Behaviour{AnswersAfter: 20 * time.Second})
		h.push("v1.0.0", published("1.0")+"    deploy: {replicas: 2}\n    x-davit: {monitor: 0s, probes: {readiness: {tcp: 8080}}}\n")
		h.pass(2 * time.Minute)
		h.engine.Kill(h.by()["shop-web-1"].ID)
		h.pass(10 * time.Second)
		h.expect("while it comes up", routes(h, edge), "web [80]: web/2")
		h.pass(15 * time.Second)
		h.expect("once it is up", routes(h, edge), "web [80]: web/1, web/2")
	})
}
