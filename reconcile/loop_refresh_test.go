package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

// daily is the shop with an image that is looked up every day.
func daily(tag string) string {
	return fmt.Sprintf("services:\n  web: {image: 'shop:%s', restart: always, pull_policy: daily}\n  api: {image: 'api:1', restart: always}\n", tag)
}

// images are the IDs of the images that run, by service.
func (h *host) images() map[string]string {
	out := map[string]string{}
	for _, c := range h.observe().Containers {
		if c.Running() {
			out[c.Service] = c.ImageID
		}
	}
	return out
}

func TestATagThatMovedIsNoticedWhenItsTimeIsOver(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.push("v1.0.0", daily("1"))
		h.pass(time.Minute)
		before := h.images()
		moved := h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.pass(23 * time.Hour)
		h.expect("history before", h.history(), "#1 deploy v1.0.0 succeeded")
		h.pass(time.Hour + time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.0 succeeded")
		after := h.images()
		if after["web"] != moved.ID || after["api"] != before["api"] {
			t.Errorf("before %v, after %v; web should be %s", before, after, moved.ID)
		}
		r := h.record.releases[0]
		if r.Trigger != reconcile.TriggerImage || !strings.HasPrefix(r.Reason, "image changed behind tag: shop:1") {
			t.Errorf("trigger %s, reason %q", r.Trigger, r.Reason)
		}
		h.pass(72 * time.Hour)
		h.expect("history later", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.0 succeeded")
	})
}

func TestATagThatStayedChangesNothing(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.push("v1.0.0", daily("1"))
		h.pass(time.Hour)
		h.engine.ClearLog()
		h.pass(30 * 24 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		if log := h.engine.Log(); len(log) > 0 {
			t.Errorf("changes without a reason: %v", log)
		}
	})
}

func TestAnImageThatCameByItselfAndFailsIsTriedOnce(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		good := h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.push("v1.0.0", daily("1"))
		h.pass(time.Minute)
		h.engine.Publish("shop:1", sick())
		h.pass(96 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		if now := h.images()["web"]; now != good.ID {
			t.Errorf("web runs %s, want %s", now, good.ID)
		}
		h.expect("sync", string(h.status().Sync), "synced")
		// The next image is another one.
		better := h.engine.Publish("shop:1", healthy())
		h.pass(25 * time.Hour)
		if now := h.images()["web"]; now != better.ID {
			t.Errorf("web runs %s, want %s", now, better.ID)
		}
	})
}

func TestARevertIsNotHeldForAnImageThatFailedLater(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		good := h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.push("v1.0.0", daily("1"))
		h.pass(time.Minute)
		h.engine.Publish("shop:1", sick())
		h.pass(25 * time.Hour)
		h.engine.Publish("shop:2", healthy())
		h.push("v2.0.0", daily("2"))
		h.pass(time.Hour)
		h.push("v2.0.1", daily("1"))
		h.pass(time.Hour)
		h.expect("sync", string(h.status().Sync), "synced")
		if now := h.images()["web"]; now != good.ID {
			t.Errorf("web runs %s, want %s", now, good.ID)
		}
	})
}

func TestARegistryThatIsDownChangesNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.push("v1.0.0", daily("1"))
		h.pass(time.Minute)
		moved := h.engine.Publish("shop:1", healthy())
		h.engine.RegistryFails(reconcile.ErrRegistryUnavailable)
		h.pass(48 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		h.expect("sync", string(h.status().Sync), "synced")
		h.engine.RegistryFails(nil)
		h.pass(6 * time.Minute)
		if now := h.images()["web"]; now != moved.ID {
			t.Errorf("once it is up, web runs %s, want %s", now, moved.ID)
		}
	})
}

func TestARestartOfTheAgentDoesNotStartTheClockAnew(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.push("v1.0.0", daily("1"))
		h.pass(13 * time.Hour)
		moved := h.engine.Publish("shop:1", healthy())
		h.stop()
		h.boot()
		h.pass(12 * time.Hour)
		if now := h.images()["web"]; now != moved.ID {
			t.Errorf("web runs %s, want %s", now, moved.ID)
		}
	})
}

func TestARetryTriesAnImageThatFailedAgain(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Publish("shop:1", healthy())
		h.engine.Publish("api:1", healthy())
		h.push("v1.0.0", daily("1"))
		h.pass(time.Minute)
		h.engine.Publish("shop:1", sick())
		h.pass(25 * time.Hour)
		if err := h.loop.Retry(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.0.0 failed
#3 auto-rollback v1.0.0 succeeded restores #1
#4 deploy v1.0.0 failed
#5 auto-rollback v1.0.0 succeeded restores #1`)
	})
}
