package traffic

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What clients can hold by doing nothing, or little, or too much.

// impatient is the shape of an HTTP port that does not wait for long.
var impatient = Port{Protocol: ProtocolHTTP, Idle: 200 * time.Millisecond}

func TestABodyThatComesSlowlyIsBounded(t *testing.T) {
	t.Parallel()
	for name, begun := range map[string]string{
		"with a length": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1",
		"in chunks":     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, impatient, telling(t))
			conn := b.dial()
			says(t, conn, begun)
			in := bufio.NewReader(conn)
			if resp, _ := hears(t, in, "POST"); resp.StatusCode != 408 {
				t.Errorf("answered %d", resp.StatusCode)
			}
			ended(t, in)
			b.idle()
		})
	}
}

// endless is a stand whose answers have no end.
func endless(t *testing.T) *stand {
	return answering(t, func(w http.ResponseWriter, _ *http.Request) {
		for piece := bytes.Repeat([]byte("x"), 64<<10); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
}

func TestAnAnswerThatIsNotTakenIsBounded(t *testing.T) {
	t.Parallel()
	b := newBed(t, impatient, endless(t))
	conn := b.dial()
	says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "the replica is asked", func() bool { return b.stands[0].replica.requests.Load() == 1 })
	b.idle()
}

// deadlines is a client of HTTP/2 that takes nothing, as net/http shows it.
type deadlines struct {
	http.ResponseWriter
	last time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.last = t; return nil }

// A connection on which much moves may carry an answer that nobody takes.
func TestAnHTTP2AnswerThatIsNotTakenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(Port{}, Backend{Container: "c"})
		r.confirmed.Store(true)
		f := newFront(time.Now, slog.New(slog.DiscardHandler), nil)
		w := new(deadlines)
		a := &attempt{
			call:  &call{conn: &h2conn{front: f}, w: w, port: new(Port)},
			lease: member{replica: r}.lease(leaseRequest, time.Now()), hints: newHints(nil), patience: DefaultIdle,
			done: make(chan struct{}), overseen: make(chan struct{}),
		}
		a.answered.Store(true)
		go a.oversee()
		for range 10 { // it takes one piece after the other, slowly
			a.taking.give(time.Now())
			time.Sleep(DefaultIdle - lasting)
			a.taking.took()
		}
		time.Sleep(2 * DefaultIdle) // and the replica has nothing to say
		if !w.last.IsZero() {
			t.Error("a client that takes its answer was given up")
		}
		a.taking.give(time.Now())
		time.Sleep(DefaultIdle + lasting + 1)
		synctest.Wait()
		if w.last.IsZero() {
			t.Error("a client that takes nothing is not given up")
		}
		close(a.done)
		<-a.overseen
		a.lease.end(outcome{}, time.Now())
	})
}

func TestHTTP2RequestsAreBoundedAsConnectionsAre(t *testing.T) {
	var under atomic.Int32
	b := newBed(t, Port{Protocol: ProtocolHTTP, MaxConnections: 3}, answering(t, func(_ http.ResponseWriter, r *http.Request) {
		under.Add(1)
		<-r.Context().Done()
	}))
	one, other := b.h2raw(), b.h2raw()
	one.ask(1, "/")
	one.ask(3, "/")
	other.ask(1, "/")
	eventually(t, "as many as may be are at the replica", func() bool { return under.Load() == 3 })
	resp, _ := b.ask(b.h2client(), "GET", "/", nil)
	if resp.StatusCode != 503 || resp.Header.Get(reasonField) != "crowded" || b.refused.Load() != 1 {
		t.Errorf("answered %d, %v", resp.StatusCode, resp.Header)
	}
	one.conn.Close()
	eventually(t, "there is room again", func() bool { return b.calls.Load() == 1 })
	other.conn.Close()
	b.idle()
}

// full is a listener of a host that has no room for another open file.
type full struct{ net.Listener }

func (full) Accept() (net.Conn, error) {
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
}

func (full) Close() error { return nil }

func TestAHostWithoutRoomForFilesIsAskedAndToldOfSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		f := newFront(time.Now, slog.New(slog.NewTextHandler(&told, nil)), nil)
		f.port.Store(new(Port))
		f.door.listener = full{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f.accept(ctx)
		if n := strings.Count(told.String(), "too many open files"); n == 0 || n > 7 {
			t.Errorf("told of %d times in a minute", n)
		}
	})
}

func TestAnEdgeThatHasASuccessorEndsItsStreamsAtALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Edge{retiring: make(chan struct{}), fronts: map[string]*front{}}
		f := newFront(time.Now, slog.New(slog.DiscardHandler), nil)
		f.life, f.cut = context.WithCancel(t.Context())
		f.door.listener = full{}
		e.fronts["tcp 127.0.0.1:80"] = f
		e.Retire()
		time.Sleep(DefaultStreams - 1)
		if f.life.Err() != nil {
			t.Error("cut before its time")
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if f.life.Err() == nil {
			t.Error("its streams go on without end")
		}
	})
}

