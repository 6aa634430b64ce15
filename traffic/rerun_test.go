package traffic

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// restart runs a container of h anew, at another address.
func (h *host) restart(container, address string) Sighting {
	h.mu.Lock()
	s := h.has[container]
	s.Started, s.Addresses = s.Started.Add(time.Hour), []netip.Addr{netip.MustParseAddr(address)}
	h.has[container] = s
	h.mu.Unlock()
	h.tell(container)
	return s
}

func TestAContainerThatWasStartedAgainIsFollowedOnceTheAgentHadItsTime(t *testing.T) {
	t.Parallel()
	port := speaking(t, func(net.Conn) {}).address.Port()
	backends := []Backend{backend(1), backend(2), backend(3)}
	for i := range backends {
		backends[i].Address = netip.AddrPortFrom(backends[i].Address.Addr(), port)
	}
	h := newHost(backends...)
	var ahead atomic.Int64
	e, _ := runEdge(t, Options{Lookout: h, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	<-h.watched
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{backends[0], backends[1], draining(backends[2])}}
	table := tableOf(1, web)
	apply(t, e, table)
	p := poolOf(t, e, web)

	again := h.restart("container-1", "127.0.0.1")
	h.restart("container-2", "127.8.8.8") // where nobody answers
	h.restart("container-3", "127.0.0.1") // which is to get nothing new
	if l, _, _ := p.try(want{}); l != nil {
		t.Fatalf("%s is claimed at %s before the agent could say anything", l.replica.name, l.address)
	}
	ahead.Store(int64(alone))
	var l *lease
	eventually(t, "the container is followed", func() bool { l, _, _ = p.try(want{}); return l != nil })
	if l.replica.name != "web/1" || l.address != netip.AddrPortFrom(again.Addresses[0], port) || l.replica.identity.started != again.Started.UnixNano() {
		t.Fatalf("claimed %s at %s", l.replica.name, l.address)
	}
	for _, r := range e.State().Replicas {
		if r.Replica != "web/1" && (r.Confirmed || r.Requests != 0) {
			t.Errorf("served as well: %+v", r)
		}
	}

	apply(t, e, table) // an agent that looked before all this
	if l, _, _ := p.try(want{avoid: []*replica{l.replica}}); l != nil {
		t.Errorf("%s is claimed at %s, on what an agent saw before", l.replica.name, l.address)
	}
	web.Backends[0].Started, web.Backends[0].Address = again.Started, l.address
	web.Backends = web.Backends[:1]
	apply(t, e, tableOf(2, web)) // one that looked after
	known, _, _ := p.try(want{})
	if known == nil || known.replica != l.replica || len(e.reruns) != 0 {
		t.Errorf("the agent says the same, and it is another replica: %+v; followed still: %v", known, e.reruns)
	}
}

func TestAContainerThatMovedWithoutARestartIsFollowed(t *testing.T) {
	t.Parallel()
	one := backend(1)
	one.Address = netip.AddrPortFrom(one.Address.Addr(), speaking(t, func(net.Conn) {}).address.Port())
	h := newHost(one)
	var ahead atomic.Int64
	e, _ := runEdge(t, Options{Lookout: h, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	<-h.watched
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	apply(t, e, tableOf(1, web))
	h.mu.Lock()
	h.has[one.Container] = Sighting{Container: one.Container, Started: one.Started, Addresses: []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}}
	h.mu.Unlock()
	h.tell(one.Container)
	ahead.Store(int64(alone))
	var l *lease
	eventually(t, "the container is followed", func() bool { l, _, _ = poolOf(t, e, web).try(want{}); return l != nil })
	if l.address.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("claimed at %s", l.address)
	}
}

func TestAContainerThatMovesOnWhileItIsAskedIsNotFollowed(t *testing.T) {
	one := backend(1)
	one.Address = netip.AddrPortFrom(one.Address.Addr(), speaking(t, func(net.Conn) {}).address.Port())
	var ahead atomic.Int64
	e, _ := runEdge(t, Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	apply(t, e, tableOf(1, web))
	e.doubt(one.Container)
	again := Sighting{Container: one.Container, Started: one.Started.Add(time.Hour), Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	if _, ok := e.orphaned(again); ok {
		t.Error("the agent is given no time")
	}
	ahead.Store(int64(alone))
	o, ok := e.orphaned(again)
	if !ok {
		t.Fatal("it is not an orphan")
	}
	seen := e.now()
	e.doubt(one.Container) // while it is asked
	e.follow(t.Context(), o, again, seen)
	if l, _, _ := poolOf(t, e, web).try(want{}); l != nil {
		t.Errorf("claimed at %s, where it was", l.address)
	}
	before := again
	before.Started = one.Started.Add(-time.Hour)
	ahead.Store(int64(2 * alone))
	if _, ok := e.orphaned(before); ok {
		t.Error("an earlier run than the table knows is followed")
	}
	e.follow(t.Context(), o, again, e.now())
	if l, _, _ := poolOf(t, e, web).try(want{}); l == nil || l.address.Addr() != again.Addresses[0] {
		t.Errorf("nothing happened meanwhile, and it is not followed: %+v", l)
	}
}
