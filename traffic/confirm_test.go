package traffic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// host stands in for the engine: it deals out addresses, and says so.
type host struct {
	mu  sync.RWMutex
	has map[string]Sighting
	// deaf keeps it from being looked at.
	deaf error
	tell func(string)
	hear func(error)
	// watched is closed when somebody listens.
	watched chan struct{}
	// looks counts the looks; meanwhile, if any, happens between a look and its answer.
	looks     atomic.Int64
	meanwhile func()
}

func newHost(backends ...Backend) *host {
	h := &host{has: map[string]Sighting{}, watched: make(chan struct{})}
	for _, b := range backends {
		h.has[b.Container] = Sighting{Container: b.Container, Started: b.Started, Addresses: []netip.Addr{b.Address.Addr()}}
	}
	return h
}

func (h *host) Watch(ctx context.Context, heard func(error), moved func(string)) error {
	heard(nil)
	h.mu.Lock()
	h.hear, h.tell = heard, moved
	h.mu.Unlock()
	close(h.watched)
	<-ctx.Done()
	return ctx.Err()
}

func (h *host) Look(_ context.Context, containers []string) ([]Sighting, error) {
	h.mu.RLock()
	var out []Sighting
	for _, c := range containers {
		if s, runs := h.has[c]; runs {
			out = append(out, s)
		}
	}
	err, meanwhile := h.deaf, h.meanwhile
	h.mu.RUnlock()
	runtime.Gosched() // what was seen grows old
	if meanwhile != nil {
		meanwhile()
	}
	h.looks.Add(1)
	return out, err
}

// whose is the container that has an address now. The caller holds the lock.
func (h *host) whose(a netip.Addr) string {
	for _, s := range h.has {
		if slices.Contains(s.Addresses, a) {
			return s.Container
		}
	}
	return ""
}

// confirmed reports whether the edge takes a container's addresses for its own.
func confirmed(e *Edge, container string) bool {
	return slices.ContainsFunc(e.State().Replicas, func(r ReplicaState) bool { return r.Container == container && r.Confirmed })
}

func TestTheEdgeConfirmsByItsOwnLook(t *testing.T) {
	one, two := backend(1), backend(2)
	h := newHost(one, two)
	e, _ := runEdge(t, Options{Lookout: h})
	<-h.watched
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one, two, backend(3)}}
	table := tableOf(1, web)
	table = table.unseen()
	apply(t, e, table) // it looks before it acknowledges
	if !confirmed(e, one.Container) || !confirmed(e, two.Container) {
		t.Fatal("what runs as the table says is not confirmed")
	}
	if confirmed(e, "container-3") {
		t.Fatal("what does not run is confirmed")
	}
	h.mu.Lock()
	moved := h.has[two.Container]
	moved.Started = moved.Started.Add(time.Nanosecond)
	h.has[two.Container] = moved
	h.mu.Unlock()
	h.tell(two.Container) // it was restarted
	if confirmed(e, two.Container) || !confirmed(e, one.Container) {
		t.Fatal("not the one that was restarted is doubted")
	}
	h.tell(one.Container) // as when it joined a network
	eventually(t, "it is looked at again", func() bool { return confirmed(e, one.Container) })
	if confirmed(e, two.Container) {
		t.Error("another run of the container is taken for it")
	}
}

func TestAnotherAddressThanTheTableSaysIsNotConfirmed(t *testing.T) {
	one := backend(1)
	h := newHost(one)
	e, _ := runEdge(t, Options{Lookout: h})
	<-h.watched
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	web.Backends[0].Address = backend(2).Address
	table := tableOf(1, web)
	table = table.unseen()
	apply(t, e, table)
	if confirmed(e, one.Container) {
		t.Fatal("it is confirmed at an address that it has not")
	}
	web.Backends = []Backend{one}
	table = tableOf(2, web)
	table = table.unseen()
	apply(t, e, table)
	if !confirmed(e, one.Container) {
		t.Error("it is not confirmed at its own")
	}
}

func TestAnEngineThatCannotBeLookedAtIsAskedAgain(t *testing.T) {
	t.Parallel()
	one := backend(1)
	h := newHost(one)
	h.deaf = errors.New("the engine is away")
	e, _ := runEdge(t, Options{Lookout: h})
	<-h.watched
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	table := tableOf(1, web)
	table = table.unseen()
	apply(t, e, table) // which holds, whatever the engine does
	if confirmed(e, one.Container) {
		t.Fatal("it is confirmed, and nobody has seen it")
	}
	h.mu.Lock()
	h.deaf = nil
	h.mu.Unlock()
	eventually(t, "it is confirmed once the engine answers", func() bool { return confirmed(e, one.Container) })
}

