package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// news are the events about the edge, one a line.
func (h *host) news() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, e := range h.events {
		switch e.Kind {
		case reconcile.EventEdgeLost, reconcile.EventEdgeRecovered, reconcile.EventPortClosed, reconcile.EventPortOpened,
			reconcile.EventReplicaEjected, reconcile.EventReplicaReturned, reconcile.EventParked, reconcile.EventUnparked:
			out = append(out, fmt.Sprintf("%s %s %s/%s: %s", e.Severity, e.Kind, e.Stack, e.Service, e.Message))
		}
	}
	return strings.Join(out, "\n")
}

func TestWhatGoesWrongAtTheEdgeIsToldOnceAndThatItIsOver(t *testing.T) {
	port := reconcile.HostPort{Network: "tcp", Port: 80}
	for name, c := range map[string]struct {
		hinder, help func(*enginetest.Edge)
		want         string
	}{
		"it is away": {(*enginetest.Edge).Die, (*enginetest.Edge).Revive,
			"error EdgeLost /: look at the edge: the edge does not answer; its ports are served again once it is back\ninfo EdgeRecovered /: the edge answers again"},
		"a load balancer is away": {
			func(x *enginetest.Edge) {
				x.Balance(reconcile.Balancer{Name: "front", Kind: "haproxy", Away: "haproxy front: no socket"})
			},
			func(x *enginetest.Edge) { x.Balance(reconcile.Balancer{Name: "front", Kind: "haproxy"}) },
			"error EdgeLost /: haproxy front: no socket; it cannot be told of new replicas\ninfo EdgeRecovered /: haproxy front answers again"},
		"it was started anew": {(*enginetest.Edge).Restart, func(*enginetest.Edge) {},
			"error EdgeLost /: the edge has ended and was started anew: connections to its ports were lost\ninfo EdgeRecovered /: the edge answers again"},
		"another program has a port": {func(x *enginetest.Edge) { x.Take(port, true) }, func(x *enginetest.Edge) { x.Take(port, false) },
			"error PortClosed shop/web: host port 80 of web cannot be opened: address already in use, which nginx (process 812) has\ninfo PortOpened shop/web: host port 80 of web is open"},
		"a replica fails": {func(x *enginetest.Edge) { x.Eject("web/1", "it cannot be reached") }, func(x *enginetest.Edge) { x.Eject("web/1", "") },
			"warning ReplicaEjected shop/web: web/1 is passed over at the edge: it cannot be reached\ninfo ReplicaReturned shop/web: web/1 is given work again at the edge"},
		"nobody is ready": {func(x *enginetest.Edge) { x.Park(port, true) }, func(x *enginetest.Edge) { x.Park(port, false) },
			"error Parked shop/web: no replica of web is ready for what comes to host port 80: it waits for 10s and is refused then\n" +
				"info Unparked shop/web: what comes to host port 80 of web does not wait any more"},
	} {
		t.Run(name, func(t *testing.T) {
			withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				h.holder()
				h.push("v1.0.0", published("1.0"))
				h.pass(time.Minute)
				c.hinder(edge)
				h.pass(time.Hour)
				c.help(edge)
				h.pass(time.Hour)
				h.expect("news", h.news(), c.want)
			})
		})
	}
}

// holder has nginx have every port that is asked about.
func (h *host) holder() {
	adjust := h.adjust
	h.adjust = func(o *reconcile.Options) {
		adjust(o)
		o.PortHolder = func(reconcile.HostPort) string { return "nginx (process 812)" }
	}
	h.stop()
	h.boot()
}

func TestAnEdgeThatComesAndGoesDoesNotFloodAnybody(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		for range 600 { // a day, one restart in 144 seconds
			edge.Restart()
			h.pass(144 * time.Second)
		}
		lost := strings.Count(h.news(), "EdgeLost")
		if lost < 5 || lost > 160 {
			t.Errorf("%d times it is told that the edge was lost", lost)
		}
		before := lost
		for range 600 { // a restart every four seconds, for forty minutes
			edge.Restart()
			h.pass(4 * time.Second)
		}
		if lost = strings.Count(h.news(), "EdgeLost") - before; lost > 3 {
			t.Errorf("%d times it is told in forty minutes of restarts", lost)
		}
		h.pass(time.Hour)
		if !strings.HasSuffix(h.news(), "info EdgeRecovered /: the edge answers again") {
			t.Errorf("nobody is told that it is well again:\n%s", h.news())
		}
	})
}

