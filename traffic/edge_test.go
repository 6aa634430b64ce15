package traffic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// runEdge runs an edge until the test or stop ends it.
func runEdge(t *testing.T, o Options) (e *Edge, stop func()) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Log = discarded()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e, running(t, e)
}

// running has e serve until the test ends, or it is stopped.
func running(t *testing.T, e *Edge) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	<-e.running
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func discarded() *slog.Logger { return slog.New(slog.DiscardHandler) }

// apply has e acknowledge a table.
func apply(t *testing.T, e *Edge, table Table) Acknowledgement {
	t.Helper()
	a, err := e.Apply(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	if a.Generation != table.Generation || e.State().Generation != table.Generation {
		t.Fatalf("acknowledged %d, in force %d, not %d", a.Generation, e.State().Generation, table.Generation)
	}
	return a
}

// vacant is a port that nobody listens on.
func vacant(t *testing.T) netip.AddrPort {
	t.Helper()
	// Not one of the kernel's choice: it would give that to the next who asks.
	for range 100 {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000)))
		if err == nil {
			defer l.Close()
			return ends(l.Addr())
		}
	}
	t.Fatal("no port is vacant")
	return netip.AddrPort{}
}

// backend is the replica "web/n", at an address where nobody answers.
func backend(n int) Backend {
	return Backend{Container: fmt.Sprintf("container-%d", n), Started: time.Unix(int64(n), 0), Release: 1,
		Replica: fmt.Sprintf("web/%d", n), Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 9, byte(n)}), 9)}
}

// draining is b while it drains, with limits that a test does not see the end of.
func draining(b Backend) Backend {
	b.Drain = &Drain{Since: time.Now(), Timeout: time.Hour, Streams: time.Hour}
	return b
}

// tableOf is a table that confirms its backends.
func tableOf(generation int64, ports ...Port) Table {
	return seen(Table{Instance: "here", Generation: generation, Ports: ports}, time.Now())
}

// seen is t whose writer looked at a time.
func seen(t Table, at time.Time) Table {
	t = t.unseen()
	for _, p := range t.Ports {
		for i := range p.Backends {
			p.Backends[i].Seen = at
		}
	}
	return t
}

// poolOf is the choice behind an open port.
func poolOf(t *testing.T, e *Edge, p Port) *pool {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.fronts[p.Key()]
	if f == nil {
		t.Fatalf("%s is not open: %v", p.Key(), e.closed[p.Key()])
	}
	return f.pool
}

// opens reports whether somebody accepts connections there.
func opens(at netip.AddrPort) bool { return greet(at) == nil }

// greet connects, and ends that so that the kernel need not remember it.
func greet(at netip.AddrPort) error {
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at))
	if errors.Is(err, syscall.ECONNRESET) {
		return nil // it was accepted, and ended at once for want of a replica
	}
	if err != nil {
		return err
	}
	return errors.Join(conn.SetLinger(0), conn.Close())
}

