package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
)

func TestAReleaseDoesNotWaitForTheEnginesFirstLook(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, h *host) {
		for _, tag := range []string{"shop:1.0", "shop:1.1"} {
			h.image(tag, enginetest.Behaviour{Healthcheck: true, HealthyAfter: 2 * time.Second, CheckedEvery: 30 * time.Minute})
		}
		edge := h.giveEdge()
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.expect("edge", routes(h, edge), "web [80]: web/1")
		edge.Crowd("web", 10)
		h.push("v1.1.0", published("1.1"))
		h.pass(10 * time.Second)
		h.expect("edge", routes(h, edge), "web [80]: web/2")
		for range 3 {
			h.stop() // and with it what the agent has found out
			h.boot()
			h.pass(10 * time.Second)
			if got := routes(h, edge); !strings.HasPrefix(got, "web [80]: web/2") {
				t.Errorf("edge of the next agent: %s", got)
			}
		}
		h.pass(5 * time.Minute)
		h.expect("edge", routes(h, edge), "web [80]: web/2")
		h.expect("running", h.running(), "web/2 shop:1.1")
		if tally := edge.Tally("web"); tally.Requests == 0 || tally.Failed > 0 {
			t.Errorf("%d of %d requests failed", tally.Failed, tally.Requests)
		}
		if st := h.status(); st.Health != "healthy" {
			t.Errorf("the stack is %s long before the engine has looked", st.Health)
		}
		h.engine.RestartDaemon()
		h.pass(10 * time.Second)
		if n := edge.Serving("web"); n != 1 {
			t.Errorf("%d serve 10s after the engine has started again", n)
		}
	})
}
