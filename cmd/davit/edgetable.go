package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"davit/compose"
	"davit/reconcile"
	"davit/traffic"
)

// ports is the edge as the hub knows it.
type ports struct {
	edge     *traffic.Client
	instance string
	logger   *slog.Logger
}

// Look implements reconcile.Edge.
func (p ports) Look(ctx context.Context) (reconcile.EdgeTable, error) {
	t, err := p.edge.Table(ctx)
	if err != nil {
		return reconcile.EdgeTable{}, unavailableEdge(err)
	}
	// The state is read after the table: who drains in the table gets nothing new, so
	// that what the state says of it can only become less.
	s, err := p.edge.State(ctx)
	if err != nil {
		return reconcile.EdgeTable{}, unavailableEdge(err)
	}
	out := readTable(t, s)
	describe(&out, t, s)
	return out, nil
}

// Apply implements reconcile.Edge.
func (p ports) Apply(ctx context.Context, t reconcile.EdgeTable) error {
	table := writeTable(p.instance, t)
	_, err := p.edge.Apply(ctx, table)
	var refused *traffic.Refusal
	if errors.As(err, &refused) && refused.Status == http.StatusConflict {
		err = p.succeed(ctx, table, err)
	}
	if err != nil {
		return unavailableEdge(err)
	}
	return nil
}

// succeed applies a table that was refused, if that was because the edge serves one of
// another instance. Whoever has the data directory has the edge in it: that other one is
// what this davit was before it lost its identity, and what it has the edge serve stays,
// until somebody says what is to become of its containers.
func (p ports) succeed(ctx context.Context, table traffic.Table, refused error) error {
	have, err := p.edge.Table(ctx)
	if err != nil || have.Instance == "" || have.Instance == p.instance {
		return refused
	}
	table.Replaces = have.Instance
	if _, err := p.edge.Apply(ctx, table); err != nil {
		return err
	}
	p.logger.Warn("this davit has another identity than the one whose ports the edge serves, and takes them over as they are",
		"instance", p.instance, "before", have.Instance, "ports", len(have.Ports))
	return nil
}

// unavailableEdge tells an edge that could not be asked from one that refused.
func unavailableEdge(err error) error {
	var refused *traffic.Refusal
	if errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%w: %w", reconcile.ErrEdgeUnavailable, err)
}

// closedPorts are those of the table that the edge could not open, and why. That a
// host has no IPv6 is none where a port is published at all of its addresses.
func closedPorts(t traffic.Table, s traffic.State) map[reconcile.HostPort]string {
	closed := map[string]string{} // a range may have thousands of ports
	for _, state := range s.Ports {
		closed[state.Key] = state.Closed
	}
	out := map[reconcile.HostPort]string{}
	for _, p := range t.Ports {
		why := closed[p.Key()]
		if why == "" {
			continue
		}
		if p.Address.Addr() != netip.IPv6Unspecified() || !strings.Contains(why, syscall.EAFNOSUPPORT.Error()) {
			out[reconcile.HostPortOf(readPort(p))] = why
		}
	}
	return out
}

// writeTable is t in the edge's words.
func writeTable(instance string, t reconcile.EdgeTable) traffic.Table {
	out := traffic.Table{Instance: instance, Generation: t.Generation}
	for _, r := range t.Routes {
		for _, p := range r.Ports {
			port := writePort(r, p)
			for _, address := range listensAt(p) {
				port.Address = address
				out.Ports = append(out.Ports, port)
			}
		}
	}
	return out
}

func writePort(r reconcile.Route, p compose.PublishedPort) traffic.Port {
	out := traffic.Port{
		Stack: r.Stack, Service: r.Service, Target: p.Target,
		Protocol: traffic.Protocol(p.Speaks), Affinity: traffic.Affinity(p.Affinity),
		Trusted: p.Trusted, AcceptProxy: p.AcceptProxy, SendProxy: p.SendProxy,
		Park: p.Park, Idle: p.Idle, MaxConnections: p.MaxConnections, Weights: r.Weights, Matched: r.Matched,
	}
	if p.Network == traffic.UDP.String() {
		out.Network = traffic.UDP
	}
	for _, m := range r.Match {
		out.Match = append(out.Match, traffic.Match(m))
	}
	for _, m := range r.Members {
		b := traffic.Backend{
			Container: m.Container, Started: m.Started, Address: netip.AddrPortFrom(m.Address, p.Target), Replica: m.Name, Release: m.Release,
			Seen: m.Seen, Process: m.Process,
		}
		if !m.Draining.IsZero() {
			b.Drain = &traffic.Drain{Since: m.Draining, Timeout: m.Limits.Timeout, Streams: m.Limits.Streams}
		}
		out.Backends = append(out.Backends, b)
	}
	return out
}

