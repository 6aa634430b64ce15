package traffic

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// newUDPBed is newBed for UDP, open at an address with a port of the kernel's choice.
func newUDPBed(t *testing.T, at string, shape Port, stands ...*stand) *bed {
	t.Helper()
	conn, err := net.ListenPacket("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	shape.Network = UDP
	b := &bed{t: t, address: conn.LocalAddr().String(), front: newFront(time.Now, slog.New(slog.DiscardHandler), nil)}
	b.door.packets = conn
	b.put(shape, stands...)
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { b.serveUDP(ctx, conn) })
	t.Cleanup(func() {
		cancel()
		conn.Close()
		served.Wait()
		if n := b.open.Load(); n != 0 {
			t.Errorf("%d sessions are still counted", n)
		}
		b.idle()
	})
	return b
}

// caller is a UDP client.
func caller(t *testing.T, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.Dial("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testPatience))
	return conn.(*net.UDPConn)
}

// calling says something and is what is answered; datagrams may be lost, so it is said
// again. A stand answers with its name, who it was asked by, and what.
func calling(t *testing.T, conn *net.UDPConn, said string) string {
	t.Helper()
	b := make([]byte, largestDatagram)
	for range 100 {
		conn.Write([]byte(said)) // that nobody listens is told of an earlier one
		conn.SetReadDeadline(time.Now().Add(testPatience / 100))
		n, err := conn.Read(b)
		if err == nil {
			return string(b[:n])
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	t.Fatalf("nobody answers %.40q", said)
	return ""
}

// named is a stand that answers every datagram with its name, the asker and the rest.
func named(t *testing.T, name string) *stand {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		b := make([]byte, largestDatagram)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			conn.WriteTo([]byte(name+" to "+from.String()+": "+string(b[:n])), from) // the client sees it
		}
	})
	s := &stand{address: conn.LocalAddr().(*net.UDPAddr).AddrPort(), stop: sync.OnceFunc(func() { conn.Close(); talks.Wait() })}
	t.Cleanup(s.stop)
	return s
}

// asker is the session that a stand has answered.
func asker(answer string) string {
	_, rest, _ := strings.Cut(answer, " to ")
	who, _, _ := strings.Cut(rest, ": ")
	return who
}

func TestEveryUDPClientHasASessionOfItsOwn(t *testing.T) {
	b := newUDPBed(t, "127.0.0.1:0", Port{}, named(t, "a"))
	one, other := caller(t, b.address), caller(t, b.address)
	first := calling(t, one, "hello")
	if !strings.HasSuffix(first, ": hello") {
		t.Fatalf("the answer is %q", first)
	}
	if again := calling(t, one, "again"); asker(again) != asker(first) {
		t.Errorf("first it asks as %s, then as %s", asker(first), asker(again))
	}
	if second := calling(t, other, "hello"); asker(second) == asker(first) {
		t.Errorf("two clients ask as %s", asker(first))
	}
	if n := b.open.Load(); n != 2 {
		t.Errorf("%d sessions are open", n)
	}
}

func TestDatagramsOfEverySizePass(t *testing.T) {
	b := newUDPBed(t, "127.0.0.1:0", Port{}, named(t, "a"))
	conn := caller(t, b.address)
	for _, size := range []int{0, 1, 1500, 60_000} {
		said := strings.Repeat("x", size)
		if got := calling(t, conn, said); !strings.HasSuffix(got, ": "+said) {
			t.Errorf("of %d bytes %d came back", size, len(got))
		}
	}
}

// A client's socket takes answers only from the address that it sent to.
func TestAnAnswerComesFromWhereTheClientSentTo(t *testing.T) {
	b := newUDPBed(t, "0.0.0.0:0", Port{}, named(t, "a"))
	port := netip.MustParseAddrPort(b.address).Port()
	for _, at := range []string{"127.0.0.1", "127.0.0.2", "127.3.2.1"} {
		conn := caller(t, netip.AddrPortFrom(netip.MustParseAddr(at), port).String())
		if got := calling(t, conn, at); !strings.HasSuffix(got, ": "+at) {
			t.Errorf("to %s the answer is %q", at, got)
		}
	}
}

func TestAFloodDoesNotEndTheSessionsOfClientsInEarnest(t *testing.T) {
	const most = 20
	b := newUDPBed(t, "127.0.0.1:0", Port{MaxConnections: most}, named(t, "a"))
	earnest := caller(t, b.address)
	calling(t, earnest, "one")
	session := asker(calling(t, earnest, "two"))
	for range 10 * most {
		caller(t, b.address).Write([]byte("flood")) // what is lost is no matter
		if n := b.open.Load(); n > most {
			t.Fatalf("%d sessions are open", n)
		}
	}
	if got := asker(calling(t, earnest, "three")); got != session {
		t.Errorf("the session was %s and is %s", session, got)
	}
	late := caller(t, b.address)
	calling(t, late, "is there room?")
}

