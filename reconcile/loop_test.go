package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// healthy is the behaviour of a good image.
func healthy() enginetest.Behaviour {
	return enginetest.Behaviour{Healthcheck: true, HealthyAfter: 2 * time.Second}
}

// sick never passes its health check.
func sick() enginetest.Behaviour {
	return enginetest.Behaviour{Healthcheck: true, Sick: true, UnhealthyAfter: 5 * time.Second}
}

func web(tag string) string {
	return fmt.Sprintf("services:\n  web:\n    image: shop:%s\n    restart: unless-stopped\n", tag)
}

func TestANewVersionReplacesTheOldOne(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		s := h.status()
		h.expect("status", fmt.Sprintf("%s %s %s %d/%d", s.Version, s.Sync, s.Health, s.Services[0].Ready, s.Services[0].Desired), "v1.1.0 synced healthy 1/1")
	})
}

func TestASecondPassOverAnUnchangedWorldChangesNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.engine.ClearLog()
		h.loop.Wake("", reconcile.TriggerCLI)
		h.pass(2 * time.Hour)
		if log := h.engine.Log(); len(log) > 0 {
			t.Errorf("changes without a reason: %v", log)
		}
	})
}

func TestARevertRestoresTheRecordedImageThoughItsTagMoved(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		original := h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.image("shop:1.1", healthy())
		h.push("v1.1.0", web("1.1"))
		h.pass(2 * time.Hour) // the standby is gone
		h.image("shop:1.0", enginetest.Behaviour{Healthcheck: true, Log: "an impostor"})
		h.engine.RegistryFails(reconcile.ErrRegistryUnavailable)
		h.push("", web("1.0"))
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 rollback v1.0.0 succeeded restores #1")
		for _, c := range h.observe().Containers {
			if c.Running() && c.ImageID != original.ID {
				t.Errorf("%s runs %s, want the original %s", c.Name, c.ImageID, original.ID)
			}
		}
	})
}

func TestBadContentIsTriedOnceAndHeld(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		before := h.running()
		h.push("v1.1.0", web("bad"))
		h.pass(3 * time.Hour)
		h.expect("running", h.running(), before)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("sync", string(h.status().Sync), "held")

		h.image("shop:1.2", healthy())
		h.push("v1.2.0", web("1.2"))
		h.pass(time.Minute)
		h.push("v1.3.0", web("bad")) // the same bad content, after something good
		h.pass(time.Hour)
		h.expect("held again", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 failed
#3 auto-rollback v1.0.0 succeeded restores #1
#4 deploy v1.2.0 succeeded`)
		h.expect("sync", string(h.status().Sync), "held")
	})
}

func TestRetryTriesHeldContentAgain(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("bad"))
		h.pass(time.Hour)
		if err := h.loop.Retry(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		h.expect("history", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 failed
#3 auto-rollback v1.0.0 succeeded restores #1
#4 deploy v1.1.0 failed
#5 auto-rollback v1.0.0 succeeded restores #1`)
		h.expect("running", h.running(), "web/1 shop:1.0")
	})
}

func TestAMissingImageIsWaitedForAndNeverHeld(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(2 * time.Minute)
		h.expect("sync", string(h.status().Sync), "waiting")
		h.pass(time.Hour)
		h.expect("sync after image_wait", string(h.status().Sync), "stalled")
		if n := h.emitted(reconcile.EventWaitingTooLong); n != 1 {
			t.Errorf("%d events about waiting too long, want 1", n)
		}
		h.engine.Publish("shop:1.1", healthy())
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestANewerRevisionSupersedesARollout(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:slow", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 90 * time.Second})
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("slow"))
		h.pass(20 * time.Second)
		for i := range 30 {
			tag := fmt.Sprintf("2.%d", i)
			h.image("shop:"+tag, healthy())
			h.push("v"+tag+".0", web(tag))
			h.pass(300 * time.Millisecond)
		}
		h.pass(3 * time.Minute)
		h.expect("running", strings.Fields(h.running())[1], "shop:2.29")
		if !strings.Contains(h.history(), "#2 deploy v1.1.0 superseded") {
			t.Errorf("the slow rollout was not superseded:\n%s", h.history())
		}
		if n := len(h.observe().Containers); n > 2 {
			t.Errorf("%d containers are left, want the running one and a standby", n)
		}
	})
}