func TestNothingBeginsOnAReplicaAfterItsDrainWasAcknowledgedAndItWasIdle(t *testing.T) {
	e, _ := runEdge(t, Options{})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web"}
	api := Port{Address: vacant(t), Stack: "shop", Service: "web"}
	replicas := []Backend{backend(1), backend(2), backend(3)}
	web.Backends, api.Backends = replicas, replicas
	apply(t, e, tableOf(1, web, api))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var forbidden [3]atomic.Bool
	var claims atomic.Int64
	var claimers sync.WaitGroup
	for n := range 200 {
		p := poolOf(t, e, []Port{web, api}[n%2])
		claimers.Go(func() {
			for ctx.Err() == nil {
				l, err := p.claim(ctx, want{kind: leaseKind(rand.N(2))})
				if err != nil {
					continue
				}
				if claims.Add(1)%3 == 0 {
					l.stream()
				}
				at := slices.IndexFunc(replicas, func(b Backend) bool { return b.Container == l.replica.identity.container })
				if forbidden[at].Load() {
					t.Errorf("%s was given a lease after it was drained and idle", l.replica.name)
				}
				time.Sleep(rand.N(10 * time.Millisecond)) // many are under way at any time
				if forbidden[at].Load() {
					t.Errorf("%s was idle, and had this lease", l.replica.name)
				}
				l.end(outcome{}, time.Now())
			}
		})
	}
	for generation := int64(2); generation < 42; generation++ {
		at := int(generation) % len(replicas)
		now := slices.Clone(replicas)
		if generation%5 == 0 {
			now = slices.Delete(now, at, at+1) // gone at once, without having drained
		} else {
			now[at] = draining(now[at])
		}
		web.Backends, api.Backends = now, now
		apply(t, e, tableOf(generation, web, api))
		if slices.ContainsFunc(e.State().Replicas, func(r ReplicaState) bool { return r.Container == replicas[at].Container && !r.Draining }) {
			t.Errorf("%s does not drain yet, and that it does was acknowledged", replicas[at].Replica)
		}
		eventually(t, "the replica is idle", func() bool { return idleAt(e, replicas[at].Container) })
		forbidden[at].Store(true)
		for before := claims.Load(); claims.Load() < before+50; {
			time.Sleep(100 * time.Microsecond) // until others were given enough
		}
		forbidden[at].Store(false)
	}
	cancel()
	claimers.Wait()
	for _, r := range e.State().Replicas {
		if !r.Idle() {
			t.Errorf("%s has %d requests and %d streams left", r.Replica, r.Requests, r.Streams)
		}
	}
}

// idleAt reports whether the edge has a container as draining and idle, or not at all.
func idleAt(e *Edge, container string) bool {
	for _, r := range e.State().Replicas {
		if r.Container == container {
			return r.Draining && r.Idle()
		}
	}
	return true
}

func TestTablesOutOfOrderOrOfOthersAreRefused(t *testing.T) {
	e, _ := runEdge(t, Options{})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{backend(1)}}
	apply(t, e, tableOf(5, web))
	other := tableOf(5)
	foreign := tableOf(9, web)
	foreign.Instance = "elsewhere"
	wrong := foreign
	wrong.Replaces = "somebody"
	twice := tableOf(6, web, web)
	for name, c := range map[string]struct {
		table Table
		want  error
	}{
		"an older generation":                 {tableOf(4, web), ErrStale},
		"another table of its generation":     {other, ErrStale},
		"another instance":                    {foreign, ErrForeign},
		"one that replaces somebody else":     {wrong, ErrForeign},
		"one that is not valid":               {twice, nil},
		"one without an instance":             {Table{Generation: 7}, nil},
		"one whose generation is not a count": {Table{Instance: "here"}, nil},
	} {
		_, err := e.Apply(t.Context(), c.table)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if s := e.State(); s.Generation != 5 || s.Instance != "here" || len(s.Ports) != 1 {
			t.Fatalf("%s: it serves %+v", name, s)
		}
	}
	apply(t, e, tableOf(5, web)) // the same again, seen later
	foreign.Replaces = "here"
	foreign.Generation = 1
	apply(t, e, foreign)
	if _, err := e.Apply(t.Context(), tableOf(6, web)); !errors.Is(err, ErrForeign) {
		t.Errorf("the one that was replaced: %v", err)
	}
}

func TestAnAddressInUseIsReportedAndTheOthersAreServed(t *testing.T) {
	t.Parallel()
	e, _ := runEdge(t, Options{})
	foreign := listen(t)
	taken := Port{Address: ends(foreign.Addr()), Stack: "shop", Service: "web"}
	free := Port{Address: vacant(t), Stack: "shop", Service: "web"}
	nowhere := Port{Address: netip.MustParseAddrPort("192.0.2.1:80"), Stack: "shop", Service: "web"}
	a := apply(t, e, tableOf(1, taken, free, nowhere))
	if len(a.Closed) != 2 || a.Closed[taken.Key()] == "" || a.Closed[nowhere.Key()] == "" {
		t.Fatalf("closed: %v", a.Closed)
	}
	if !opens(free.Address) {
		t.Error("the port that is free is not served")
	}
	for _, p := range e.State().Ports {
		if p.Closed != a.Closed[p.Key] {
			t.Errorf("%s is closed for %q in the state, %q in the acknowledgement", p.Key, p.Closed, a.Closed[p.Key])
		}
	}
	foreign.Close()
	eventually(t, "the port is opened once it is free", func() bool {
		return slices.ContainsFunc(e.State().Ports, func(p PortState) bool { return p.Key == taken.Key() && p.Closed == "" })
	})
	if !opens(taken.Address) {
		t.Error("the port that was opened later is not served")
	}
}

