package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/traffic"
)

// portDesk is everybody who has ports in Docker's place, as the hub knows them: one
// table, of which the edge and each load balancer get their part.
type portDesk struct {
	// edge is nil where there is none.
	edge      reconcile.Edge
	balancers []*traffic.Steered
	instance  string
	logger    *slog.Logger
}

// Look implements reconcile.Edge. The generation is 0 where somebody does not do what
// he was told last, so that everything is told anew.
func (o portDesk) Look(ctx context.Context) (reconcile.EdgeTable, error) {
	out := reconcile.EdgeTable{Absent: o.edge == nil, Generation: 1}
	if o.edge != nil {
		var err error
		if out, err = o.edge.Look(ctx); err != nil {
			return out, err
		}
	}
	lost := out.Generation == 0
	for _, s := range o.balancers {
		part := o.lookAt(ctx, s)
		out.Balancers = append(out.Balancers, part.balancer)
		out.Generation += part.generation
		lost = lost || part.lost
		for _, r := range part.routes {
			same := false
			out.Routes, same = joined(out.Routes, r)
			lost = lost || !same
		}
	}
	if lost {
		out.Generation = 0
	}
	return out, nil
}

// balancerPart is what one load balancer has of the table.
type balancerPart struct {
	balancer   reconcile.Balancer
	generation int64
	routes     []reconcile.Route
	// lost is true where it does not do what it was told.
	lost bool
}

// lookAt asks one load balancer. What it was told last is known even while it is away.
func (o portDesk) lookAt(ctx context.Context, s *traffic.Steered) balancerPart {
	table, standing, err := s.Look(ctx)
	out := balancerPart{balancer: reconcile.Balancer{Name: s.Name, Kind: s.Kind, Backends: standing.Backends}, generation: table.Generation}
	busy := func(container string) int64 { return standing.InFlight[container] }
	if err != nil {
		out.balancer.Away = fmt.Sprintf("%s: %v", out.balancer, err)
		busy = func(string) int64 { return 1 } // nobody knows
	}
	out.lost = err == nil && (table.Generation == 0 || !standing.Holds)
	out.routes = readBalanced(s.Name, table, busy)
	return out
}

// Apply implements reconcile.Edge. A load balancer that takes nothing keeps nobody but
// the routes that it has a part in.
func (o portDesk) Apply(ctx context.Context, t reconcile.EdgeTable) error {
	refused := map[string]bool{}
	var failed []error
	for _, s := range o.balancers {
		if err := o.tell(ctx, s, writeBalanced(o.instance, s.Name, t)); err != nil {
			refused[s.Name] = true
			failed = append(failed, err)
		}
	}
	if o.edge == nil {
		return errors.Join(failed...)
	}
	now, err := o.edge.Look(ctx)
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	own := reconcile.EdgeTable{Generation: now.Generation + 1}
	for _, r := range t.Routes {
		if slices.ContainsFunc(r.Ports, func(p compose.PublishedPort) bool { return refused[p.Balancer] }) {
			r, _ = now.Route(r.Stack, r.Service) // all of a route changes, or nothing
		}
		r.Ports = slices.DeleteFunc(slices.Clone(r.Ports), func(p compose.PublishedPort) bool { return p.Balancer != "" })
		if len(r.Ports) > 0 {
			own.Routes = append(own.Routes, r)
		}
	}
	return errors.Join(append(failed, o.edge.Apply(ctx, own))...)
}

// tell has a load balancer take its part of a table. That it does not take again what
// it took before is no fault of who changed something else.
func (o portDesk) tell(ctx context.Context, s *traffic.Steered, part traffic.Table) error {
	before, standing, err := s.Look(ctx)
	news := !samePart(before, part)
	if err == nil && !news && before.Generation > 0 && standing.Holds || err != nil && !news {
		return nil
	}
	part.Generation = before.Generation + 1
	if err == nil {
		err = s.Apply(ctx, part)
	}
	switch {
	case err == nil:
		return nil
	case !news:
		o.logger.Warn("a load balancer does not take again what it was told", "balancer", s.Name, "error", err)
		return nil
	}
	return &reconcile.BalancerError{Balancer: reconcile.Balancer{Name: s.Name, Kind: s.Kind}, Away: errors.Is(err, traffic.ErrBalancerAway), Err: err}
}

// samePart reports whether both say the same, whatever their numbers.
func samePart(a, b traffic.Table) bool {
	if len(a.Ports) == 0 && len(b.Ports) == 0 {
		return true
	}
	x, err := json.Marshal(a.Ports)
	y, again := json.Marshal(b.Ports)
	return err == nil && again == nil && bytes.Equal(x, y)
}

// joined are the routes with r, which may be another part of one of them. Who drains
// anywhere drains. It reports whether the parts have the same members, all alike.
func joined(routes []reconcile.Route, r reconcile.Route) (out []reconcile.Route, same bool) {
	at, found := slices.BinarySearchFunc(routes, r, func(a, b reconcile.Route) int {
		return cmp.Or(cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.Service, b.Service))
	})
	if !found {
		return slices.Insert(slices.Clone(routes), at, r), true
	}
	out = slices.Clone(routes)
	have := &out[at]
	same = len(have.Members) == len(r.Members) && maps.Equal(have.Weights, r.Weights)
	have.Ports, have.Members = slices.Concat(have.Ports, r.Ports), slices.Clone(have.Members)
	for _, m := range r.Members {
		i := slices.IndexFunc(have.Members, func(o reconcile.Member) bool { return o.Container == m.Container })
		if i < 0 {
			have.Members, same = append(have.Members, m), false
			continue
		}
		o := &have.Members[i]
		same = same && o.Draining.Equal(m.Draining) && o.Started.Equal(m.Started) && o.Address == m.Address
		if o.Draining.IsZero() {
			o.Draining, o.Limits = m.Draining, m.Limits
		}
		o.Requests, o.Streams = o.Requests+m.Requests, o.Streams+m.Streams
	}
	slices.SortFunc(have.Members, func(a, b reconcile.Member) int { return cmp.Compare(a.Container, b.Container) })
	return out, same
}

// writeBalanced is the part of t that the balancer of that name has.
func writeBalanced(instance, name string, t reconcile.EdgeTable) traffic.Table {
	out := traffic.Table{Instance: instance, Generation: t.Generation}
	for _, r := range t.Routes {
		for _, p := range r.Ports {
			if p.Balancer != name {
				continue
			}
			port := writePort(r, p)
			for i := range port.Backends {
				port.Backends[i].Seen = time.Time{} // when davit looked does not matter to it
			}
			out.Ports = append(out.Ports, port)
		}
	}
	return out
}

// readBalanced is what a balancer was told, in the hub's words, with what is in flight
// by container.
func readBalanced(name string, t traffic.Table, busy func(container string) int64) []reconcile.Route {
	var out []reconcile.Route
	counted := map[string]bool{}
	for _, p := range t.Ports {
		r := reconcile.Route{Stack: p.Stack, Service: p.Service, Ports: []compose.PublishedPort{readPort(p)}, Weights: p.Weights}
		r.Ports[0].Host, r.Ports[0].Balancer = 0, name
		for _, b := range p.Backends {
			m := readMember(b, traffic.State{})
			if !counted[b.Container] {
				m.Requests, counted[b.Container] = busy(b.Container), true
			}
			r.Members = append(r.Members, m)
		}
		out, _ = joined(out, r)
	}
	return out
}
