package traffic

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func overTCP() Port { return Port{Protocol: ProtocolTCP} }

// noise is n bytes that a seed names.
func noise(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

// hashed is what a reader has, in short.
func hashed(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d bytes %x", n, h.Sum(nil)), err
}

func noiseHashed(t *testing.T, seed byte, n int64) string {
	t.Helper()
	d, err := hashed(noise(seed, n))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestALotPassesBothWaysAtOnceWithoutAByteChanged(t *testing.T) {
	const much = 100 << 20
	received := make(chan string, 1)
	s := speaking(t, func(conn net.Conn) {
		var down sync.WaitGroup
		down.Go(func() {
			io.Copy(conn, noise('s', much))  // the client sees what is missing
			conn.(*net.TCPConn).CloseWrite() // and that nothing follows
		})
		got, err := hashed(conn)
		if err != nil {
			got = err.Error()
		}
		received <- got
		down.Wait()
	})
	b := newBed(t, overTCP(), s)
	conn := b.dial()
	conn.SetDeadline(time.Now().Add(4 * testPatience))
	var up sync.WaitGroup
	up.Go(func() {
		if _, err := io.Copy(conn, noise('c', much)); err != nil {
			t.Error(err)
		}
		conn.CloseWrite() // an error shows below
	})
	got, err := hashed(conn)
	if want := noiseHashed(t, 's', much); err != nil || got != want {
		t.Errorf("the client got %s, %v; want %s", got, err, want)
	}
	up.Wait()
	if got, want := <-received, noiseHashed(t, 'c', much); got != want {
		t.Errorf("the replica got %s, want %s", got, want)
	}
	b.idle()
}

func TestAClientThatHasEndedStillGetsItsAnswer(t *testing.T) {
	s := speaking(t, func(conn net.Conn) {
		asked, err := io.ReadAll(conn)
		fmt.Fprintf(conn, "%s, %v", asked, err)
	})
	b := newBed(t, overTCP(), s)
	conn := b.dial()
	io.WriteString(conn, "all of it") // an error shows in the answer
	conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "all of it, <nil>" {
		t.Fatalf("the answer is %q, %v", got, err)
	}
	b.idle()
}

func TestAReplicaThatHasEndedStillHearsTheClient(t *testing.T) {
	heard := make(chan string, 1)
	s := speaking(t, func(conn net.Conn) {
		io.WriteString(conn, "bye") // the client sees it
		conn.(*net.TCPConn).CloseWrite()
		rest, err := io.ReadAll(conn)
		heard <- fmt.Sprintf("%s, %v", rest, err)
	})
	b := newBed(t, overTCP(), s)
	conn := b.dial()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "bye" {
		t.Fatalf("the client got %q, %v", got, err)
	}
	io.WriteString(conn, "one more thing") // the replica sees it
	conn.Close()
	if got := <-heard; got != "one more thing, <nil>" {
		t.Fatalf("the replica heard %q", got)
	}
	b.idle()
}

func TestAnAnswerThatIsCutOffDoesNotLookWhole(t *testing.T) {
	for _, size := range []int64{0, 10, 3 * bulk} {
		t.Run(fmt.Sprintf("after %d bytes", size), func(t *testing.T) {
			got := make(chan bool)
			s := speaking(t, func(conn net.Conn) {
				io.Copy(conn, noise('s', size)) // the client sees what is missing
				<-got
				reset(conn.(*net.TCPConn))
			})
			b := newBed(t, overTCP(), s)
			conn := b.dial()
			if _, err := io.CopyN(io.Discard, conn, size); err != nil {
				t.Fatal(err)
			}
			close(got)
			if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("the client sees %v", err)
			}
			b.idle()
		})
	}
}

func TestAClientThatIsCutOffDoesNotLookDone(t *testing.T) {
	saw := make(chan error, 1)
	s := speaking(t, func(conn net.Conn) {
		_, err := io.ReadAll(conn)
		saw <- err
	})
	b := newBed(t, overTCP(), s)
	conn := b.dial()
	io.WriteString(conn, "the first half of") // the replica sees it
	eventually(t, "the replica is reached", func() bool { return s.replica.streams.Load() == 1 })
	reset(conn)
	if err := <-saw; !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the replica sees %v", err)
	}
	b.idle()
}

