package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// replicated is a stack of one service with replicas, an update_config and an x-davit
// block.
func replicated(tag string, replicas int, update, davit string) string {
	return fmt.Sprintf("services:\n  web:\n    image: shop:%s\n    restart: unless-stopped\n    deploy: {replicas: %d, update_config: {%s}}\n    x-davit: {%s}\n", tag, replicas, update, davit)
}

// begun has four replicas of shop:1.0 run, and an image that fails.
func begun(t *testing.T, h *host, update, davit string) {
	t.Helper()
	h.image("shop:1.0", healthy())
	h.image("shop:1.1", sick())
	h.push("v1.0.0", replicated("1.0", 4, update, davit))
	h.pass(2 * time.Minute)
	h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
}

// until lets seconds go by until a replica has failed n times.
func (h *host) until(n int) {
	h.t.Helper()
	for range 6000 {
		if h.emitted(reconcile.EventReplicaFailed) >= n {
			return
		}
		h.pass(100 * time.Millisecond)
	}
	h.t.Fatalf("%d failures were tolerated\n%s", h.emitted(reconcile.EventReplicaFailed), h.story())
}

// count is how many replicas run an image.
func (h *host) count(image string) int { return strings.Count(h.running()+",", image+",") }

func TestAFailureThatReachesTheRatioIsMadeUpFor(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		begun(t, h, "max_failure_ratio: 0.25", "")
		h.push("v1.1.0", replicated("1.1", 4, "max_failure_ratio: 0.25", ""))
		h.until(1)
		h.engine.Turn("shop:1.1", healthy())
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		if h.count("shop:1.1") != 4 || h.count("shop:1.0") != 0 {
			t.Errorf("running %s\n%s", h.running(), h.story())
		}
		if n := h.emitted(reconcile.EventReplicaFailed); n != 1 {
			t.Errorf("%d failures were told\n%s", n, h.story())
		}
	})
}

func TestAFailureMoreThanTheRatioFailsTheRelease(t *testing.T) {
	for ratio, tolerated := range map[string]int{"0": 0, "0.2": 0, "0.25": 1, "0.5": 2, "0.74": 2} {
		t.Run(ratio, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				update := "max_failure_ratio: " + ratio
				begun(t, h, update, "")
				h.push("v1.1.0", replicated("1.1", 4, update, ""))
				h.pass(10 * time.Minute)
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
				if n := h.emitted(reconcile.EventReplicaFailed); n != tolerated || h.count("shop:1.0") != 4 {
					t.Errorf("%d failures were tolerated, want %d; running %s\n%s", n, tolerated, h.running(), h.story())
				}
			})
		})
	}
}

func TestFailuresAreCountedOnAfterACrash(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		begun(t, h, "max_failure_ratio: 0.25", "")
		h.push("v1.1.0", replicated("1.1", 4, "max_failure_ratio: 0.25", ""))
		h.until(1)
		h.record.die(true)
		h.stop()
		h.record.die(false)
		h.boot()
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 interrupted\n#3 deploy v1.1.0 failed\n#4 auto-rollback v1.0.0 succeeded restores #1")
		if n := h.emitted(reconcile.EventReplicaFailed); n != 1 {
			t.Errorf("%d failures were tolerated\n%s", n, h.story())
		}
	})
}

func TestContinueGoesOnUntilAReplicaHolds(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		begun(t, h, "failure_action: continue", "")
		h.push("v1.1.0", replicated("1.1", 4, "failure_action: continue", ""))
		h.until(4)
		if h.count("shop:1.0") != 4 {
			t.Errorf("running %s", h.running())
		}
		h.engine.Turn("shop:1.1", healthy())
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestContinuePausesWhenNoReplicaEverHolds(t *testing.T) {
	for name, bad := range map[string]enginetest.Behaviour{
		"never ready":             sick(),
		"ready for a few seconds": {Healthcheck: true, HealthyAfter: 2 * time.Second, Exits: true, ExitAfter: 5 * time.Second, ExitCode: 1},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				begun(t, h, "failure_action: continue", "progress_timeout: 3m")
				h.engine.Turn("shop:1.1", bad)
				h.push("v1.1.0", replicated("1.1", 4, "failure_action: continue", "progress_timeout: 3m"))
				h.pass(30 * time.Minute)
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed")
				if st := h.status(); st.Sync != reconcile.SyncHeld {
					t.Errorf("%s: %s; running %s\n%s", st.Sync, st.WaitingFor, h.running(), h.story())
				}
				if name == "never ready" && h.count("shop:1.0") != 4 {
					t.Errorf("running %s", h.running())
				}
			})
		})
	}
}

