package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

func TestPreStopIsRunBeforeEveryStop(t *testing.T) {
	for name, end := range map[string]func(h *host) error{
		"davit restart": func(h *host) error { return h.loop.Restart(h.t.Context(), ann) },
		"davit stop":    func(h *host) error { return h.loop.Stop(h.t.Context(), ann) },
		"davit remove": func(h *host) error {
			h.push("", "")
			h.pass(time.Second)
			return h.loop.Remove(h.t.Context(), "shop", "ann")
		},
		"a removal that the repository declares": func(h *host) error {
			h.push("", "")
			h.loop.Declare(reconcile.Declaration{Revision: h.revision, Removed: []string{"shop"}})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.push("v1.0.0", web("1.0")+"    pre_stop: [{command: [/app, goodbye]}]\n")
				h.pass(time.Minute)
				h.engine.ClearLog()
				if err := end(h); err != nil {
					t.Fatal(err)
				}
				h.pass(2 * time.Minute)
				if log := fmt.Sprint(h.engine.Log()); strings.Count(log, "pre_stop") != 1 {
					t.Errorf("pre_stop is to be run once: %s", log)
				}
			})
		})
	}
}

func TestPreStopIsRunBeforeWhatAFirstReleaseLeftIsStopped(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", sick())
		h.push("v1.0.0", web("1.0")+"    pre_stop: [{command: [/app, goodbye]}]\n")
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "")
		if log := fmt.Sprint(h.engine.Log()); strings.Count(log, "pre_stop") != 1 {
			t.Errorf("pre_stop is to be run once: %s", log)
		}
	})
}

func TestWhatIsStoppedByAnOperatorDrainsAsItIsDeclared(t *testing.T) {
	for limit, takes := range map[string]time.Duration{
		"{timeout: 8m}":              3 * time.Minute, // until it is idle
		"{timeout: 1m, streams: 1m}": time.Minute,
	} {
		t.Run(limit, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				edge := h.giveEdge()
				edge.Work = 3 * time.Minute
				h.push("v1.0.0", published("1.0")+"    x-davit: {drain: "+limit+"}\n")
				h.pass(time.Minute)
				before := time.Now()
				h.order(h.loop.Stop)
				if took := time.Since(before); took < takes || took > takes+30*time.Second {
					t.Errorf("it was stopped after %v, not %v", took, takes)
				}
			})
		})
	}
}
