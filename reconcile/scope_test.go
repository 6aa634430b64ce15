package reconcile_test

import (
	"testing"
	"time"

	"davit/reconcile"
)

func TestAConfinedLoopActsOnItsScopeOnly(t *testing.T) {
	for name, test := range map[string]struct {
		scope reconcile.Scope
		want  string
	}{
		"a source":             {reconcile.Scope{Source: "a"}, "api shop:1.1, kept shop:1.0, shop shop:1.1"},
		"a stack of it":        {reconcile.Scope{Source: "a", Stack: "shop"}, "kept shop:1.0, shop shop:1.1"},
		"another source's":     {reconcile.Scope{Source: "a", Stack: "till"}, "kept shop:1.0"},
		"a source of no stack": {reconcile.Scope{Source: "c"}, "kept shop:1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			follow(t, func(t *testing.T, h *several) {
				h.says("a", named(t, "shop", "1.0"), named(t, "api", "1.0"), named(t, "kept", "1.0"))
				h.says("b", named(t, "till", "1.0"))
				h.pass(time.Minute)
				h.stop()
				var options reconcile.Options
				h.adjust = func(o *reconcile.Options) {
					o.Sources, o.Memory = []string{"a", "b"}, h.memory
					options = *o
				}
				h.boot()
				h.stop()
				for _, c := range h.observe().Containers {
					if c.Stack != "kept" {
						h.engine.RemoveByHand(c.ID)
					}
				}
				h.loop = reconcile.New(options)
				h.says("a", named(t, "shop", "1.1"), named(t, "api", "1.1"))
				h.says("b", named(t, "till", "1.1"))
				h.loop.Confine(test.scope)
				if err := h.loop.Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.expect("running", h.runs(), test.want)
			})
		})
	}
}