func TestWhereAllAreInEarnestThereIsNoRoom(t *testing.T) {
	b := newUDPBed(t, "127.0.0.1:0", Port{MaxConnections: 2}, named(t, "a"))
	var sessions []string
	clients := []*net.UDPConn{caller(t, b.address), caller(t, b.address)}
	for _, c := range clients {
		calling(t, c, "one")
		sessions = append(sessions, asker(calling(t, c, "two")))
	}
	caller(t, b.address).Write([]byte("three")) // it is refused
	eventually(t, "it is refused", func() bool { return b.refused.Load() > 0 })
	for i, c := range clients {
		if got := asker(calling(t, c, "four")); got != sessions[i] {
			t.Errorf("the session was %s and is %s", sessions[i], got)
		}
	}
}

func TestASessionEndsWhenNothingMoves(t *testing.T) {
	s := named(t, "a")
	b := newUDPBed(t, "127.0.0.1:0", Port{Idle: 50 * time.Millisecond}, s)
	conn := caller(t, b.address)
	calling(t, conn, "one")
	eventually(t, "the session has ended", func() bool { return b.open.Load() == 0 })
	b.idle()
	calling(t, conn, "two")
}

func TestASessionMovesFromAReplicaThatDrains(t *testing.T) {
	old, young := named(t, "old"), named(t, "young")
	b := newUDPBed(t, "127.0.0.1:0", Port{}, old)
	conn := caller(t, b.address)
	calling(t, conn, "one")
	b.put(Port{Network: UDP}, old, young)
	old.replica.drain(Drain{Since: time.Now(), Timeout: time.Hour, Streams: time.Hour}, time.Now())
	if got := calling(t, caller(t, b.address), "who is there?"); !strings.HasPrefix(got, "young ") {
		t.Errorf("a new client got %q", got)
	}
	if got := calling(t, conn, "two"); !strings.HasPrefix(got, "old ") {
		t.Errorf("the session went on as %q", got)
	}
	eventually(t, "the old one has nothing left", func() bool { return old.replica.streams.Load() == 0 })
	if got := calling(t, conn, "three"); !strings.HasPrefix(got, "young ") {
		t.Errorf("after the drain the client got %q", got)
	}
}

func TestADrainCutsSessionsAtItsLimit(t *testing.T) {
	s := named(t, "a")
	b := newUDPBed(t, "127.0.0.1:0", Port{}, s)
	conn := caller(t, b.address)
	calling(t, conn, "one")
	var talk sync.WaitGroup
	done := make(chan struct{})
	talk.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				conn.Write([]byte("more")) // it is to be cut
			}
		}
	})
	s.replica.drain(Drain{Since: time.Now(), Timeout: time.Millisecond, Streams: 2 * time.Millisecond}, time.Now())
	eventually(t, "the session was cut", func() bool { return s.replica.streams.Load() == 0 })
	close(done)
	talk.Wait()
}

func TestWhatIsSentBeforeThereIsAReplicaIsKept(t *testing.T) {
	b := newUDPBed(t, "127.0.0.1:0", Port{})
	conn := caller(t, b.address)
	io.WriteString(conn, "once") // seen below
	eventually(t, "the session is there", func() bool { return b.open.Load() == 1 })
	b.put(Port{Network: UDP}, named(t, "a"))
	got := make([]byte, 100)
	if n, err := conn.Read(got); err != nil || !strings.HasSuffix(string(got[:n]), ": once") {
		t.Fatalf("the answer is %q, %v", got, err)
	}
}

func TestAReplicaWhereNobodyTakesDatagramsIsPassedOver(t *testing.T) {
	gone := named(t, "gone")
	gone.stop()
	b := newUDPBed(t, "127.0.0.1:0", Port{}, gone, named(t, "here"))
	for range 4 {
		if got := calling(t, caller(t, b.address), "who is there?"); !strings.HasPrefix(got, "here ") {
			t.Fatalf("the answer is %q", got)
		}
	}
}

func TestSessionsStillGetAnswersOnceASuccessorHasThePort(t *testing.T) {
	answer := make(chan struct{})
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var talk sync.WaitGroup
	talk.Go(func() {
		b := make([]byte, 100)
		_, from, err := conn.ReadFrom(b)
		if err == nil {
			<-answer
			conn.WriteTo([]byte("late"), from) // the client sees it
		}
	})
	t.Cleanup(func() { conn.Close(); talk.Wait() })
	s := &stand{address: conn.LocalAddr().(*net.UDPAddr).AddrPort(), stop: func() {}}
	b := newUDPBed(t, "127.0.0.1:0", Port{Idle: time.Second}, s)
	c := caller(t, b.address)
	io.WriteString(c, "asked before") // seen below
	eventually(t, "it is asked", func() bool { return s.replica.streams.Load() == 1 })
	b.retire(true)
	close(answer)
	got := make([]byte, 100)
	if n, err := c.Read(got); err != nil || string(got[:n]) != "late" {
		t.Fatalf("the answer is %q, %v", got, err)
	}
}
