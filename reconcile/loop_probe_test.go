package reconcile_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
)

// asked is a stack of one service that davit probes over the network.
func asked(tag string) string {
	return web(tag) + "    x-davit: {monitor: 30s, probes: {startup: {tcp: 8080}, readiness: {http: {port: 8080, path: /ready}, interval: 2s}}}\n"
}

func TestAReplicaServesOnceItsProbesAnswer(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.image("shop:1.1", enginetest.Behaviour{AnswersAfter: 15 * time.Second})
		h.push("v1.0.0", asked("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", asked("1.1"))
		h.pass(10 * time.Second)
		h.expect("while it does not answer", h.running(), "web/1 shop:1.0, web/2 shop:1.1")
		h.pass(10 * time.Second)
		h.expect("once it does", h.running(), "web/2 shop:1.1")
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestContentWhoseProbesFailGoesBack(t *testing.T) {
	for name, c := range map[string]struct {
		bad  enginetest.Behaviour
		says string
	}{
		"at its start":               {enginetest.Behaviour{AnswersAfter: time.Hour}, "web/2 failed its startup probe tcp :8080 3 times in a row: connection refused"},
		"in the window after it":     {enginetest.Behaviour{MuteAfter: 10 * time.Second}, "web/2 failed its readiness probe http :8080/ready 3 times in a row: connection refused"},
		"though its health is fine":  {enginetest.Behaviour{Healthcheck: true, AnswersAfter: time.Hour}, "web/2 failed its startup probe tcp :8080"},
		"by health, though it talks": {sick(), "web/2 became unhealthy"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", enginetest.Behaviour{})
				h.image("shop:bad", c.bad)
				h.push("v1.0.0", asked("1.0"))
				h.pass(time.Minute)
				h.push("v1.1.0", asked("bad"))
				h.pass(10 * time.Minute)
				h.expect("running", h.running(), "web/1 shop:1.0")
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
				if !strings.Contains(h.story(), c.says) {
					t.Errorf("nobody says %q:\n%s", c.says, h.story())
				}
			})
		})
	}
}

func TestProbesThatAreTheOnlyChangeRestartNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{})
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		before := h.observe().Containers
		h.push("v1.0.1", asked("1.0"))
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.0.1 succeeded")
		if after := h.observe().Containers; !reflect.DeepEqual(before, after) {
			t.Errorf("before:\n%+v\nafter:\n%+v", before, after)
		}
	})
}

// Nothing about a container without a restart policy, which has its name from the
// start, tells that its gate was passed.
func TestAnAgentThatDiedDuringAGateAsksAgain(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		plain := func(tag string) string {
			return "services:\n  web:\n    image: shop:" + tag + "\n    x-davit: {order: stop-first, monitor: 0s, probes: {readiness: {tcp: 8080}}}\n"
		}
		h.image("shop:1.0", enginetest.Behaviour{})
		h.image("shop:1.1", enginetest.Behaviour{AnswersAfter: time.Minute})
		h.push("v1.0.0", plain("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", plain("1.1"))
		h.pass(20 * time.Second)
		h.stop()
		h.boot()
		h.pass(20 * time.Second)
		if strings.Contains(h.history(), "v1.1.0 succeeded") {
			t.Fatalf("taken for ready unasked:\n%s", h.history())
		}
		h.pass(2 * time.Minute)
		if !strings.Contains(h.history(), "v1.1.0 succeeded") {
			t.Errorf("never ready:\n%s\n%s", h.history(), h.story())
		}
	})
}