// A server that refuses an upload answers before it has read it, and closes.
func TestAnAnswerThatComesBeforeAllWasSentIsNotLost(t *testing.T) {
	const answer = "no, thank you"
	s := speaking(t, func(conn net.Conn) {
		io.CopyN(io.Discard, conn, 64<<10) // it may be less
		io.WriteString(conn, answer)       // the client sees it
		conn.(*net.TCPConn).CloseWrite()
		io.CopyN(io.Discard, conn, 64<<10) // then it closes on what is not read
	})
	b := newBed(t, overTCP(), s)
	conn := b.dial()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, noise('c', 64<<20))
		sent <- err
	}()
	got := make([]byte, len(answer))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != answer {
		t.Fatalf("the answer is %q, %v", got, err)
	}
	conn.Close()
	<-sent
	b.idle()
}

func TestAReplicaThatCannotBeDialledIsPassedOver(t *testing.T) {
	for range 8 { // the choice is random
		gone, here := absent(t), echoing(t)
		b := newBed(t, overTCP(), gone, here)
		echoes(t, b.dial(), "hello")
		if gone.replica.requests.Load()+gone.replica.streams.Load() != 0 {
			t.Fatal("the lease of what was not dialled goes on")
		}
	}
}

// echoes says something and wants it back.
func echoes(t *testing.T, conn net.Conn, said string) {
	t.Helper()
	if _, err := io.WriteString(conn, said); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(said))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != said {
		t.Fatalf("said %q, heard %q, %v", said, got, err)
	}
}

func TestAClientWithoutAReplicaIsToldSo(t *testing.T) {
	for name, stands := range map[string][]*stand{
		"nobody is there": nil, "nobody can be dialled": {absent(t), absent(t)},
	} {
		for _, protocol := range []Protocol{ProtocolTCP, ProtocolAuto} {
			t.Run(fmt.Sprint(name, ", ", protocol), func(t *testing.T) {
				b := newBed(t, Port{Protocol: protocol, Park: 50 * time.Millisecond}, stands...)
				conn, err := net.Dial("tcp", b.address)
				if err == nil { // else the reset was quicker than the dial
					_, err = io.ReadAll(conn)
					conn.Close()
				}
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Fatalf("the client sees %v", err)
				}
			})
		}
	}
}

func TestAClientWaitsForAReplicaThatComes(t *testing.T) {
	for _, protocol := range []Protocol{ProtocolTCP, ProtocolAuto} {
		b := newBed(t, Port{Protocol: protocol})
		conn := b.dial()
		io.WriteString(conn, "\x00are you there?") // seen below
		b.put(Port{Protocol: protocol}, echoing(t))
		got := make([]byte, 15)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "\x00are you there?" {
			t.Fatalf("%s: heard %q, %v", protocol, got, err)
		}
	}
}

