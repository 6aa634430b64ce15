package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// viaFront is a service that publishes nothing and is served by a load balancer.
func viaFront(tag string) string {
	return web(tag) + "    x-davit: {ports: {\"8080\": {via: front}}}\n"
}

func withFront(t *testing.T, f func(t *testing.T, h *host, edge *enginetest.Edge)) {
	t.Helper()
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		edge.Balance(front)
		h.push("v1.0.0", viaFront("1.0"))
		h.pass(time.Minute)
		h.expect("served", routes(h, edge), "web [8080 at front]: web/1")
		f(t, h, edge)
	})
}

var front = reconcile.Balancer{Name: "front", Kind: "haproxy"}

func TestALoadBalancerServesThroughAReplacementAndWhatItLosesComesBack(t *testing.T) {
	withFront(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", viaFront("1.1"))
		h.pass(time.Hour)
		h.expect("served", routes(h, edge), "web [8080 at front]: web/2")
		edge.Lose()
		h.pass(time.Minute)
		h.expect("served after what it was told was lost", routes(h, edge), "web [8080 at front]: web/2")
	})
}

func TestAStackWaitsForALoadBalancerThatIsAway(t *testing.T) {
	withFront(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		gone := front
		gone.Away = "haproxy front: it does not run"
		edge.Balance(gone)
		h.push("v1.1.0", viaFront("1.1"))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if s := h.status(); s.Sync != reconcile.SyncWaiting || !strings.Contains(s.WaitingFor, "haproxy front: it does not run") {
			t.Errorf("status %s: %s", s.Sync, s.WaitingFor)
		}
		edge.Balance(front)
		h.pass(time.Hour)
		h.expect("served", routes(h, edge), "web [8080 at front]: web/2")
	})
}

func TestAStackIsHeldWhoseLoadBalancerThisHostDoesNotHaveAnyMore(t *testing.T) {
	withFront(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		edge.Balance(reconcile.Balancer{Name: "back", Kind: "nginx"})
		h.pass(time.Minute)
		applied := edge.Applied()
		h.push("v1.1.0", viaFront("1.1"))
		h.pass(time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if s := h.status(); s.Sync != reconcile.SyncStalled || !strings.Contains(s.LastError+s.WaitingFor, "this host has no load balancer of that name") {
			t.Errorf("status %s: %s %s", s.Sync, s.LastError, s.WaitingFor)
		}
		if now := edge.Applied(); now != applied {
			t.Errorf("%d tables were told that change nothing", now-applied)
		}
		h.push("v1.2.0", published("1.2"))
		h.pass(time.Hour)
		h.expect("served", routes(h, edge), "web [80]: web/2")
	})
}