func TestNoProgressFailsBeforeTheContainersOwnTimeIsUp(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		slow := "start_timeout: 20m, progress_timeout: 30s"
		const patient = "  db:\n    image: shop:1.0\n" // which has ten minutes
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", enginetest.Behaviour{Healthcheck: true, Sick: true})
		h.push("v1.0.0", replicated("1.0", 2, "", slow)+patient)
		h.pass(time.Minute)
		h.push("v1.1.0", replicated("1.1", 2, "", slow)+patient)
		h.pass(2 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		if !strings.Contains(h.story(), "no replica of web has become ready for 30s") {
			t.Error(h.story())
		}
	})
}

func TestARolloutWaitsWhileTheBudgetIsSpent(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		budget := "order: stop-first, min_available: 2"
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 20 * time.Second})
		h.push("v1.0.0", replicated("1.0", 3, "", budget))
		h.pass(time.Minute)
		h.push("v1.1.0", replicated("1.1", 3, "", budget))
		h.pass(10 * time.Second) // the first one has stopped, its successor is on its way
		lost := ""
		for _, c := range h.observe().Containers {
			if c.Running() && c.ImageRef == "shop:1.0" {
				lost = c.ID
			}
		}
		h.engine.Kill(lost)
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		if h.count("shop:1.1") != 3 {
			t.Errorf("running %s\n%s", h.running(), h.story())
		}
	})
}

func TestDriftWaitsForWhatAnOperatorStoppedAndIsCorrectedOnceTheBudgetAllows(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.push("v1.0.0", replicated("1.0", 3, "", "order: stop-first, min_available: 2")+"  db: {image: 'db:1', restart: always}\n")
		h.pass(time.Minute)
		h.engine.StopByHand(h.by()["shop-web-3"].ID)
		h.pass(10 * time.Second)
		h.engine.UpdateByHand(h.by()["shop-web-1"].ID, reconcile.Limits{Memory: 64 << 20})
		h.pass(10 * time.Minute)
		if st := h.status(); st.Sync != reconcile.SyncWaiting || st.WaitingFor != "web: budget: 2 of 3 ready, needs 2" || h.count("shop:1.0") != 2 {
			t.Errorf("%s: %s; running %s\n%s", st.Sync, st.WaitingFor, h.running(), h.story())
		}
		h.expect("while it waits", h.history(), "#1 deploy v1.0.0 succeeded")
		h.engine.RemoveByHand(h.only("db").ID)
		h.pass(time.Minute)
		h.only("db")
		if st := h.status(); st.Sync != reconcile.SyncWaiting || st.WaitingFor != "web: budget: 2 of 3 ready, needs 2" {
			t.Errorf("beside another correction %s: %s\n%s", st.Sync, st.WaitingFor, h.story())
		}
		h.engine.StartByHand(h.by()["shop-web-3"].ID)
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded\n#3 drift-fix v1.0.0 succeeded")
		if st := h.status(); st.Sync != reconcile.SyncSynced || h.count("shop:1.0") != 3 {
			t.Errorf("%s: %s; running %s\n%s", st.Sync, st.WaitingFor, h.running(), h.story())
		}
	})
}

func TestWhatIsOnlyWatchedKeepsNoOtherStackWaiting(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.stop()
		h.adjust = func(o *reconcile.Options) { o.Parallel = 1 }
		h.boot()
		h.image("shop:1.0", healthy())
		h.image("blog:1.0", healthy())
		h.declareStacks(map[string]string{
			"shop": replicated("1.0", 1, "", "monitor: 1h"),
			"blog": strings.ReplaceAll(replicated("1.0", 1, "", "monitor: 1h"), "shop:", "blog:"),
		})
		h.pass(time.Minute)
		running := 0
		for _, c := range h.observe().Containers {
			if c.Running() {
				running++
			}
		}
		if running != 2 {
			t.Errorf("%d of two stacks run after a minute\n%s", running, h.story())
		}
		h.pass(2 * time.Hour)
	})
}

func TestARevisionInTheMonitorWindowTakesOverAndAFailureGoesBackToWhatWasProven(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.image("shop:1.2", sick())
		watched := "monitor: 5m"
		h.push("v1.0.0", replicated("1.0", 2, "", watched))
		h.pass(10 * time.Minute)
		h.push("v1.1.0", replicated("1.1", 2, "", watched))
		h.pass(time.Minute)
		h.expect("before it is proven", strings.TrimSpace(h.history()), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0")
		h.push("v1.2.0", replicated("1.2", 2, "", watched))
		h.pass(20 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 superseded\n#3 deploy v1.2.0 failed\n#4 auto-rollback v1.0.0 succeeded restores #1")
		if h.count("shop:1.0") != 2 {
			t.Errorf("running %s", h.running())
		}
	})
}