func TestAFailedStopFirstReplacementStartsTheOldContainerAgain(t *testing.T) {
	const db = "services:\n  db: {image: \"db:%s\", restart: always}\n"
	simulate(t, func(t *testing.T, h *host) {
		good, bad := healthy(), sick()
		good.Volumes, bad.Volumes = []string{"/data"}, []string{"/data"}
		h.image("db:15", good)
		h.image("db:16", bad)
		h.push("v1.0.0", fmt.Sprintf(db, "15"))
		h.pass(time.Minute)
		before := h.observe().Containers[0]
		h.push("v1.1.0", fmt.Sprintf(db, "16"))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/1 db:15")
		for _, c := range h.observe().Containers {
			if c.Volumes["/data"] != before.Volumes["/data"] {
				t.Errorf("%s has volume %s, want %s", c.Name, c.Volumes["/data"], before.Volumes["/data"])
			}
		}
		if n := h.engine.MaxWriters(before.Volumes["/data"]); n != 1 {
			t.Errorf("%d writers at once", n)
		}
		h.engine.RestartDaemon()
		h.pass(time.Minute)
		h.expect("running after an engine restart", h.running(), "db/1 db:15")
	})
}

func TestAManualRollbackPinsUntilTheContentChanges(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		for _, tag := range []string{"1.0", "1.1", "1.2"} {
			h.image("shop:"+tag, healthy())
		}
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		if _, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "pinned")
		h.push("v1.1.1", web("1.1")) // another commit, the same content
		h.pass(time.Minute)
		h.expect("still pinned", h.running(), "web/1 shop:1.0")
		h.push("v1.2.0", web("1.2"))
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "synced")
		h.expect("history", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 succeeded
#3 manual-rollback v1.0.0 succeeded restores #1
#4 deploy v1.2.0 succeeded`)
	})
}

func TestASuspendedStackIsLeftAlone(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", For: time.Hour, Actor: "ann", Reason: "counting"}); err != nil {
			t.Fatal(err)
		}
		h.push("v1.1.0", web("1.1"))
		h.pass(50 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "suspended")
		h.pass(20 * time.Minute)
		h.expect("running after its end", h.running(), "web/2 shop:1.1")
	})
}

func TestAStackThatVanishesFromGitRunsOnUntilItIsRemoved(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		if err := h.loop.Remove(t.Context(), "shop", "ann"); err == nil {
			t.Error("a declared stack was removed")
		}
		h.push("v1.1.0", "")
		h.pass(time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "orphaned")
		if err := h.loop.Remove(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		if o := h.observe(); len(o.Containers)+len(o.Networks) > 0 {
			t.Errorf("left after remove: %v", o)
		}
	})
}

func TestAContainerRemovedByHandIsMadeAgain(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.engine.RemoveByHand(h.observe().Containers[0].ID)
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded")
	})
}

func TestAFullDiskStopsARolloutBeforeItChangesAnything(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.engine.ClearLog()
		h.record.fill(true)
		h.push("v1.1.0", web("1.1"))
		h.pass(10 * time.Minute)
		if log := h.engine.Log(); len(log) > 0 {
			t.Errorf("changed on a full disk: %v", log)
		}
		h.record.fill(false)
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

func TestServicesThatMovedGoBackExceptThoseWithData(t *testing.T) {
	const shop = `
services:
  db: {image: "db:%[1]s", volumes: [data:/data]}
  api: {image: "api:%[1]s", depends_on: [db]}
  web: {image: "web:%[2]s", depends_on: {api: {condition: service_healthy}}}
volumes: {data: {}}
`
	simulate(t, func(t *testing.T, h *host) {
		for _, ref := range []string{"db:1", "db:2", "api:1", "api:2", "web:1"} {
			h.image(ref, healthy())
		}
		h.image("web:bad", sick())
		h.push("v1.0.0", fmt.Sprintf(shop, "1", "1"))
		h.pass(time.Minute)
		h.push("v2.0.0", fmt.Sprintf(shop, "2", "bad"))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "api/1 api:1, db/2 db:2, web/1 web:1")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v2.0.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		h.pass(3 * time.Hour)
		h.expect("history later", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v2.0.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
	})
}

func TestOneShotsRunOncePerReleaseAndNotForRollbacks(t *testing.T) {
	const shop = `
services:
  migrate: {image: "migrate:%[1]s"}
  web: {image: "shop:%[1]s", depends_on: {migrate: {condition: service_completed_successfully}}}
`
	simulate(t, func(t *testing.T, h *host) {
		for _, v := range []string{"1", "2"} {
			h.image("migrate:"+v, enginetest.Behaviour{Exits: true, ExitAfter: time.Second})
			h.image("shop:"+v, healthy())
		}
		h.push("v1.0.0", fmt.Sprintf(shop, "1"))
		h.pass(time.Minute)
		h.push("v2.0.0", fmt.Sprintf(shop, "2"))
		h.pass(3 * time.Hour)
		h.engine.ClearLog()
		h.push("", fmt.Sprintf(shop, "1"))
		h.pass(time.Hour)
		for _, op := range h.engine.Log() {
			if op.Kind == enginetest.OpStart && strings.Contains(op.Target, "migrate") {
				t.Errorf("a rollback ran a one-shot: %v", op)
			}
		}
		h.expect("running", h.running(), "web/1 shop:1")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v2.0.0 succeeded\n#3 rollback v1.0.0 succeeded restores #1")
	})
}
