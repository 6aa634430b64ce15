package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/traffic"
)

// fakeFront is a load balancer that takes every table, unless it is away or refuses.
type fakeFront struct {
	table traffic.Table
	err   error
	busy  map[string]int64
	// forgot is true once it lost what it was told.
	forgot  bool
	applied int
}

func (f *fakeFront) Apply(_ context.Context, t traffic.Table) error {
	if f.err == nil {
		f.table, f.forgot = t, false
		f.applied++
	}
	return f.err
}

func (f *fakeFront) Look(context.Context, traffic.Table) (traffic.Standing, error) {
	if errors.Is(f.err, traffic.ErrBalancerAway) {
		return traffic.Standing{}, f.err
	}
	return traffic.Standing{Holds: !f.forgot, InFlight: f.busy}, nil
}

// desk is a port desk without an edge, and a switchboard on it.
func desk(t *testing.T, fronts map[string]*fakeFront) *reconcile.Switchboard {
	t.Helper()
	d := portDesk{instance: "here", logger: slog.New(slog.DiscardHandler)}
	data := t.TempDir()
	for _, name := range []string{"back", "front"} {
		if f := fronts[name]; f != nil {
			d.balancers = append(d.balancers, traffic.NewSteered(data, name, "haproxy", f))
		}
	}
	return reconcile.NewSwitchboard(d)
}

func via(balancer string, target uint16) compose.PublishedPort {
	return compose.PublishedPort{Network: "tcp", Target: target, PortSettings: compose.PortSettings{Via: compose.ViaBalancer, Balancer: balancer}}
}

func containerOf(n byte) reconcile.Member {
	return reconcile.Member{Container: fmt.Sprintf("c%d", n), Started: then, Address: netip.AddrFrom4([4]byte{10, 0, 0, n}), Name: fmt.Sprintf("web/%d", n), Release: 1}
}

// shifted has a switchboard serve a service of shop by a container more.
func shifted(board *reconcile.Switchboard, service string, to reconcile.Member, ports ...compose.PublishedPort) func(context.Context) (reconcile.EdgeTable, error) {
	return func(ctx context.Context) (reconcile.EdgeTable, error) {
		return board.Change(ctx, func(t reconcile.EdgeTable) reconcile.EdgeTable {
			return t.Shifted("shop", service, reconcile.Shift{Ports: ports}, []reconcile.Member{to}, time.Now())
		})
	}
}