// Whoever asks over a connection that began with somebody else's address is taken for
// that one.
func TestAConnectionThatBeganWithAPROXYHeaderIsNobodyElsesWhateverTheTableSays(t *testing.T) {
	var connections atomic.Int32
	asked, answer := make(chan struct{}), make(chan struct{})
	s := speaking(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		if connections.Add(1) == 1 {
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, proxyV1Start) {
				t.Errorf("it began with %q, %v", line, err)
			}
		}
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			asked <- struct{}{}
			<-answer
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	b := newBed(t, Port{Protocol: ProtocolHTTP, SendProxy: 1}, s)
	for range 2 {
		conn := b.dial()
		says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		<-asked
		b.put(httpPort, s)
		answer <- struct{}{}
		hears(t, bufio.NewReader(conn), "GET")
		b.idle() // and the connection is kept, or not
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("two clients asked over %d connections", n)
	}
}

// A range of a compose file may have thousands of ports.
func TestATableOfManyPortsIsNotComparedPortByPort(t *testing.T) {
	e := &Edge{fronts: map[string]*front{}}
	var table Table
	const many = 500
	for i := range uint16(many) {
		p := Port{Address: netip.AddrPortFrom(netip.IPv4Unspecified(), 1000+i)}
		table.Ports = append(table.Ports, p)
		e.fronts[p.Key()] = new(front)
	}
	if n := testing.AllocsPerRun(3, func() { e.leave(table) }); n > 20*many {
		t.Errorf("to find that %d ports stay takes %.0f pieces of memory", many, n)
	}
}

func TestDatagramsThatWaitForAReplicaAreBoundedTogether(t *testing.T) {
	s := &sessions{}
	datagram := make([]byte, largestDatagram)
	var all []*udpSession
	for range 2 * mostHeld / largestDatagram {
		u := &udpSession{sessions: s}
		u.send(datagram, time.Now())
		all = append(all, u)
	}
	if n := s.held.Load(); n != mostHeld {
		t.Errorf("%d bytes are kept", n)
	}
	for _, u := range all {
		u.letGo()
		u.send(datagram, time.Now()) // from a receiver that found the session before its end
	}
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are counted of none", n)
	}
}

func TestAPortWithoutSessionsDoesNotWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		f := newFront(func() time.Time { looks++; return time.Now() }, slog.New(slog.DiscardHandler), nil)
		f.port.Store(new(Port))
		s := &sessions{front: f, begun: make(chan struct{}, 1)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s.sweep(ctx)
		if looks > 0 {
			t.Errorf("it looked %d times", looks)
		}
	})
}

// A replica that says more than it should must not answer the next client with it,
// however soon that one asks, and whatever it asks for.
func TestAConnectionIsLookedAtHoweverShortlyItWasUsedBefore(t *testing.T) {
	said := make(chan struct{})
	s := speaking(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
		close(said)
		io.Copy(io.Discard, conn)
	})
	conn, err := net.Dial("tcp", s.address.String())
	if err != nil {
		t.Fatal(err)
	}
	<-said
	k, err := newLink(conn.(*net.TCPConn), s.address, new(links))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	k.kept, k.idle = true, time.Now()
	got := make([]byte, 1024)
	if n, err := k.ask([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), got, true); err != errStale {
		t.Errorf("the answer is %q, %v", got[:n], err)
	}
}

func TestAClientThatLeavesBehindWhatItAskedMeanwhileTakesItsRequestWithIt(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*net.TCPConn){
		"with an end":  func(conn *net.TCPConn) { conn.Close() },
		"with a reset": reset,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{})
			b := newBed(t, httpPort, answering(t, func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
			}))
			conn := b.dial()
			says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			<-asked
			says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			leave(conn)
			b.idle()
		})
	}
}

func TestUDPSessionsAreBoundedOverAllPortsToo(t *testing.T) {
	b := newUDPBed(t, "127.0.0.1:0", Port{}, named(t, "a"))
	b.sessions.Add(mostSessions) // at other ports
	caller(t, b.address).Write([]byte("one too many"))
	eventually(t, "it is refused", func() bool { return b.refused.Load() == 1 })
	b.sessions.Add(-mostSessions)
	calling(t, caller(t, b.address), "is there room?")
	if n := b.sessions.Load(); n != 1 {
		t.Errorf("%d sessions are counted", n)
	}
}

func TestLongHeadsAreBoundedOverAllPortsTogether(t *testing.T) {
	b := newBed(t, httpPort, telling(t))
	long := "GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("x", 5*headSize) + "\r\n\r\n"
	b.exchanges.headroom.Add(mostHeadroom) // at other ports
	conn := b.dial()
	says(t, conn, long)
	in := bufio.NewReader(conn)
	if resp, _ := hears(t, in, "GET"); resp.StatusCode != 503 || resp.Header.Get(reasonField) != "crowded" || b.refused.Load() != 1 {
		t.Errorf("answered %d %q, %d refused", resp.StatusCode, resp.Header.Get(reasonField), b.refused.Load())
	}
	conn.Close()
	other := b.dial()
	says(t, other, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := hears(t, bufio.NewReader(other), "GET"); resp.StatusCode != 200 {
		t.Errorf("what needs no more room is answered %d", resp.StatusCode)
	}
	b.exchanges.headroom.Add(-mostHeadroom)
	for range 2 { // the second time with memory that was used before
		again := b.dial()
		says(t, again, long)
		if resp, _ := hears(t, bufio.NewReader(again), "GET"); resp.StatusCode != 200 {
			t.Errorf("with room it is answered %d", resp.StatusCode)
		}
		again.Close()
	}
	other.Close()
	eventually(t, "all room is given back", func() bool { return b.exchanges.headroom.Load() == 0 })
}