func TestAPortThatIsGivenUpIsFreeWhenThatIsAcknowledged(t *testing.T) {
	e, _ := runEdge(t, Options{})
	tcp := Port{Address: vacant(t), Stack: "shop", Service: "web"}
	udp := Port{Network: UDP, Address: vacant(t), Stack: "shop", Service: "dns"}
	for generation := int64(1); generation < 40; generation += 2 {
		if a := apply(t, e, tableOf(generation, tcp, udp)); a.Closed != nil {
			t.Fatal(a.Closed)
		}
		apply(t, e, tableOf(generation+1))
		l, err := net.Listen("tcp4", tcp.Address.String())
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		p, err := net.ListenPacket("udp4", udp.Address.String())
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
}

func TestAPortThatMovesToAnotherServiceIsNeverClosed(t *testing.T) {
	e, _ := runEdge(t, Options{})
	port := Port{Address: vacant(t), Stack: "shop", Service: "blue", Backends: []Backend{backend(1)}}
	apply(t, e, tableOf(1, port))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := greet(port.Address); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for generation := int64(2); generation < 60; generation++ {
		n := int(generation % 2)
		port.Service, port.Backends = []string{"green", "blue"}[n], []Backend{backend(2 - n)}
		apply(t, e, tableOf(generation, port))
		l, err := poolOf(t, e, port).claim(t.Context(), want{})
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("web/%d", 2-n); l.replica.name != want {
			t.Fatalf("%s answers for %s", l.replica.name, port.Service)
		}
		l.end(outcome{}, time.Now())
	}
	cancel()
	clients.Wait()
}

func TestARestartServesTheSameTableAndParksUntilItIsConfirmed(t *testing.T) {
	dir := t.TempDir()
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{backend(1), draining(backend(2))}}
	table := tableOf(3, web)
	e, stop := runEdge(t, Options{Dir: dir})
	apply(t, e, table)
	stop()
	if opens(web.Address) {
		t.Fatal("the edge that ended still listens")
	}
	e, _ = runEdge(t, Options{Dir: dir})
	if !opens(web.Address) {
		t.Fatal("the port is not served again")
	}
	for _, r := range e.State().Replicas {
		if r.Confirmed {
			t.Errorf("%s is confirmed, and nobody has looked", r.Replica)
		}
	}
	if l, _, _ := poolOf(t, e, web).try(want{}); l != nil {
		t.Fatalf("%s was claimed before it was confirmed", l.replica.name)
	}
	apply(t, e, table) // seen before the restart: that says nothing
	if l, _, _ := poolOf(t, e, web).try(want{}); l != nil {
		t.Fatalf("%s was claimed on what was seen before the restart", l.replica.name)
	}
	claimed := make(chan *lease, 1)
	go func() {
		l, err := poolOf(t, e, web).claim(t.Context(), want{})
		if err != nil {
			t.Error(err)
		}
		claimed <- l
	}()
	table = seen(table, time.Now())
	apply(t, e, table)
	if l := <-claimed; l == nil || l.replica.name != "web/1" {
		t.Fatalf("claimed %+v", l)
	}
}

