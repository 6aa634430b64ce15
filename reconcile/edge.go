package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"davit/compose"
)

// Edge owns host ports in the engine's place, and hands what comes there to
// containers.
type Edge interface {
	// Look returns what it serves and what each member has in flight. Its error is
	// ErrEdgeUnavailable where nobody answers.
	Look(ctx context.Context) (EdgeTable, error)
	// Apply makes it serve t in the place of the table before. When it returns nil, t
	// holds for every connection and request that begins; what it cannot open, Look says.
	Apply(ctx context.Context, t EdgeTable) error
}

// EdgeTable is all that the edge serves. Tables are values: their methods return
// others and change none.
type EdgeTable struct {
	// Generation numbers tables, upwards from 1; 0 is that of an edge without one.
	Generation int64
	// Routes are sorted by stack and service.
	Routes []Route
	// Closed are the ports that the edge could not open yet, and why, as it says. It means
	// nothing in a table that it is given.
	Closed map[HostPort]string
	// Parked are the ports at which clients find nobody now, as the edge says; it means as
	// little in a table that it is given.
	Parked map[HostPort]Parking
	// Since is when the edge that says this began; Succeeded that it took over from another
	// one then. Blind is why it cannot look at the engine, "" while it can.
	Since     time.Time
	Succeeded bool
	Blind     string
	// Away is why nobody knows what the edge serves, "" for a table that is known.
	Away string
	// Balancers are the load balancers of the host's own that serve some of the ports, and
	// Absent is true where there is nobody else: no edge.
	Balancers []Balancer
	Absent    bool
}

// Parking is that what comes to a port waits for a replica.
type Parking struct {
	// Since is when the first of it found nobody.
	Since time.Time
	// Limit is how long each waits before it is refused, Waiting how many do now.
	Limit   time.Duration
	Waiting int64
}

// Route is what the edge serves for one service.
type Route struct {
	Stack, Service string
	Ports          []compose.PublishedPort
	// Members are sorted by container.
	Members []Member
	// Weights are the shares of releases in what is new, by their sequence numbers; a
	// release that is not named gets nothing. Without any, releases do not matter.
	Weights map[int64]int
	// Match are the requests that get the releases of Matched whatever the weights say.
	Match   []compose.Match
	Matched []int64
}

// Member is a container behind a route. An address alone is no identity: engines deal
// them out anew.
type Member struct {
	// Container is its ID, and Started when it was started.
	Container string
	Started   time.Time
	Address   netip.Addr
	// Seen is when whoever looked at the engine for this began to, and Process the number
	// of a process of it on the host, 0 for none. By the one the edge tells what it may
	// believe, by the other it sees for itself; neither changes what it serves.
	Seen    time.Time
	Process int
	// Name is "web/3"; Release is the release that made it.
	Name    string
	Release int64
	// Draining is since when it gets nothing new, zero while it does; Limits bound what
	// is left then.
	Draining time.Time
	Limits   compose.Drain
	// Requests and Streams are in flight, as the edge says. They mean nothing in a table
	// that it is given.
	Requests, Streams int64
	// Ejected is why the edge passes it over, "" while it does not; as little.
	Ejected string
}

// Idle reports whether the member gets nothing new and has nothing left to do at
// now.
func (m Member) Idle(now time.Time) bool {
	if m.Draining.IsZero() {
		return false
	}
	return m.Requests+m.Streams == 0 || !now.Before(m.Draining.Add(m.Limits.Longest()))
}

// HostPort is a port at one of the host's addresses, or at all of them; or one of a
// service, at a load balancer.
type HostPort struct {
	// Network is "tcp" or "udp".
	Network string
	// IP is the zero value for all addresses.
	IP   netip.Addr
	Port uint16
	// Balancer is the load balancer where the port, then the container's, is served; ""
	// for a port of the host.
	Balancer string
}

