package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestAStackAtRestIsLeftAtRest bounds what an hour costs in every state in which
// a stack may stay: looks at the engine, releases in all, and events.
func TestAStackAtRestIsLeftAtRest(t *testing.T) {
	const locked = "services:\n  web: {image: \"shop:1.0\", volumes: [data:/data], deploy: {update_config: {order: start-first}}}\nvolumes: {data: {}}\n"
	states := map[string]struct {
		prepare             func(t *testing.T, h *host)
		sync                string
		looks, rows, events int
	}{
		"synced":                            {func(t *testing.T, h *host) {}, "synced", 80, 1, 0},
		"waiting for an image":              {func(t *testing.T, h *host) { h.push("v1.1.0", web("missing")) }, "stalled", 700, 1, 1},
		"stalled by a plan that is refused": {func(t *testing.T, h *host) { h.push("v1.1.0", locked) }, "stalled", 150, 1, 0},
		"held":                              {func(t *testing.T, h *host) { h.push("v1.1.0", web("bad")) }, "held", 80, 3, 0},
		"held and unhealthy": {func(t *testing.T, h *host) {
			h.push("v1.1.0", web("ill"))
			h.pass(time.Hour) // it is beyond help
			h.push("v1.2.0", web("bad"))
		}, "held", 80, 9, 4},
		"orphaned": {func(t *testing.T, h *host) { h.push("v1.1.0", "") }, "orphaned", 80, 1, 0},
		"pinned": {func(t *testing.T, h *host) {
			h.push("v1.1.0", web("1.1"))
			h.pass(time.Minute)
			if _, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Hold: true}); err != nil {
				t.Fatal(err)
			}
		}, "pinned", 80, 3, 4},
		"suspended": {func(t *testing.T, h *host) {
			if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop"}); err != nil {
				t.Fatal(err)
			}
			h.push("v1.1.0", web("1.1"))
		}, "suspended", 80, 1, 0},
		"crash loop": {func(t *testing.T, h *host) {
			h.push("v1.1.0", web("crashes"))
			h.pass(time.Hour)
		}, "synced", 200, 7, 4},
		"network that cannot be removed": {func(t *testing.T, h *host) {
			h.push("v1.1.0", web("1.0")+"    networks: [front]\nnetworks: {front: {}}\n")
			h.engine.Interrupt(func(op enginetest.Op, m enginetest.Moment) error {
				if op.Kind == enginetest.OpRemoveNetwork && m == enginetest.Before {
					return errors.New("network has active endpoints")
				}
				return nil
			})
		}, "synced", 200, 3, 40},
	}
	for name, c := range states {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", healthy())
				h.image("shop:bad", sick())
				h.image("shop:ill", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: time.Minute})
				h.image("shop:crashes", enginetest.Behaviour{Exits: true, ExitAfter: time.Minute, ExitCode: 1})
				h.push("v1.0.0", web("1.0"))
				h.pass(time.Minute)
				c.prepare(t, h)
				h.pass(2 * time.Minute)
				h.looks.Store(0)
				before := h.told()
				h.pass(time.Hour)
				if n := h.looks.Load(); int(n) > c.looks {
					t.Errorf("%d looks at the engine in an hour, want at most %d", n, c.looks)
				}
				if n := len(h.record.releases); n > c.rows {
					t.Errorf("%d releases, want %d\n%s", n, c.rows, h.history())
				}
				if n := h.told() - before; n > c.events {
					t.Errorf("%d events, want at most %d", n, c.events)
				}
				h.expect("sync", string(h.status().Sync), c.sync)
			})
		})
	}
}
