package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// giveEdge puts an edge on the host, and starts the agent anew with it.
func (h *host) giveEdge() *enginetest.Edge {
	edge := enginetest.NewEdge(h.engine)
	h.adjust = func(o *reconcile.Options) {
		o.Edge = reconcile.NewSwitchboard(edge)
		o.Executor = rollout.New(rollout.Options{Engine: h.engine, Prober: h.engine, Edge: o.Edge, Journal: h.record, Preflight: h.disk, Logger: slog.New(slog.DiscardHandler)})
	}
	h.stop()
	h.boot()
	return edge
}

// withEdge is simulate on a host with an edge, on which nothing may be stopped that is
// busy.
func withEdge(t *testing.T, f func(t *testing.T, h *host, edge *enginetest.Edge)) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		for _, tag := range []string{"shop:1.0", "shop:1.1", "shop:1.2"} {
			h.image(tag, healthy())
		}
		edge := h.giveEdge()
		f(t, h, edge)
		for _, wrong := range edge.Wrongs() {
			t.Error(wrong)
		}
	})
}

func published(tag string) string { return web(tag) + "    ports: [\"80:8080\"]\n" }

// routes are what the edge serves: "web [80]: web/1, web/2 draining". It fails the
// test where a member is not the container that runs now.
func routes(h *host, edge *enginetest.Edge) string {
	h.t.Helper()
	table, err := edge.Look(h.t.Context())
	if err != nil {
		return err.Error()
	}
	now := map[string]reconcile.Container{}
	for _, c := range h.observe().Containers {
		now[c.ID] = c
	}
	var out []string
	for _, r := range table.Routes {
		var ports, members []string
		for _, p := range r.Ports {
			ports = append(ports, reconcile.HostPortOf(p).String())
		}
		for _, m := range r.Members {
			c := now[m.Container]
			if c.Running() && (!c.Started.Equal(m.Started) || c.Endpoints["shop_default"].IP != m.Address.String()) {
				h.t.Errorf("%s is at %s since %v, and the edge has %s since %v", m.Name, c.Endpoints["shop_default"].IP, c.Started, m.Address, m.Started)
			}
			if text := m.Name; !m.Draining.IsZero() {
				members = append(members, text+" draining")
			} else {
				members = append(members, text)
			}
		}
		slices.Sort(members)
		out = append(out, fmt.Sprintf("%s %v: %s", r.Service, ports, strings.Join(members, ", ")))
	}
	return strings.Join(out, "; ")
}

func TestTheEdgeFollowsARelease(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/1")
		h.push("v1.1.0", published("1.1"))
		h.pass(time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/2")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		tables := edge.Applied()
		h.engine.ClearLog()
		h.pass(2 * time.Hour)
		if n := edge.Applied(); n != tables {
			t.Errorf("%d tables were written without a reason", n-tables)
		}
		h.push("", "")
		h.loop.Declare(reconcile.Declaration{Revision: h.revision, Removed: []string{"shop"}})
		h.pass(10 * time.Minute)
		h.expect("routes in the end", routes(h, edge), "")
	})
}

// slow is an engine whose snapshots are old when they arrive.
type slow struct{ reconcile.Engine }

func (s slow) Observe(ctx context.Context) (reconcile.Observed, error) {
	o, err := s.Engine.Observe(ctx)
	time.Sleep(3 * time.Second)
	return o, err
}

// A replica leaves its network and comes back with a name, before it is handed
// anything. A snapshot of that moment, looked at after the shift, took it out again:
// nobody served.
func TestASnapshotFromBeforeAShiftTakesNobodyOutOfService(t *testing.T) {
	for apart := time.Second; apart <= 6*time.Second; apart += time.Second {
		withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
			given := h.adjust
			h.adjust = func(o *reconcile.Options) {
				given(o)
				o.Engine = slow{o.Engine}
			}
			h.stop()
			h.boot()
			h.push("v1.0.0", published("1.0"))
			h.pass(time.Minute)
			joins := 0
			h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
				if op.Kind == enginetest.OpConnect && at == enginetest.Before {
					joins++
					time.Sleep(apart)
				}
				return nil
			})
			h.push("v1.1.0", published("1.1"))
			for range 600 {
				h.pass(100 * time.Millisecond)
				if edge.Serving("web") == 0 {
					t.Fatalf("nobody serves\n%s", h.story())
				}
			}
			h.expect("routes", routes(h, edge), "web [80]: web/2")
			if joins == 0 {
				t.Error("nothing joined its network anew")
			}
		})
	}
}

func TestALostTableComesBackWithoutARelease(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", published("1.0")+"    deploy: {replicas: 2}\n")
		h.pass(time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/1, web/2")
		edge.Lose()
		h.pass(5 * time.Second)
		h.expect("routes", routes(h, edge), "web [80]: web/1, web/2")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
	})
}

