package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
)

func TestAnOperatorsRollbackIsJudgedByTodaysPolicy(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		before := h.running()
		h.loop.Judge = func(p *compose.Project) error {
			if p.Services[0].Config.Image == "shop:1.0" {
				return errors.New("policy: images: not this one")
			}
			return nil
		}
		h.engine.ClearLog()
		if _, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), before)
		if log := h.engine.Log(); len(log) > 0 {
			t.Errorf("the engine was asked to change something: %v", log)
		}
		if text := h.history(); !strings.Contains(text, "#3 manual-rollback v1.0.0 refused") {
			t.Errorf("history: %s", text)
		}
	})
}

func TestAnAutomaticRollbackPutsBackWhatRanWhateverThePolicy(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		before := h.running()
		h.loop.Judge = func(*compose.Project) error { return errors.New("policy: nothing is allowed") }
		h.push("v1.1.0", web("bad"))
		h.pass(time.Hour)
		h.expect("running", h.running(), before)
	})
}
