package traffic

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// rerun is a later run of a container than the table knows: the engine has started it
// again while no agent was there to say so.
type rerun struct {
	started time.Time
	address netip.Addr
	process int
}

const (
	// alone is how long the agent has to say what became of a container that was started
	// again. It knows more: whether the container is ready, and is wanted at all.
	alone = 5 * time.Second
	// knock bounds the question whether a container answers at an address.
	knock = time.Second
)

// current is t with those containers that run anew as they are now.
func (e *Edge) current(t Table) Table {
	if len(e.reruns) == 0 {
		return t
	}
	t.Ports = slices.Clone(t.Ports)
	for i := range t.Ports {
		backends := slices.Clone(t.Ports[i].Backends)
		for j, b := range backends {
			if again, is := e.reruns[b.identity()]; is && again.address.Is4() == b.Address.Addr().Is4() {
				backends[j].Started, backends[j].Process = again.started, again.process
				backends[j].Address = netip.AddrPortFrom(again.address, b.Address.Port())
			}
		}
		t.Ports[i].Backends = backends
	}
	return t
}

// forgetReruns forgets the containers that t knows better, or does not have.
func (e *Edge) forgetReruns(t Table) {
	for id := range e.reruns {
		if !slices.ContainsFunc(t.Ports, func(p Port) bool {
			return slices.ContainsFunc(p.Backends, func(b Backend) bool { return b.identity() == id })
		}) {
			delete(e.reruns, id)
		}
	}
}

// orphan is a replica whose container runs anew.
type orphan struct {
	replica *replica
	address netip.Addr
	ports   []uint16 // of TCP
}

// followAll follows those of the containers that run otherwise than the table has them,
// as seen then, for which it is time.
func (e *Edge) followAll(ctx context.Context, otherwise []Sighting, seen time.Time) {
	var following sync.WaitGroup
	for _, s := range otherwise {
		if o, ok := e.orphaned(s); ok {
			following.Go(func() { e.follow(ctx, o, s, seen) })
		}
	}
	following.Wait()
}

// orphaned is the replica whose container is seen otherwise than the table has it, if
// the agent has had the time to say so, and nothing speaks against following it.
func (e *Edge) orphaned(s Sighting) (o orphan, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.replicas {
		if r.identity.container == s.Container && len(r.addresses) == 1 && !r.closed.Load() && !r.confirmed.Load() &&
			r.identity.started <= s.Started.UnixNano() && e.now().Sub(r.doubted) >= alone {
			o = orphan{replica: r, address: r.addresses[0]}
			break
		}
	}
	if o.replica == nil {
		return orphan{}, false
	}
	for _, p := range e.current(e.table).Ports {
		for _, b := range p.Backends {
			if b.identity() == o.replica.identity && p.Network == TCP {
				o.ports = append(o.ports, b.Address.Port())
			}
		}
	}
	return o, true
}

// follow has the edge serve the container at its new address, if it answers there.
// Until the agent comes back that is better than nobody, and as the engine's own
// publishing would have it.
func (e *Edge) follow(ctx context.Context, o orphan, s Sighting, seen time.Time) {
	at := slices.IndexFunc(s.Addresses, func(a netip.Addr) bool { return a.Is4() == o.address.Is4() && o.answers(ctx, a) })
	if at < 0 {
		return // it is starting, or cannot be reached: the next look tells
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.replicas[o.replica.identity] != o.replica || o.replica.closed.Load() || !e.hears() || !e.doubts.settled(s.Container, seen) {
		return
	}
	for _, p := range e.table.Ports {
		for _, b := range p.Backends {
			if b.Container == s.Container {
				e.reruns[b.identity()] = rerun{s.Started, s.Addresses[at], s.Process}
			}
		}
	}
	e.put(e.table)
	if r := e.replicas[identity{s.Container, s.Started.UnixNano()}]; r != nil {
		r.confirm()
	}
	e.again()
	e.log.WarnContext(ctx, "a container is served where it is now, since no agent has said otherwise",
		"replica", o.replica.name, "container", s.Container, "started", s.Started, "address", s.Addresses[at])
}

// answers reports whether all ports accept connections at a.
func (o orphan) answers(ctx context.Context, a netip.Addr) bool {
	dialer := net.Dialer{Timeout: knock}
	for _, p := range o.ports {
		conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(a, p).String())
		if err != nil {
			return false
		}
		conn.Close()
	}
	return true
}