func TestADrainEndsWhatIsStillAndThenTheRest(t *testing.T) {
	s := echoing(t)
	b := newBed(t, overTCP(), s)
	still, busy := b.dial(), b.dial()
	echoes(t, still, "one")
	echoes(t, busy, "two")
	var talk sync.WaitGroup
	quiet, cut := make(chan struct{}), make(chan error, 1)
	talk.Go(func() { // a byte at a time, without a pause that is one
		piece := []byte("x")
		for {
			_, err := busy.Write(piece)
			if err == nil {
				_, err = io.ReadFull(busy, piece)
			}
			if err != nil {
				cut <- err
				return
			}
			select {
			case <-quiet:
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	s.replica.drain(Drain{Since: time.Now(), Timeout: 50 * time.Millisecond, Streams: time.Hour}, time.Now())
	if got, err := io.ReadAll(still); err != nil || len(got) != 0 {
		t.Errorf("what is still ends with %q, %v", got, err)
	}
	eventually(t, "only what moves is left", func() bool { return s.replica.streams.Load() == 1 })
	select {
	case err := <-cut:
		t.Errorf("what moves was cut: %v", err)
	default:
	}
	s.replica.drain(Drain{Since: time.Now().Add(-time.Hour), Streams: time.Minute}, time.Now())
	if err := <-cut; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("what moves ends with %v", err)
	}
	close(quiet)
	talk.Wait()
	b.idle()
}

func TestWhatMovesInBulkDuringADrainArrives(t *testing.T) {
	const much = 64 << 20
	s := speaking(t, func(conn net.Conn) {
		io.Copy(conn, noise('s', much)) // the client sees what is missing
	})
	other := echoing(t)
	b := newBed(t, overTCP(), s)
	conn := b.dial()
	if _, err := io.CopyN(io.Discard, conn, 1); err != nil {
		t.Fatal(err)
	}
	b.put(overTCP(), s, other)
	s.replica.drain(Drain{Since: time.Now(), Timeout: time.Millisecond, Streams: time.Hour}, time.Now())
	next := b.dial()
	echoes(t, next, "who is new goes elsewhere")
	next.Close()
	want := noise('s', much)
	io.CopyN(io.Discard, want, 1) // of memory
	wanted, _ := hashed(want)
	if got, err := hashed(conn); err != nil || got != wanted {
		t.Fatalf("the client got %s, %v; want %s", got, err, wanted)
	}
	conn.Close()
	b.idle()
}

func TestWhatADrainCutsOffDoesNotLookWhole(t *testing.T) {
	s := speaking(t, func(conn net.Conn) {
		io.Copy(conn, noise('s', 64<<20)) // it is cut off
	})
	b := newBed(t, overTCP(), s)
	conn := b.dial()
	if _, err := io.CopyN(io.Discard, conn, 1); err != nil {
		t.Fatal(err)
	}
	s.replica.drain(Drain{Since: time.Now(), Timeout: time.Millisecond, Streams: time.Millisecond}, time.Now())
	b.idle()
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the client sees %v", err)
	}
}

func TestHowLongNothingMayMove(t *testing.T) {
	begun := time.Unix(1000, 0)
	for name, look := range map[string]struct {
		moved   []uint64 // at every second
		waiting bool
		want    int // the second at which it is enough, -1 for never
	}{
		"nothing moves":                           {moved: []uint64{5, 5, 5, 5, 5, 5}, want: 2},
		"something moves":                         {moved: []uint64{5, 6, 7, 8, 9, 10}, want: -1},
		"it moves, then no more":                  {moved: []uint64{5, 6, 7, 7, 7, 7}, want: 4},
		"nothing moves while an answer is waited": {moved: []uint64{5, 5, 5, 5, 5, 5}, waiting: true, want: 4},
	} {
		t.Run(name, func(t *testing.T) {
			var q quiet
			defer q.stop()
			q.allow(2*time.Second, 4*time.Second)
			q.allow(time.Hour, time.Hour) // which does not allow more
			got := -1
			for i, moved := range look.moved {
				if q.enough(moved, look.waiting, begun.Add(time.Duration(i)*time.Second)) && got < 0 {
					got = i
				}
			}
			if got != look.want {
				t.Fatalf("it is enough at %d, want %d", got, look.want)
			}
		})
	}
}

func TestAQuietConnectionHoldsNoBuffer(t *testing.T) {
	const many = 200
	s := speaking(t, func(conn net.Conn) {
		for one := make([]byte, 1); ; {
			if _, err := conn.Read(one); err != nil {
				return
			}
		}
	})
	b := newBed(t, overTCP(), s)
	before := heap()
	for range many {
		io.WriteString(b.dial(), "hello") // what is lost is no matter
	}
	eventually(t, "all are served", func() bool { return s.replica.streams.Load() == many })
	eventually(t, "they hold less than one buffer between two", func() bool {
		return heap()-before < many*pieceSize/2
	})
}

// heap is how much is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// tcpPair is a TCP connection, from both ends.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener := listen(t)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); other.Close() })
	return conn.(*net.TCPConn), other.(*net.TCPConn)
}
