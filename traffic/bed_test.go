package traffic

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bed is a TCP port that is open on loopback, and the stands behind it: what a test
// of one protocol needs, without tables or an Edge.
type bed struct {
	*front
	t *testing.T
	// address is where the port listens.
	address string
	stands  []*stand
}

// newBed opens a port as shape says, with the stands as replicas "web/1", "web/2" and
// so on of release 1. When the test ends, it waits for whatever was served.
func newBed(t *testing.T, shape Port, stands ...*stand) *bed {
	t.Helper()
	listener := listen(t)
	shape.Address = ends(listener.Addr())
	b := &bed{t: t, address: listener.Addr().String(), front: newFront(time.Now, slog.New(slog.DiscardHandler),
		[]byte("0123456789abcdef0123456789abcdef"))}
	b.put(shape, stands...)
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { b.answer(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		cancel()
		served.Wait()
	})
	return b
}

// answer is what an Edge does with an accepted connection.
func (b *bed) answer(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	b.serve(ctx, newClient(conn, b.port.Load()))
}

// put gives the port another shape, or other stands, as a new table would. A stand
// keeps its replica.
func (b *bed) put(shape Port, stands ...*stand) {
	b.t.Helper()
	shape.Park, shape.Idle = min(nonzero(shape.Park), 10*time.Second), min(nonzero(shape.Idle), 30*time.Second)
	members := make([]member, len(stands))
	for i, s := range stands {
		if s.replica == nil {
			s.replica = newReplica(shape, Backend{Container: fmt.Sprintf("container-%d", len(b.stands)+1),
				Started: time.Unix(1, 0), Replica: fmt.Sprintf("web/%d", len(b.stands)+1), Release: max(s.release, 1)})
			s.replica.confirmed.Store(true)
			b.stands = append(b.stands, s)
		}
		members[i] = member{replica: s.replica, address: s.address}
	}
	b.port.Store(&shape)
	b.pool.set(shape, members)
}

func nonzero(d time.Duration) time.Duration {
	if d == 0 {
		return time.Hour
	}
	return d
}

// dial is a client's connection to the port, closed with the test.
func (b *bed) dial() *net.TCPConn {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		b.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// testPatience is how long a test waits for what must come: long, for a machine that
// is busy.
const testPatience = 30 * time.Second

// idle waits until no replica has anything left to do.
func (b *bed) idle() {
	b.t.Helper()
	eventually(b.t, "every lease has ended", func() bool {
		return !slices.ContainsFunc(b.stands, func(s *stand) bool {
			return s.replica.requests.Load()+s.replica.streams.Load() != 0
		})
	})
}

// eventually waits for what must become true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testPatience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// stand stands in for a container: something that answers on loopback.
type stand struct {
	address netip.AddrPort
	// release is whose it is, 1 unless a test says otherwise before it is put.
	release int64
	// replica is nil until it was put behind a port.
	replica *replica
	stop    func()
}

// speaking is a stand that hands every connection to talk, and closes it after.
func speaking(t *testing.T, talk func(net.Conn)) *stand {
	t.Helper()
	listener := listen(t)
	var talks sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	talks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			talks.Go(func() {
				defer conn.Close()
				talk(conn)
			})
		}
	})
	s := &stand{address: ends(listener.Addr()), stop: sync.OnceFunc(func() {
		listener.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		talks.Wait()
	})}
	t.Cleanup(s.stop)
	return s
}

// echoing is a stand that sends back what it is sent.
func echoing(t *testing.T) *stand {
	t.Helper()
	return speaking(t, func(conn net.Conn) {
		io.Copy(conn, conn) // // the client sees what is missing
	})
}

// answering is a stand that serves HTTP/1 and, with prior knowledge, HTTP/2.
func answering(t *testing.T, h http.HandlerFunc) *stand {
	t.Helper()
	listener := listen(t)
	server := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener) // // it ends when the stand is stopped
	}()
	s := &stand{address: ends(listener.Addr()), stop: sync.OnceFunc(func() {
		server.Close()
		<-served
	})}
	t.Cleanup(s.stop)
	return s
}

// absent is a stand whose address nobody listens at.
func absent(t *testing.T) *stand {
	t.Helper()
	// The port is taken and nobody listens there: a free one may be somebody's in a moment.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	return &stand{address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)), stop: func() {}}
}

// listen opens a port of the kernel's choice.
func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}