// HostPortOf is the host's end of p.
func HostPortOf(p compose.PublishedPort) HostPort {
	if p.Balancer != "" {
		return HostPort{Network: p.Network, Port: p.Target, Balancer: p.Balancer}
	}
	h := HostPort{Network: p.Network, IP: p.HostIP, Port: p.Host}
	if h.IP.IsUnspecified() {
		h.IP = netip.Addr{}
	}
	return h
}

// String is the port as a compose file has it: "80", "53/udp", "127.0.0.1:80".
func (h HostPort) String() string {
	text := fmt.Sprint(h.Port)
	if h.IP.IsValid() {
		text = netip.AddrPortFrom(h.IP, h.Port).String()
	}
	if h.Network != "tcp" {
		text += "/" + h.Network
	}
	if h.Balancer != "" {
		text += " at " + h.Balancer
	}
	return text
}

// Overlaps reports whether one listener would be in the other's way. At a load balancer
// each service has a place of its own.
func (h HostPort) Overlaps(o HostPort) bool {
	if h.Balancer != "" || o.Balancer != "" {
		return false
	}
	same := h.IP == o.IP || !h.IP.IsValid() || !o.IP.IsValid()
	return h.Network == o.Network && h.Port == o.Port && same
}

// Route is what t has for a service.
func (t EdgeTable) Route(stack, service string) (Route, bool) {
	i := slices.IndexFunc(t.Routes, func(r Route) bool { return r.Stack == stack && r.Service == service })
	if i < 0 {
		return Route{Stack: stack, Service: service}, false
	}
	return t.Routes[i], true
}

// Member finds a container, in whichever route it is.
func (t EdgeTable) Member(container string) (m Member, found bool) {
	for _, r := range t.Routes {
		if i := r.at(container); i >= 0 {
			return r.Members[i], true
		}
	}
	return m, false
}

// Holder is the route that has a port which overlaps with h.
func (t EdgeTable) Holder(h HostPort) (Route, bool) {
	for _, r := range t.Routes {
		if r.holds(h) {
			return r, true
		}
	}
	return Route{}, false
}

func (r Route) holds(h HostPort) bool {
	return slices.ContainsFunc(r.Ports, func(p compose.PublishedPort) bool { return HostPortOf(p).Overlaps(h) })
}

func (r Route) at(container string) int {
	return slices.IndexFunc(r.Members, func(m Member) bool { return m.Container == container })
}

// with is t with r in the place of what it had for r's service. A route without
// ports and members is none.
func (t EdgeTable) with(r Route) EdgeTable {
	out := EdgeTable{Generation: t.Generation, Away: t.Away, Balancers: t.Balancers, Absent: t.Absent}
	for _, o := range t.Routes {
		if o.Stack != r.Stack || o.Service != r.Service {
			out.Routes = append(out.Routes, o.without(r.Members))
		}
	}
	if len(r.Ports) > 0 {
		r.Members = slices.SortedFunc(slices.Values(r.Members), func(a, b Member) int { return cmp.Compare(a.Container, b.Container) })
		out.Routes = append(out.Routes, r)
	}
	slices.SortFunc(out.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.Service, b.Service))
	})
	return out
}

// without is r without those members that serve elsewhere. Whoever drains beside the
// members of another service, which has its port now, may be wanted again at a port of
// its own, and no edge takes a container for both.
func (r Route) without(members []Member) Route {
	serves := func(m Member) bool {
		return slices.ContainsFunc(members, func(o Member) bool { return o.Container == m.Container && o.Draining.IsZero() })
	}
	if slices.ContainsFunc(r.Members, serves) {
		r.Members = slices.DeleteFunc(slices.Clone(r.Members), serves)
	}
	return r
}

// same reports whether both tables make an edge do the same.
func (t EdgeTable) same(o EdgeTable) bool {
	return reflect.DeepEqual(t.essence(), o.essence())
}

// essence is t without what only describes it, its times on one clock.
func (t EdgeTable) essence() []Route {
	var out []Route
	for _, r := range t.Routes {
		if r.Ports = essence(r.Ports); len(r.Weights) == 0 {
			r.Weights = nil
		}
		if len(r.Match) == 0 {
			r.Match, r.Matched = nil, nil
		}
		members := []Member{}
		for _, m := range r.Members {
			m.Requests, m.Streams, m.Ejected = 0, 0, ""
			m.Seen, m.Process = time.Time{}, 0
			m.Started, m.Draining = m.Started.UTC(), m.Draining.UTC()
			members = append(members, m)
		}
		r.Members = members
		out = append(out, r)
	}
	return out
}