func TestAddressesThatAnEngineDealsAnewAreTheEdgesAtOnce(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", published("1.0")+"    deploy: {replicas: 3}\n")
		h.pass(time.Minute)
		h.engine.RestartDaemon()
		h.pass(10 * time.Second)
		if got := edge.Serving("web"); got != 3 {
			t.Errorf("%d replicas serve", got)
		}
		h.expect("routes", routes(h, edge), "web [80]: web/1, web/2, web/3")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
	})
}

func TestAReplicaThatCrashedIsHandedWorkAgainOnceItIsReady(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.engine.Kill(h.observe().Containers[0].ID)
		h.pass(time.Second)
		h.expect("routes while it starts", strings.TrimSpace(routes(h, edge)), "web [80]:")
		h.pass(10 * time.Second)
		h.expect("routes", routes(h, edge), "web [80]: web/1")
	})
}

func TestAReleaseWaitsForAnEdgeThatIsAway(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		edge.Die()
		h.push("v1.1.0", published("1.1"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("status", string(h.status().Sync), "waiting")
		edge.Revive()
		h.pass(time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/2")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestABusyContainerIsStoppedOnlyWhenItsTimeIsOver(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		edge.Work = time.Hour // clients that never let go
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", published("1.1"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.1")
		h.expect("routes", routes(h, edge), "web [80]: web/1 draining, web/2")
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

func TestANewerCommitDuringADrainDoesNotWaitForItsEnd(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		edge.Work = time.Hour
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", published("1.1"))
		h.pass(30 * time.Second)
		h.push("", published("1.0")) // taken back
		h.pass(30 * time.Second)
		h.expect("routes", routes(h, edge), "web [80]: web/1, web/2 draining")
	})
}

func TestAnAdoptedStackHandsItsPortsOverWhenAnOperatorAgrees(t *testing.T) {
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.composeUp(published("1.0"))
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 adopt v1.0.0 succeeded")
		h.push("v1.1.0", published("1.1"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("routes before", routes(h, edge), "")
		h.agree()
		h.pass(2 * time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/3")
		if err := h.loop.Adopt(t.Context(), reconcile.AdoptRequest{Stack: "shop", Actor: "ann"}); err == nil {
			t.Error("there is something to agree to still")
		}
	})
}

func TestAPortMovesToTheEdgeAndBack(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		for _, tag := range []string{"shop:1.0", "shop:1.1", "shop:1.2"} {
			h.image(tag, healthy())
		}
		h.push("v1.0.0", published("1.0"))
		h.pass(time.Minute)
		edge := h.giveEdge()
		h.pass(time.Hour)
		h.expect("routes of what was there before", routes(h, edge), "")
		h.push("v1.1.0", published("1.1"))
		h.pass(time.Minute)
		h.expect("routes", routes(h, edge), "web [80]: web/2")
		h.push("v1.1.1", published("1.1")+"    x-davit: {ports: {\"8080\": {via: docker}}}\n")
		h.pass(time.Minute)
		h.expect("routes in the end", routes(h, edge), "")
		for _, c := range h.observe().Containers {
			if c.Running() && len(c.Published) != 1 {
				t.Errorf("%s publishes %v", c.Name, c.Published)
			}
		}
	})
}

// TestKilledAtAnyMutationAnAgentConvergesAtTheEdge is the same as without an edge, and
// what comes to the edge always finds as many ready replicas as the floor says.
func TestKilledAtAnyMutationAnAgentConvergesAtTheEdge(t *testing.T) {
	t.Parallel()
	stories := map[string]crashStory{
		"a start-first replacement": {
			first: published("1.0"), then: []string{published("1.1")}, floor: 1},
		"three replicas": {
			first: published("1.0") + "    deploy: {replicas: 3}\n", then: []string{published("1.1") + "    deploy: {replicas: 3}\n"}, floor: 3},
		"a failed release and its return": {
			first: published("1.0"), then: []string{published("bad")}, floor: 1},
		"a revert": {
			first: published("1.0"), then: []string{published("1.1"), published("1.0")}, floor: 1},
		"a stop-first service at the edge": {
			first: published("1.0") + "    x-davit: {order: stop-first, ports: {\"8080\": {via: edge}}}\n",
			then:  []string{published("1.1") + "    x-davit: {order: stop-first, ports: {\"8080\": {via: edge}}}\n"}},
		"two services that swap their ports": {
			first: portShapes["each its own"].yaml("1.0"), then: []string{portShapes["each the other's"].yaml("1.1")}},
		"a move to Docker and back": {
			first: published("1.0"), then: []string{published("1.0") + "    x-davit: {ports: {\"8080\": {via: docker}}}\n", published("1.1")}},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			story.edged = true
			want, mutations := story.run(t, 0, enginetest.Before)
			for n := 1; n <= mutations; n++ {
				for _, moment := range []enginetest.Moment{enginetest.Before, enginetest.After} {
					if got, _ := story.run(t, n, moment); got != want {
						t.Errorf("killed %s mutation %d of %d:\n got %s\nwant %s", moment, n, mutations, got, want)
					}
				}
			}
			t.Logf("%d mutations, killed before and after each: %s", mutations, want)
		})
	}
}