// listensAt are the host's addresses of a port: those of both families where it names
// none, as Docker has it.
func listensAt(p compose.PublishedPort) []netip.AddrPort {
	if p.HostIP.IsValid() {
		return []netip.AddrPort{netip.AddrPortFrom(p.HostIP, p.Host)}
	}
	return []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), p.Host), netip.AddrPortFrom(netip.IPv6Unspecified(), p.Host)}
}

// readTable is t in the hub's words, with what the state says is in flight.
func readTable(t traffic.Table, s traffic.State) reconcile.EdgeTable {
	out := reconcile.EdgeTable{Generation: t.Generation, Closed: closedPorts(t, s)}
	for _, p := range t.Ports {
		at := slices.IndexFunc(out.Routes, func(r reconcile.Route) bool { return r.Stack == p.Stack && r.Service == p.Service })
		if at < 0 {
			at = len(out.Routes)
			out.Routes = append(out.Routes, reconcile.Route{Stack: p.Stack, Service: p.Service})
		}
		r := &out.Routes[at]
		r.Weights, r.Matched, r.Match = p.Weights, p.Matched, nil
		for _, m := range p.Match {
			r.Match = append(r.Match, compose.Match(m))
		}
		r.Ports = addPort(r.Ports, readPort(p))
		for _, b := range p.Backends {
			if !slices.ContainsFunc(r.Members, func(m reconcile.Member) bool { return m.Container == b.Container }) {
				r.Members = append(r.Members, readMember(b, s))
			}
		}
	}
	for _, r := range out.Routes {
		slices.SortFunc(r.Members, func(a, b reconcile.Member) int { return cmp.Compare(a.Container, b.Container) })
	}
	slices.SortFunc(out.Routes, func(a, b reconcile.Route) int {
		return cmp.Or(cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.Service, b.Service))
	})
	return out
}

// addPort puts together what listensAt has taken apart.
func addPort(all []compose.PublishedPort, p compose.PublishedPort) []compose.PublishedPort {
	if p.HostIP == netip.IPv6Unspecified() && len(all) > 0 {
		last := &all[len(all)-1]
		if last.HostIP == netip.IPv4Unspecified() && last.Host == p.Host && last.Target == p.Target && last.Network == p.Network {
			last.HostIP = netip.Addr{}
			return all
		}
	}
	return append(all, p)
}

func readPort(p traffic.Port) compose.PublishedPort {
	return compose.PublishedPort{
		Network: p.Network.String(), HostIP: p.Address.Addr(), Host: p.Address.Port(), Target: p.Target,
		PortSettings: compose.PortSettings{
			Speaks: compose.PortProtocol(p.Protocol), Affinity: compose.Affinity(p.Affinity),
			Trusted: p.Trusted, AcceptProxy: p.AcceptProxy, SendProxy: p.SendProxy,
			Park: p.Park, Idle: p.Idle, MaxConnections: p.MaxConnections,
		},
	}
}

func readMember(b traffic.Backend, s traffic.State) reconcile.Member {
	m := reconcile.Member{Container: b.Container, Started: b.Started, Address: b.Address.Addr(), Name: b.Replica, Release: b.Release, Seen: b.Seen, Process: b.Process}
	if b.Drain != nil {
		m.Draining, m.Limits = b.Drain.Since, compose.Drain{Timeout: b.Drain.Timeout, Streams: b.Drain.Streams}
	}
	for _, r := range s.Replicas {
		if r.Container == b.Container && r.Started.Equal(b.Started) {
			m.Requests, m.Streams = r.Requests, r.Streams
		}
	}
	return m
}
