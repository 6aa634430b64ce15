package reconcile

import (
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// EdgeStatus is how the edge stood when it was last looked at; nil where there is none.
func (l *Loop) EdgeStatus() *EdgeStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.edgeSeen()
	if t.edgeless() {
		return nil
	}
	return &EdgeStatus{Away: t.Away, Blind: t.Blind, Generation: t.Generation}
}

// edgeSeen is the newest look at the edge, nil where there is none: that of the last
// observation, or one between passes. The caller holds l.mu.
func (l *Loop) edgeSeen() *EdgeTable {
	if l.Edge == nil {
		return nil
	}
	if l.edgeNews.at.After(l.observed.At) || l.observed.Edge == nil {
		return &l.edgeNews.newest
	}
	return l.observed.Edge
}

// portStatuses are the host ports that a service declares, in its order, and those that
// something of it has besides.
func portStatuses(s compose.Service, stack string, t *EdgeTable, owned []Container) []PortStatus {
	out := []PortStatus{}
	add := func(p PortStatus) {
		if !slices.ContainsFunc(out, func(o PortStatus) bool { return o.Port == p.Port && (o.Owner == p.Owner || p.Owner == "") }) {
			out = append(out, p)
		}
	}
	var route Route
	if t != nil {
		route, _ = t.Route(stack, s.Name)
	}
	for _, p := range route.Ports {
		add(t.portStatus(HostPortOf(p)))
	}
	left := map[string]bool{}
	for _, c := range owned {
		if c.Service != s.Name || !c.Running() {
			continue
		}
		for _, h := range c.Published {
			add(PortStatus{Port: h.plain(), Owner: ownerDocker})
		}
		for _, port := range c.Edge {
			left[port] = true
		}
	}
	for _, p := range s.Ports {
		switch h := HostPortOf(p); {
		case left[p.Container()] && t != nil && t.Away != "":
			add(PortStatus{Port: h.plain(), Owner: ownerEdge, Trouble: "the edge is away"})
		default:
			add(PortStatus{Port: h.plain()})
		}
	}
	return out
}

// plain is the port without who serves it: "8080".
func (h HostPort) plain() string {
	h.Balancer = ""
	return h.String()
}

// Who has a port, besides load balancers.
const ownerEdge, ownerDocker = "edge", "docker"

// portStatus is how a port stands that t has.
func (t *EdgeTable) portStatus(h HostPort) PortStatus {
	out := PortStatus{Port: h.plain(), Owner: ownerEdge, Trouble: t.Closed[h]}
	if b, found := t.Balancer(h.Balancer); found {
		out.Owner, out.Trouble = b.Name, b.Away
	}
	if p, parked := t.Parked[h]; parked && out.Trouble == "" {
		out.Trouble = fmt.Sprintf("no replica is ready; %d wait, each up to %s", p.Waiting, brief(p.Limit))
	}
	return out
}

// ejectStatuses are the members of a service that the edge passes over.
func ejectStatuses(stack, service string, t *EdgeTable) []EjectStatus {
	out := []EjectStatus{}
	if t == nil {
		return out
	}
	r, _ := t.Route(stack, service)
	for _, m := range r.Members {
		if m.Ejected != "" {
			out = append(out, EjectStatus{Replica: m.Name, Container: m.Container, Reason: m.Ejected})
		}
	}
	return out
}

// drainStatuses are the members of a service that have something left to do.
func drainStatuses(stack, service string, t *EdgeTable, now time.Time) []DrainStatus {
	out := []DrainStatus{}
	if t == nil {
		return out
	}
	r, _ := t.Route(stack, service)
	for _, m := range r.Members {
		if !m.Draining.IsZero() && !m.Idle(now) {
			out = append(out, DrainStatus{Replica: m.Name, Container: m.Container, Since: m.Draining,
				Until: m.Draining.Add(m.Limits.Longest()), Requests: m.Requests, Streams: m.Streams})
		}
	}
	return out
}