// essence is the ports without what means nothing to an edge: their order, and who
// was to own them.
func essence(ports []compose.PublishedPort) []compose.PublishedPort {
	out := append([]compose.PublishedPort{}, ports...)
	for i := range out {
		out[i].Trusted = append([]netip.Prefix{}, out[i].Trusted...)
		out[i].Via = compose.ViaAuto
	}
	slices.SortFunc(out, func(a, b compose.PublishedPort) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Network, b.Network), a.HostIP.Compare(b.HostIP), cmp.Compare(a.Target, b.Target))
	})
	return out
}

// Shift says what StepShift makes the edge serve for one service.
type Shift struct {
	// Ports are those that the edge has for the service from now on.
	Ports []compose.PublishedPort
	// To get what is new from now on, From do not any more; both are added to what is
	// so already.
	To, From []Replica
	// Limits bound what From have left to do.
	Limits compose.Drain
	// Free are ports that nobody of the stack has at the edge from now on.
	Free []HostPort
	// Weight is the percentage of what is new that To get, while the other members get the
	// rest; 0 is no weighing, among the members that are left.
	Weight int
	// Match are the requests that To get all the same, with a weight.
	Match []compose.Match
}

// Shifted is t after the shift of a service, to being the members for s.To. What the
// members of other services of the stack had at its ports is drained.
func (t EdgeTable) Shifted(stack, service string, s Shift, to []Member, now time.Time) EdgeTable {
	out, r := t, Route{}
	r, _ = t.Route(stack, service)
	r.Ports, r.Members = s.Ports, slices.Clone(r.Members)
	r.Weights, r.Match, r.Matched = nil, nil, nil
	for _, m := range to {
		r.Members = append(slices.DeleteFunc(r.Members, func(o Member) bool { return o.Container == m.Container }), m)
	}
	for _, from := range s.From {
		if i := r.at(from.ID); i >= 0 {
			r.Members[i] = r.Members[i].drained(s.Limits, now)
		}
	}
	for _, o := range t.Routes {
		if o.Stack == stack && o.Service != service {
			kept, left := o.yielding(s, now)
			out = out.with(kept)
			r.Members = append(r.Members, left...)
		}
	}
	return out.with(r)
}

// yielding is r without the ports that the shift of another service takes or frees.
// The members of a route that has none left are drained where its ports went.
func (r Route) yielding(s Shift, now time.Time) (kept Route, left []Member) {
	taken := slices.Clone(s.Free)
	for _, p := range s.Ports {
		taken = append(taken, HostPortOf(p))
	}
	kept = r
	kept.Ports = slices.DeleteFunc(slices.Clone(r.Ports), func(p compose.PublishedPort) bool {
		return slices.ContainsFunc(taken, HostPortOf(p).Overlaps)
	})
	if len(kept.Ports) > 0 || len(r.Ports) == 0 {
		return kept, nil
	}
	for _, m := range r.Members {
		left = append(left, m.drained(s.Limits, now))
	}
	return kept, left
}

// Drained is t with nothing new for a container.
func (t EdgeTable) Drained(container string, limits compose.Drain, now time.Time) EdgeTable {
	out := t
	out.Routes = slices.Clone(t.Routes)
	for i, r := range out.Routes {
		if at := r.at(container); at >= 0 {
			out.Routes[i].Members = slices.Clone(r.Members)
			out.Routes[i].Members[at] = r.Members[at].drained(limits, now)
		}
	}
	return out
}

// drained is m with nothing new for it. What has begun goes on by the limits that it
// began with.
func (m Member) drained(limits compose.Drain, now time.Time) Member {
	if m.Draining.IsZero() {
		m.Draining, m.Limits = now, limits
	}
	return m
}
