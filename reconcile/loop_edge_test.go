package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

func TestALateTagNamesWhatRunsAndRestartsNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("", web("1.0"))
		h.pass(time.Minute)
		before := h.observe().Containers[0].Started
		h.revision.Tag, h.revision.Version = "v1.0.0", "v1.0.0"
		h.declare()
		h.pass(time.Hour)
		h.expect("history", h.history(), "#1 deploy v0.0.0-1 succeeded\n#2 noop v1.0.0 succeeded")
		h.expect("version", h.status().Version, "v1.0.0")
		if after := h.observe().Containers[0].Started; !after.Equal(before) {
			t.Error("a name restarted a container")
		}
	})
}

func TestABrokenFileLeavesWhatRunsAndIsStalled(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.loop.Declare(reconcile.Declaration{Revision: h.revision, Broken: map[string]error{"shop": fmt.Errorf("compose.yaml: services.web: no image")}})
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "stalled")
		h.engine.RemoveByHand(h.observe().Containers[0].ID)
		h.pass(time.Minute)
		h.expect("drift is still healed", h.running(), "web/1 shop:1.0")
	})
}

func TestContainersOfOthersAreNeverTouched(t *testing.T) {
	for _, owner := range []string{"", "another"} {
		t.Run("owner "+owner, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", healthy())
				h.push("v1.0.0", web("1.0"))
				h.pass(time.Minute)
				h.stop()
				h.record.releases = nil
				h.engine.Relabel(owner)
				h.engine.ClearLog()
				h.push("v1.1.0", web("1.1"))
				h.boot()
				h.pass(time.Hour)
				h.expect("sync", string(h.status().Sync), "unadopted")
				if log := h.engine.Log(); len(log) > 0 {
					t.Errorf("touched: %v", log)
				}
			})
		})
	}
}

func TestDriftThatComesAgainAndAgainIsCorrectedEverMoreSlowly(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		for range 600 {
			for _, c := range h.observe().Containers {
				h.engine.RemoveByHand(c.ID)
			}
			h.pass(time.Second)
		}
		fixes := strings.Count(h.acts(), "create ") - 1
		if fixes < 4 || fixes > 40 {
			t.Errorf("%d corrections in ten minutes of sabotage", fixes)
		}
		h.pass(20 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
	})
}

func TestARollbackWhoseImageIsGoneIsRefusedAndChangesNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		first := h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0")+"    x-davit: {standby: {for: 0s}}\n")
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1")+"    x-davit: {standby: {for: 0s}}\n")
		h.pass(2 * time.Hour)
		h.engine.DeleteImage(first.ID)
		h.push("", web("1.0")+"    x-davit: {standby: {for: 0s}}\n")
		h.pass(time.Hour)
		h.expect("running", strings.Fields(h.running())[1], "shop:1.1")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 rollback v1.0.0 refused restores #1")
		h.expect("sync", string(h.status().Sync), "held")
	})
}

func TestImagesOfGoodReleasesAreKeptAndOthersLetGo(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		for i := range 5 {
			tag := fmt.Sprintf("1.%d", i)
			h.image("shop:"+tag, healthy())
			h.push("v"+tag+".0", web(tag))
			h.pass(time.Minute)
		}
		tags, err := h.engine.KeepTags(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"r3", "r4", "r5"} {
			if _, ok := tags["davit.local/keep/shop/web:"+want]; !ok {
				t.Errorf("no keep tag %s in %v", want, tags)
			}
			delete(tags, "davit.local/keep/shop/web:"+want)
		}
		if len(tags) > 0 {
			t.Errorf("images of older releases are still held: %v", tags)
		}
		if err := h.engine.Untag(t.Context(), "davit.local/keep/shop/web:r4"); err != nil {
			t.Fatal(err)
		}
		h.pass(20 * time.Minute)
		if tags, _ = h.engine.KeepTags(t.Context()); len(tags) != 3 {
			t.Errorf("a keep tag that a prune took away was not put back: %v", tags)
		}
	})
}

func TestPausedFailuresStayWhereTheyAre(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.push("v1.0.0", web("1.0")+"x-davit: {rollback: none}\n")
		h.pass(time.Minute)
		h.push("v1.1.0", web("bad")+"x-davit: {rollback: none}\n")
		h.pass(time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:bad")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed")
		h.expect("sync", string(h.status().Sync), "held")
	})
}

func TestAPauseOutlivesACrashBetweenTwoWrites(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.push("v1.0.0", web("1.0")+"x-davit: {rollback: none}\n")
		h.pass(time.Minute)
		h.record.mu.Lock()
		h.record.dieOnFailure = true
		h.record.mu.Unlock()
		h.push("v1.1.0", web("bad")+"x-davit: {rollback: none}\n")
		for range 1000 {
			h.record.mu.Lock()
			dead := h.record.dead
			h.record.mu.Unlock()
			if dead {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		h.stop()
		h.record.mu.Lock()
		h.record.dead, h.record.dieOnFailure = false, false
		h.record.mu.Unlock()
		h.boot()
		h.pass(time.Hour)
		if strings.Contains(h.history(), "auto-rollback") || !strings.Contains(h.running(), "shop:bad") {
			t.Errorf("it went back though nothing is to go back\n%s\n%s", h.history(), h.running())
		}
	})
}

func TestAFailureInTheMonitorWindowReturnsFromTheStandby(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:late", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 6 * time.Second})
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		standby := h.observe().Containers[0].ID
		h.push("v1.1.0", web("late"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		for _, c := range h.observe().Containers {
			if c.Running() && c.ID != standby {
				t.Errorf("returned with a new container %s instead of the standby", c.Name)
			}
		}
	})
}

func TestAFirstDeployThatFailsIsHeldWithNothingToReturnTo(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:bad", enginetest.Behaviour{Exits: true, ExitAfter: time.Second, ExitCode: 3})
		h.push("v1.0.0", web("bad"))
		h.pass(time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 failed")
		h.expect("sync", string(h.status().Sync), "held")
		if !strings.Contains(h.record.releases[0].Failure, "code 3") {
			t.Errorf("the failure does not say how it ended: %q", h.record.releases[0].Failure)
		}
		h.image("shop:1.0", healthy())
		h.push("v1.0.1", web("1.0"))
		h.pass(2 * time.Hour)
		h.expect("running", strings.Fields(h.running())[1], "shop:1.0")
		if n := len(h.observe().Containers); n != 1 {
			t.Errorf("%d containers, want the failed one gone after a success", n)
		}
	})
}
