package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// ann is her order about all of the stack.
var ann = reconcile.ServiceRequest{Stack: "shop", Actor: "ann"}

// order gives an order that is to be taken.
func (h *host) order(verb func(context.Context, reconcile.ServiceRequest) error) {
	h.t.Helper()
	if err := verb(h.t.Context(), ann); err != nil {
		h.t.Fatal(err)
	}
}

func TestWhatWasStoppedOfAPausedStackIsStartedAsItWas(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		begun(t, h, "failure_action: pause", "")
		h.push("v1.1.0", replicated("1.1", 4, "failure_action: pause", ""))
		h.pass(10 * time.Minute)
		h.expect("sync", string(h.status().Sync), "held")
		before, history := h.running(), h.history()
		h.order(h.loop.Stop)
		h.expect("stopped", h.running(), "")
		h.order(h.loop.Stop) // once more changes nothing
		h.pass(time.Minute)
		h.engine.Turn("shop:1.1", healthy())
		h.order(h.loop.Start)
		h.expect("started", h.running(), before)
		h.pass(time.Hour)
		h.expect("an hour later", h.running(), before)
		h.expect("history", h.history(), history)
		h.expect("sync", string(h.status().Sync), "held")
		if err := h.loop.Start(t.Context(), ann); err == nil {
			t.Error("what runs was started")
		}
	})
}

func TestWhatWasStoppedIsStartedThoughDavitLeavesTheStackAlone(t *testing.T) {
	for name, leave := range map[string]func(h *host){
		"an orphan":               func(h *host) { h.push("", "") },
		"suspended by its file":   func(h *host) { h.push("", "x-davit: {suspend: true}\n"+pair) },
		"suspended with new code": func(h *host) { h.push("v1.1.0", "x-davit: {suspend: true}\n"+web("1.1")) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("db:1", healthy())
				h.push("v1.0.0", pair)
				h.pass(time.Minute)
				leave(h)
				h.pass(time.Minute)
				if err := h.loop.Restart(t.Context(), ann); err == nil {
					t.Error("a restart was accepted that nobody carries out")
				}
				h.order(h.loop.Stop)
				h.expect("stopped", h.running(), "")
				h.stop()
				h.boot()
				leave(h)
				h.pass(time.Hour)
				h.expect("stopped still", h.running(), "")
				h.order(h.loop.Start)
				h.pass(time.Minute)
				h.expect("started", h.running(), "db/1 db:1, web/1 shop:1.0")
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
				h.expect("policy", h.byService("web").Restart, "unless-stopped")
			})
		})
	}
}

func TestWhatDoesNotComeUpAgainCanBeStartedOnceMore(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.push("v1.0.0", pair)
		h.pass(time.Minute)
		h.push("", "")
		h.pass(time.Minute)
		h.order(h.loop.Stop)
		name := h.byService("web").Name
		h.engine.Interrupt(func(op enginetest.Op, _ enginetest.Moment) error {
			if op.Kind == enginetest.OpStart && op.Target == name {
				return errors.New("no space left on device")
			}
			return nil
		})
		if err := h.loop.Start(t.Context(), ann); err == nil {
			t.Error("said to be started, and is not")
		}
		h.engine.Interrupt(nil)
		h.pass(time.Minute)
		h.expect("started in part", h.running(), "db/1 db:1")
		h.order(h.loop.Start)
		h.pass(time.Minute)
		h.expect("started", h.running(), "db/1 db:1, web/1 shop:1.0")
	})
}

func TestWhatIsStartedAgainIsServedByTheEdgeAgain(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.push("", "")
		h.pass(time.Minute)
		h.order(h.loop.Stop)
		h.pass(time.Minute)
		h.expect("routes", strings.TrimSpace(routes(h, edge)), "web [80]:")
		h.order(h.loop.Start)
		h.expect("routes", routes(h, edge), "web [80]: web/1")
		h.pass(time.Hour)
		h.expect("routes", routes(h, edge), "web [80]: web/1")
	})
}

func TestReplicasOfBothReleasesAreServedAgainWhereARolloutWasPaused(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		yaml := func(tag string) string {
			return published(tag) + "    deploy: {replicas: 4, update_config: {failure_action: pause, delay: 5m}}\n"
		}
		h.push("v1.0.0", yaml("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", yaml("1.1"))
		h.pass(7 * time.Minute)
		h.push("v1.2.0", "x-davit: {suspend: true}\n"+yaml("1.2"))
		h.pass(time.Minute)
		before, served := h.running(), routes(h, edge)
		if h.count("shop:1.0") == 0 || h.count("shop:1.1") == 0 {
			t.Fatalf("it was not caught in the middle: %s", before)
		}
		h.order(h.loop.Stop)
		h.expect("stopped", h.running(), "")
		h.pass(time.Minute)
		h.order(h.loop.Start)
		h.pass(time.Hour)
		h.expect("running", h.running(), before)
		h.expect("routes", routes(h, edge), served)
	})
}