func look(t *testing.T, board *reconcile.Switchboard) reconcile.EdgeTable {
	t.Helper()
	table, err := board.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestEachLoadBalancerIsToldItsPartOfTheTable(t *testing.T) {
	fronts := map[string]*fakeFront{"front": {busy: map[string]int64{"c1": 3}}, "back": {busy: map[string]int64{"c1": 1}}}
	board := desk(t, fronts)
	if got := look(t, board); got.Generation != 0 || !got.Absent || len(got.Balancers) != 2 {
		t.Errorf("before anything was told: %+v", got)
	}
	if _, err := shifted(board, "web", containerOf(1), via("front", 8080), via("back", 9090), via("front", 8081))(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fronts["front"].table; len(got.Ports) != 2 || got.Ports[0].Target != 8080 || len(got.Ports[0].Backends) != 1 {
		t.Errorf("front was told %+v", got)
	}
	if got := fronts["back"].table; len(got.Ports) != 1 || got.Ports[0].Target != 9090 {
		t.Errorf("back was told %+v", got)
	}
	now := look(t, board)
	r, _ := now.Route("shop", "web")
	if now.Generation == 0 || len(r.Ports) != 3 || len(r.Members) != 1 || r.Members[0].Requests != 4 {
		t.Errorf("the table is %+v", now)
	}
}

func TestALoadBalancerIsToldAgainWhatItLost(t *testing.T) {
	front := &fakeFront{}
	board := desk(t, map[string]*fakeFront{"front": front})
	same := shifted(board, "web", containerOf(1), via("front", 8080))
	for range 2 {
		if _, err := same(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if front.applied != 1 {
		t.Errorf("one table was told %d times", front.applied)
	}
	front.forgot = true
	if got := look(t, board); got.Generation != 0 {
		t.Errorf("nobody sees that it was lost: generation %d", got.Generation)
	}
	if _, err := same(t.Context()); err != nil || front.forgot {
		t.Errorf("it is still lost (%v)", err)
	}
}

func TestALoadBalancerThatIsAwayKeepsNobodyElse(t *testing.T) {
	front, back := &fakeFront{}, &fakeFront{}
	board := desk(t, map[string]*fakeFront{"front": front, "back": back})
	if _, err := shifted(board, "web", containerOf(1), via("front", 8080))(t.Context()); err != nil {
		t.Fatal(err)
	}
	front.err = fmt.Errorf("%w: no such file", traffic.ErrBalancerAway)
	_, err := shifted(board, "web", containerOf(2), via("front", 8080))(t.Context())
	var refused *reconcile.BalancerError
	if !errors.As(err, &refused) || !refused.Away || !errors.Is(err, reconcile.ErrEdgeUnavailable) || refused.Balancer.String() != "haproxy front" {
		t.Errorf("error = %v", err)
	}
	if _, err := shifted(board, "api", containerOf(3), via("back", 9090))(t.Context()); err != nil {
		t.Errorf("another service, at another balancer: %v", err)
	}
	now := look(t, board)
	b, _ := now.Balancer("front")
	r, _ := now.Route("shop", "web")
	if b.Away == "" || len(r.Members) != 1 || r.Members[0].Requests == 0 {
		t.Errorf("what is away is taken for idle or unknown: %+v", now)
	}
}

// plainEdge takes every table.
type plainEdge struct{ table reconcile.EdgeTable }

func (e *plainEdge) Look(context.Context) (reconcile.EdgeTable, error) { return e.table, nil }

func (e *plainEdge) Apply(_ context.Context, t reconcile.EdgeTable) error {
	if t.Generation <= e.table.Generation {
		return fmt.Errorf("generation %d is not newer than %d", t.Generation, e.table.Generation)
	}
	e.table = t
	return nil
}

func TestAnEdgeAndALoadBalancerShareATable(t *testing.T) {
	front, edge := &fakeFront{}, &plainEdge{}
	board := reconcile.NewSwitchboard(portDesk{edge: edge, instance: "here", logger: slog.New(slog.DiscardHandler),
		balancers: []*traffic.Steered{traffic.NewSteered(t.TempDir(), "front", "haproxy", front)}})
	published := compose.PublishedPort{Network: "tcp", Host: 443, Target: 8443}
	if _, err := shifted(board, "web", containerOf(1), published, via("front", 8080))(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, _ := edge.table.Route("shop", "web"); len(r.Ports) != 1 || r.Ports[0].Host != 443 || len(r.Members) != 1 {
		t.Errorf("the edge was told %+v", edge.table)
	}
	if got := look(t, board); got.Absent || got.Generation == 0 {
		t.Errorf("the table is %+v", got)
	}
	front.err = fmt.Errorf("%w: no such file", traffic.ErrBalancerAway)
	if _, err := shifted(board, "web", containerOf(2), published, via("front", 8080))(t.Context()); err == nil {
		t.Error("half of a service was handed over")
	}
	if r, _ := edge.table.Route("shop", "web"); len(r.Members) != 1 || r.Members[0].Container != "c1" {
		t.Errorf("the edge went ahead: %+v", r)
	}
	if _, err := shifted(board, "db", containerOf(3), compose.PublishedPort{Network: "tcp", Host: 5432, Target: 5432})(t.Context()); err != nil {
		t.Errorf("what only the edge serves: %v", err)
	}
	edge.table = reconcile.EdgeTable{}
	if got := look(t, board); got.Generation != 0 {
		t.Errorf("an edge without a table is not seen: generation %d", got.Generation)
	}
}

func TestARefusalIsToldToWhoAskedForIt(t *testing.T) {
	front, back := &fakeFront{err: errors.New("[emerg] no")}, &fakeFront{}
	board := desk(t, map[string]*fakeFront{"front": front, "back": back})
	_, err := shifted(board, "web", containerOf(1), via("front", 8080))(t.Context())
	var refused *reconcile.BalancerError
	if !errors.As(err, &refused) || refused.Away || refused.Error() != "haproxy front: [emerg] no" {
		t.Errorf("error = %v", err)
	}
	if r, found := look(t, board).Route("shop", "web"); found {
		t.Errorf("it is taken for served: %+v", r)
	}
}

func TestPartsThatDoNotAgreeAreToldAnew(t *testing.T) {
	one, two := containerOf(1), containerOf(2)
	drains := one
	drains.Draining = then.Add(time.Hour)
	front := reconcile.Route{Stack: "shop", Service: "web", Ports: []compose.PublishedPort{via("front", 80)}, Members: []reconcile.Member{one, two}}
	for name, members := range map[string][]reconcile.Member{"one is missing": {one}, "one drains": {drains, two}} {
		back := reconcile.Route{Stack: "shop", Service: "web", Ports: []compose.PublishedPort{via("back", 81)}, Members: members}
		out, same := joined([]reconcile.Route{front}, back)
		if same || len(out) != 1 || len(out[0].Members) != 2 || out[0].Members[0].Draining.IsZero() == (name == "one drains") {
			t.Errorf("%s: %+v (%t)", name, out, same)
		}
	}
}
