package traffic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// deployment replaces the one replica of a service again and again, as the agent does:
// it joins, the old one drains, and is killed as soon as it is idle.
type deployment struct {
	t          *testing.T
	edge       *Edge
	port       Port
	generation int64
	// serving is the replica that there is.
	serving *stand
	backend Backend
	made    int
}

// apply has the edge serve these backends.
func (d *deployment) apply(backends ...Backend) {
	d.t.Helper()
	d.generation++
	d.port.Backends = backends
	apply(d.t, d.edge, tableOf(d.generation, d.port))
}

// replace puts a stand in the place of the one that serves.
func (d *deployment) replace(by *stand) {
	d.t.Helper()
	d.made++
	next := backend(d.made % 200)
	next.Container, next.Address, next.Release = fmt.Sprintf("container-%d", d.made), by.address, int64(d.made)
	if d.serving == nil {
		d.apply(next)
	} else {
		d.apply(d.backend, next)
		d.apply(draining(d.backend), next)
		eventually(d.t, "the old replica is idle", func() bool { return idleAt(d.edge, d.backend.Container) })
		d.serving.stop() // without any grace: what it had left would be lost
		d.apply(next)
	}
	d.serving, d.backend = by, next
}

// converse sends a line of random length over a connection of its own, and compares what
// comes back.
func converse(at netip.AddrPort) error {
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		return err
	}
	said := make([]byte, rand.N(16<<10))
	for i := range said {
		said[i] = byte(rand.Uint32())
	}
	go func() {
		conn.Write(said) // what did not arrive does not come back
		conn.CloseWrite()
	}()
	heard, err := io.ReadAll(conn)
	if err == nil && !bytes.Equal(heard, said) {
		err = fmt.Errorf("%d bytes came back of %d, or others", len(heard), len(said))
	}
	return err
}

func TestReplicasAreReplacedUnderLoadWithoutALostConnection(t *testing.T) {
	e, _ := runEdge(t, Options{})
	d := &deployment{t: t, edge: e, port: Port{Address: vacant(t), Stack: "shop", Service: "web", Protocol: ProtocolTCP}}
	d.replace(echoing(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := converse(d.port.Address); err != nil {
					t.Errorf("after %d: %v", asked.Load(), err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for range 50 {
		before := asked.Load()
		d.replace(echoing(t))
		eventually(t, "clients are answered", func() bool { return t.Failed() || asked.Load() > before+5 })
	}
	cancel()
	clients.Wait()
	eventually(t, "nothing is left over", func() bool {
		left := e.State().Replicas
		return len(left) == 1 && left[0].Idle()
	})
}

func TestAStreamLivesUntilItsLimitAndIsCutThen(t *testing.T) {
	e, _ := runEdge(t, Options{})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Protocol: ProtocolTCP}
	old := backend(1)
	old.Address = echoing(t).address
	web.Backends = []Backend{old}
	apply(t, e, tableOf(1, web))
	conn, err := net.Dial("tcp", web.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	echo := func() error {
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	drain := draining(old)
	web.Backends = []Backend{drain}
	apply(t, e, tableOf(2, web))
	if err := echo(); err != nil {
		t.Fatalf("it was cut when its replica began to drain: %v", err)
	}
	streams := func() int64 {
		at := slices.IndexFunc(e.State().Replicas, func(r ReplicaState) bool { return r.Container == old.Container })
		return e.State().Replicas[at].Streams
	}
	if n := streams(); n != 1 {
		t.Errorf("%d streams", n)
	}
	limited := *drain.Drain
	limited.Timeout, limited.Streams = 0, 0
	drain.Drain = &limited
	web.Backends = []Backend{drain}
	apply(t, e, tableOf(3, web))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past its limit: %v", err)
	}
	eventually(t, "nothing is left", func() bool { return streams() == 0 })
}

func TestAnEdgeThatEndsCutsWhatIsLeft(t *testing.T) {
	e, stop := runEdge(t, Options{})
	one := backend(1)
	one.Address = echoing(t).address
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Protocol: ProtocolTCP, Backends: []Backend{one}}
	apply(t, e, tableOf(1, web))
	conn, err := net.Dial("tcp", web.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("it goes on after the end")
	}
}

func TestARetiredEdgeEndsOnceNothingIsLeft(t *testing.T) {
	e, err := New(Options{Dir: t.TempDir(), Log: discarded()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(t.Context()) }()
	one := backend(1)
	one.Address = echoing(t).address
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Protocol: ProtocolTCP, Backends: []Backend{one}}
	apply(t, e, tableOf(1, web))
	conn, err := net.Dial("tcp", web.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "it is served", func() bool { return e.State().Replicas[0].Streams == 1 })
	e.Retire()
	e.Retire() // as when two ask for it
	if opens(web.Address) {
		t.Error("it accepts connections still")
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("what it has is not served to its end: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("it ended before the client did: %v", err)
	default:
	}
	conn.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := e.Run(t.Context()); err == nil {
		t.Error("it runs twice")
	}
}
