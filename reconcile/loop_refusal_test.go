package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// refuse has the engine refuse every mutation that fits.
func (h *host) refuse(why error, fits func(enginetest.Op) bool) {
	h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
		if at == enginetest.Before && fits(op) {
			return why
		}
		return nil
	})
}

func TestANetworkThatCannotBeMadeAnewIsPutBackAndItsContentHeld(t *testing.T) {
	const stack = "services:\n  web: {image: \"web:1\", restart: always}\n  db: {image: \"db:1\", restart: always}\n" +
		"networks: {default: {internal: %v}}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("web:1", healthy())
		h.image("db:1", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, false))
		h.pass(time.Minute)
		made := 0
		h.refuse(errors.New("Pool overlaps with other one on this address space"), func(op enginetest.Op) bool {
			if op.Kind == enginetest.OpCreateNetwork {
				made++
			}
			return op.Kind == enginetest.OpCreateNetwork && made <= 2 // it is asked twice
		})
		h.push("v1.1.0", fmt.Sprintf(stack, true))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/1 web:1")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		told := h.told()
		h.pass(2 * time.Hour)
		if h.told() > told {
			t.Errorf("it never comes to rest:\n%s", h.story())
		}
	})
}

// An engine on its way down refuses what it is asked in many words. None of them is
// the content's fault.
func TestContentIsNotHeldForAnEngineOnItsWayDown(t *testing.T) {
	for _, why := range []string{
		"Error response from daemon: OCI runtime create failed: container_linux.go:380: starting container process caused: context canceled: unknown",
		"Error response from daemon: error while removing network: network shop_default has active endpoints",
		"Error response from daemon: transport is closing: unavailable",
	} {
		for _, kind := range []enginetest.OpKind{enginetest.OpStart, enginetest.OpCreate, enginetest.OpPolicy} {
			t.Run(fmt.Sprint(kind, why[20:50]), func(t *testing.T) {
				simulate(t, func(t *testing.T, h *host) {
					h.image("shop:1.0", healthy())
					h.image("shop:1.1", healthy())
					h.push("v1.0.0", web("1.0"))
					h.pass(time.Minute)
					dying := false
					h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
						if dying || op.Kind != kind || at != enginetest.Before {
							return nil
						}
						dying = true
						h.engine.StopDaemon()
						return errors.New(why)
					})
					h.push("v1.1.0", web("1.1"))
					h.pass(20 * time.Second)
					if !dying {
						t.Fatal("nothing was asked of the engine")
					}
					h.engine.Interrupt(nil)
					h.engine.StartDaemon()
					h.pass(10 * time.Minute)
					if got := h.running(); !strings.HasSuffix(got, "shop:1.1") || h.emitted(reconcile.EventHeld) > 0 {
						t.Errorf("running %s\n%s\n%s", got, h.history(), h.story())
					}
				})
			})
		}
	}
}