func TestALookDuringWhichSomethingHappensConfirmsNothing(t *testing.T) {
	one := backend(1)
	h := newHost(one)
	e, _ := runEdge(t, Options{Lookout: h})
	<-h.watched
	h.mu.Lock()
	h.meanwhile = func() {
		h.restart(one.Container, "127.8.8.8")
		if confirmed(e, one.Container) {
			t.Error("it is confirmed before the answer")
		}
	}
	h.mu.Unlock()
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	table := tableOf(1, web)
	table = table.unseen()
	apply(t, e, table)
	h.mu.Lock()
	h.meanwhile = nil
	h.mu.Unlock()
	before := h.looks.Load()
	eventually(t, "it was looked at again", func() bool { return h.looks.Load() >= before+1 })
	if confirmed(e, one.Container) {
		t.Error("it is confirmed as it was when the look began")
	}
}

func TestWhatWasSeenBeforeADoubtConfirmsNothing(t *testing.T) {
	e, _ := runEdge(t, Options{})
	one, two := backend(1), backend(2)
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one, two}}
	table := tableOf(1, web)
	apply(t, e, table)
	e.doubt(one.Container)
	apply(t, e, table)
	if confirmed(e, one.Container) || !confirmed(e, two.Container) {
		t.Error("the agent saw both before the first was restarted")
	}
	for i := range manyDoubts {
		e.doubt(fmt.Sprint("some other container ", i))
	}
	if len(e.doubts.of) > manyDoubts {
		t.Errorf("%d doubts are kept", len(e.doubts.of))
	}
	apply(t, e, table)
	if confirmed(e, one.Container) {
		t.Error("the doubt was forgotten")
	}
	if !confirmed(e, two.Container) {
		t.Error("what was certain is doubted for others")
	}
	table = seen(table, time.Now())
	apply(t, e, table)
	if !confirmed(e, one.Container) {
		t.Error("the agent has looked again")
	}
}

// Engines deal out addresses anew while clients wait, the edge looks, and an agent
// writes tables of what it saw a moment ago.
func TestNoClaimIsGivenAnAddressThatAnotherContainerHas(t *testing.T) {
	backends := []Backend{backend(1), backend(2), backend(3), backend(4)}
	h := newHost(backends...)
	e, _ := runEdge(t, Options{Lookout: h})
	<-h.watched
	ports := make([]Port, len(backends))
	for i := range ports {
		ports[i] = Port{Address: vacant(t), Stack: "shop", Service: fmt.Sprint("s", i), Backends: backends[i : i+1]}
	}
	apply(t, e, tableOf(1, ports...))
	pools := make([]*pool, len(ports))
	for i, p := range ports {
		pools[i] = poolOf(t, e, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var others sync.WaitGroup
	served := make([]atomic.Int64, len(pools))
	for i, p := range pools {
		others.Go(func() {
			for ctx.Err() == nil {
				h.mu.RLock() // what is dealt out stays so until the claim is looked at
				if l, _, _ := p.try(want{}); l != nil {
					served[i].Add(1)
					if owner := h.whose(l.address.Addr()); owner != l.replica.identity.container {
						t.Errorf("%s of %s is dialled, and %s has it", l.address, l.replica.name, owner)
					}
					l.end(outcome{}, time.Now())
				}
				h.mu.RUnlock()
				time.Sleep(20 * time.Microsecond) // the others need the machine, too
			}
		})
	}
	others.Go(func() { agent(ctx, t, e, h, ports) })
	rounds := 0
	eventually(t, "everybody was served between many changes", func() bool {
		h.permute()
		time.Sleep(time.Duration(rand.N(500)) * time.Microsecond)
		rounds++
		few := func(i int) bool { return served[i].Load() < 10 }
		return rounds >= 40 && !slices.ContainsFunc([]int{0, 1, 2, 3}, few)
	})
	eventually(t, "everybody is confirmed in the end", func() bool {
		return !slices.ContainsFunc(e.State().Replicas, func(r ReplicaState) bool { return !r.Confirmed && !r.Draining })
	})
	cancel()
	others.Wait()
}

// permute deals out the addresses anew, as a restart of the engine does, with the
// containers begun anew or not, and says so at once: nobody claims in between.
func (h *host) permute() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	var addresses [][]netip.Addr
	for name, s := range h.has {
		names, addresses = append(names, name), append(addresses, s.Addresses)
	}
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	restarted := rand.N(2) == 0
	for i, name := range names {
		s := h.has[name]
		if s.Addresses = addresses[i]; restarted {
			s.Started = s.Started.Add(time.Second)
		}
		h.has[name] = s
	}
	if restarted {
		h.hear(errors.New("the engine restarts"))
		h.hear(nil)
		return
	}
	for _, name := range names {
		h.tell(name)
	}
}

// agent applies what it sees, again and again.
func agent(ctx context.Context, t *testing.T, e *Edge, h *host, ports []Port) {
	for generation := int64(2); ctx.Err() == nil; generation++ {
		table := tableOf(generation)
		h.mu.RLock()
		for _, p := range ports {
			b := p.Backends[0]
			s := h.has[b.Container]
			b.Started, b.Address = s.Started, netip.AddrPortFrom(s.Addresses[0], b.Address.Port())
			p.Backends = []Backend{b}
			table.Ports = append(table.Ports, p)
		}
		h.mu.RUnlock()
		runtime.Gosched()
		if _, err := e.Apply(ctx, table); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
}