func TestAShortBreakOfThePortsIsNotWorthAWord(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		port := reconcile.HostPort{Network: "tcp", Port: 80}
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		edge.Die()
		h.pass(2500 * time.Millisecond)
		edge.Revive()
		h.pass(time.Minute)
		edge.Take(port, true) // as while an engine lets go of it
		edge.Park(port, true)
		h.pass(7 * time.Second)
		edge.Take(port, false)
		edge.Park(port, false)
		h.pass(time.Hour)
		h.expect("news", h.news(), "")
	})
}

func TestTheStatusSaysWhoServesAPortAndWhatIsStillDone(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		ports := func() string {
			var out []string
			for _, s := range h.status().Services {
				for _, p := range s.Ports {
					out = append(out, fmt.Sprintf("%s %s %q", p.Port, p.Owner, p.Trouble))
				}
				for _, e := range s.Ejected {
					out = append(out, e.Replica+" is passed over: "+e.Reason)
				}
				for _, d := range s.Draining {
					out = append(out, fmt.Sprintf("%s drains %d+%d for %s more", d.Replica, d.Requests, d.Streams, time.Until(d.Until).Round(time.Minute)))
				}
			}
			return strings.Join(out, ", ")
		}
		edge.Work = time.Hour
		docker := "    x-davit: {ports: {\"8080\": {via: docker}}}\n"
		h.disk.fill(true)
		h.push("v1.0.0", published("1.0")+docker)
		h.expect("before", ports(), `80  ""`)
		h.disk.fill(false)
		h.pass(time.Minute)
		h.expect("of Docker", ports(), `80 docker ""`)
		h.push("v1.1.0", published("1.1"))
		h.pass(time.Minute)
		h.expect("of the edge", ports(), `80 edge ""`)
		h.push("v1.2.0", published("1.2"))
		h.pass(30 * time.Second)
		h.expect("while it drains", ports(), `80 edge "", web/2 drains 1+0 for 5m0s more`)
		h.pass(10 * time.Minute)
		edge.Take(reconcile.HostPort{Network: "tcp", Port: 80}, true)
		h.pass(10 * time.Second)
		edge.Eject("web/3", "it fails")
		h.expect("closed", ports(), `80 edge "address already in use", web/3 is passed over: it fails`)
		edge.Eject("web/3", "")
		edge.Die()
		h.pass(10 * time.Second)
		h.expect("away", ports(), `80 edge "the edge is away"`)
		if e := h.loop.EdgeStatus(); e == nil || e.Away == "" {
			t.Errorf("the edge is %+v", e)
		}
		edge.Revive()
		h.pass(10 * time.Second)
		if e := h.loop.EdgeStatus(); e == nil || e.Away != "" || e.Generation == 0 {
			t.Errorf("the edge is %+v", e)
		}
	})
}

func TestWhoLooksBeforeAdoptingIsToldThatPortsMove(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.adopt = reconcile.AdoptNone
		h.stop()
		h.boot()
		foreseen := func() string {
			found, err := h.loop.Adoptions(t.Context(), "shop")
			if err != nil || len(found) != 1 {
				return fmt.Sprint(found, err)
			}
			return fmt.Sprint(found[0].Adoption.Identical(), " ", found[0].Handover, " ", strings.Contains(found[0].Plan.String(), "one short gap: host port 80 from Docker to the edge"))
		}
		h.composeUp(published("1.0"))
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.expect("before", foreseen(), "true [80] true")
		h.adopt = reconcile.AdoptIdentical
		h.stop()
		h.boot()
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 adopt v1.0.0 succeeded")
		h.expect("taken over unasked", foreseen(), "true [80] true")
		h.expect("routes", routes(h, edge), "")
		h.agree()
		h.pass(2 * time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/2")
		if found, err := h.loop.Adoptions(t.Context(), "shop"); err == nil {
			t.Errorf("there is something to agree to still: %+v", found)
		}
	})
}