func TestAReplicaThatTheTableForgetsDrainsByItself(t *testing.T) {
	e, _ := runEdge(t, Options{})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{backend(1), backend(2)}}
	api := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{backend(1)}}
	apply(t, e, tableOf(1, web, api))
	l, err := poolOf(t, e, api).claim(t.Context(), want{})
	if err != nil {
		t.Fatal(err)
	}
	told := func() bool {
		select {
		case <-l.draining:
			return true
		default:
			return false
		}
	}
	api.Backends = nil
	apply(t, e, tableOf(2, web, api))
	if told() || !confirmed(e, "container-1") {
		t.Error("it drains, and one port still names it")
	}
	web.Backends = web.Backends[1:]
	apply(t, e, tableOf(3, web, api))
	if !told() {
		t.Error("what it has left is not told to end")
	}
	if idleAt(e, "container-1") {
		t.Error("it is forgotten while something is left")
	}
	l.end(outcome{}, time.Now())
	apply(t, e, tableOf(4, web, api))
	for _, r := range e.State().Replicas {
		if r.Container == "container-1" {
			t.Errorf("it is kept: %+v", r)
		}
	}
}

func TestADamagedTableIsNotServedAndTheNextOneIs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, tableFile), []byte("what a bad disk made of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, _ := runEdge(t, Options{Dir: dir})
	if s := e.State(); s.Generation != 0 || len(s.Ports) != 0 {
		t.Fatalf("it serves %+v", s)
	}
	web := Port{Address: vacant(t), Stack: "shop", Service: "web"}
	apply(t, e, tableOf(1, web))
	if !opens(web.Address) {
		t.Error("the port is not served")
	}
}

func TestATableThatIsNotOnDiskIsNotServed(t *testing.T) {
	dir := t.TempDir()
	e, _ := runEdge(t, Options{Dir: dir})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web"}
	if err := os.Mkdir(filepath.Join(dir, tableFile), 0o700); err != nil { // where nothing is renamed to
		t.Fatal(err)
	}
	if _, err := e.Apply(t.Context(), tableOf(1, web)); err == nil {
		t.Fatal("it was acknowledged")
	}
	if s := e.State(); s.Generation != 0 || opens(web.Address) {
		t.Errorf("it serves %+v", s)
	}
}

func TestConnectionsBeyondTheLimitAreClosedAndCounted(t *testing.T) {
	e, _ := runEdge(t, Options{})
	// Nobody is confirmed, so that connections wait.
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Protocol: ProtocolHTTP, MaxConnections: 3, Backends: []Backend{backend(1)}}
	apply(t, e, tableOf(1, web))
	state := func() PortState { return e.State().Ports[0] }
	var open []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", web.Address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	eventually(t, "three are open", func() bool { return state().Open == 3 })
	over, err := net.Dial("tcp", web.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	if err := over.SetReadDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	if _, err := over.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the fourth: %v", err)
	}
	if s := state(); s.Refused != 1 || s.Open != 3 {
		t.Errorf("%+v", s)
	}
	open[0].Close()
	eventually(t, "there is room again", func() bool { return state().Open == 2 })
}

func TestASuccessorListensOnTheSameSockets(t *testing.T) {
	dir := t.TempDir()
	tcp := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{backend(1)}}
	udp := Port{Network: UDP, Address: vacant(t), Stack: "shop", Service: "dns"}
	old, _ := runEdge(t, Options{Dir: dir})
	apply(t, old, tableOf(1, tcp, udp))
	held, err := poolOf(t, old, tcp).claim(t.Context(), want{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := greet(tcp.Address); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	sockets, err := old.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	if len(sockets) != 2 {
		t.Fatalf("handed over: %v", sockets)
	}
	e, _ := runEdge(t, Options{Dir: dir, Sockets: sockets})
	old.Retire()
	if a := apply(t, e, tableOf(2, tcp, udp)); a.Closed != nil {
		t.Fatal(a.Closed)
	}
	tcp.Backends = []Backend{draining(backend(1))}
	table := tableOf(3, tcp, udp)
	apply(t, e, table)
	if a, err := old.Apply(t.Context(), table); err != nil || len(a.Closed) != 0 {
		t.Fatalf("the elder: %v, %v", a, err)
	}
	select {
	case <-held.draining:
	default:
		t.Error("what the elder has left is not told that its replica drains")
	}
	held.end(outcome{}, time.Now())
	if _, err := old.Sockets(); !errors.Is(err, errRetired) {
		t.Errorf("the elder hands over twice: %v", err)
	}
	cancel()
	clients.Wait()
}
