package traffic

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Kinds of frames, and flags.
const (
	h2data, h2headers, h2reset, h2settings, h2goAway, h2continuation = 0, 1, 3, 4, 7, 9
	h2endStream, h2ack, h2endHeaders                                 = 1, 1, 4
)

// h2raw is a client that sends whatever frames it likes.
type h2raw struct {
	t    *testing.T
	conn net.Conn
}

func (b *bed) h2raw() *h2raw {
	b.t.Helper()
	c := &h2raw{t: b.t, conn: b.dial()}
	c.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.send(h2settings, 0, 0, nil)
	return c
}

func (c *h2raw) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *h2raw) send(kind, flags byte, stream uint32, payload []byte) {
	c.t.Helper()
	c.say(string(frame(kind, flags, stream, payload)))
}

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	f := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	f = append(f, flags)
	f = binary.BigEndian.AppendUint32(f, stream)
	return append(f, payload...)
}

// until reads frames up to the first of a kind, and returns that; nil when the
// connection ends before.
func (c *h2raw) until(kind byte) (head, payload []byte) {
	c.t.Helper()
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c.conn, head); err != nil {
			return nil, nil
		}
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(c.conn, payload); err != nil {
			return nil, nil
		}
		if head[3] == kind {
			return head, payload
		}
	}
}

// ask opens a stream with a request.
func (c *h2raw) ask(stream uint32, path string) {
	c.t.Helper()
	c.send(h2headers, h2endStream|h2endHeaders, stream, fields(":method", "GET", ":scheme", "http", ":path", path, ":authority", "web"))
}

// fields encodes a block, without any compression.
func fields(pairs ...string) []byte {
	var block []byte
	for i := 0; i < len(pairs); i += 2 {
		block = append(block, 0)
		for _, s := range pairs[i : i+2] {
			if len(s) < 127 {
				block = append(block, byte(len(s)))
			} else {
				block = binary.AppendUvarint(append(block, 127), uint64(len(s)-127))
			}
			block = append(block, s...)
		}
	}
	return block
}

func TestARequestThatCrossesTheFarewellIsAnswered(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	c := b.h2raw()
	c.until(h2settings)
	close(b.ending)
	if _, last := c.until(h2goAway); !bytes.Equal(last, []byte("\x7f\xff\xff\xff\x00\x00\x00\x00")) {
		t.Fatalf("the first farewell is %q", last)
	}
	c.ask(1, "/late")
	const ok = 0x88 // :status 200 in the static table
	if _, block := c.until(h2headers); len(block) == 0 || block[0] != ok {
		t.Errorf("the answer began with %q", block)
	}
	if _, last := c.until(h2goAway); !bytes.Equal(last, []byte("\x00\x00\x00\x01\x00\x00\x00\x00")) {
		t.Errorf("the second farewell is %q", last)
	}
	if head, _ := c.until(h2headers); head != nil {
		t.Error("the connection was not closed")
	}
}

func TestStreamsBeyondTheLimitAreRefused(t *testing.T) {
	var under atomic.Int32
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(_ http.ResponseWriter, r *http.Request) {
		under.Add(1)
		<-r.Context().Done()
	}))
	c := b.h2raw()
	for i := range uint32(maxStreams + 1) {
		c.ask(2*i+1, "/")
	}
	if head, _ := c.until(h2reset); binary.BigEndian.Uint32(head[5:]) != 2*maxStreams+1 {
		t.Errorf("stream %d was refused", binary.BigEndian.Uint32(head[5:]))
	}
	eventually(t, "the others are at the replica", func() bool { return under.Load() == maxStreams })
	c.conn.Close()
	b.idle()
}

func TestAClientThatResetsItsRequestsAtOnceHarmsNobodyElse(t *testing.T) {
	var most, now atomic.Int32
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, r *http.Request) {
		for n := now.Add(1); n > most.Load(); {
			most.Store(n) // about
		}
		defer now.Add(-1)
		if r.URL.Path == "/held" {
			<-r.Context().Done()
		}
	}))
	c := b.h2raw()
	var flood []byte
	for i := range uint32(5000) {
		flood = append(flood, frame(h2headers, h2endStream|h2endHeaders, 2*i+1, fields(":method", "GET", ":scheme", "http", ":path", "/held", ":authority", "web"))...)
		flood = append(flood, frame(h2reset, 0, 2*i+1, []byte{0, 0, 0, 8})...)
	}
	go func() {
		c.conn.Write(flood) // the edge may have closed before it is through
	}()
	client := b.h2client()
	for range 50 {
		if res, _ := b.ask(client, "GET", "/", nil); res.StatusCode != 200 {
			t.Fatalf("another client got %s", res.Status)
		}
	}
	c.conn.Close()
	b.idle()
	if n := most.Load(); n > 2*maxStreams {
		t.Errorf("the replica had %d requests at once", n)
	}
}

func TestFieldsWithoutEndAreNotCollected(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	t.Run("in one request", func(t *testing.T) {
		res, _, err := b.try(b.h2client(), "GET", "/", nil, "X-Long", strings.Repeat("x", requestHead+1000))
		if err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %v", res)
		}
	})
	t.Run("in frames without end", func(t *testing.T) {
		c := b.h2raw()
		c.send(h2headers, h2endStream, 1, fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "web"))
		more := frame(h2continuation, 0, 1, fields("x-more", strings.Repeat("x", 8000)))
		for sent := 0; sent < 64<<20; sent += len(more) {
			if _, err := c.conn.Write(more); err != nil {
				return
			}
		}
		t.Error("64 MiB of fields were taken")
	})
	b.idle()
}

func TestAClientThatDoesNotTakeItsAnswersIsNotReadAheadFor(t *testing.T) {
	var written atomic.Int64
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, _ *http.Request) {
		for piece := bytes.Repeat([]byte("x"), 16<<10); ; written.Add(int64(len(piece))) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	c := b.h2raw()
	const streams = 8
	for i := range uint32(streams) {
		c.ask(2*i+1, "/")
	}
	// The client's windows are 64 KiB for each stream and for all.
	var before int64
	eventually(t, "nothing moves any more", func() bool {
		last := before
		time.Sleep(100 * time.Millisecond)
		before = written.Load()
		return before > 0 && before == last
	})
	if limit := int64(streams * (65<<10 + 2*streamWindow + 64<<10)); before > limit {
		t.Errorf("%d bytes were taken from the replica, more than %d", before, limit)
	}
	other := b.h2client()
	res, err := other.Get("http://" + b.address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, res.Body, 8<<20); err != nil {
		t.Errorf("another client is held up: %v", err)
	}
	res.Body.Close()
	b.stands[0].replica.drain(Drain{Since: time.Now()}, time.Now())
	b.idle() // though the client takes nothing
}

func TestWhatOnlyBeginsLikeHTTP2IsClosed(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	for _, text := range []string{"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI \x00\x00\x00\x00 rest that is long enough"} {
		conn := b.dial()
		io.WriteString(conn, text)
		if got, err := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("%q was answered with %q, %v", text, got, err)
		}
	}
}

func TestClientsThatWentLeaveNoMemoryBehind(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	goroutines := runtime.NumGoroutine()
	for range 50 {
		client := b.h2client()
		b.ask(client, "GET", "/", nil)
		client.CloseIdleConnections()
	}
	eventually(t, "their goroutines have ended", func() bool { return runtime.NumGoroutine() < goroutines+20 })
}

func TestAFarewellIsOnlySaidBetweenFrames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var wire []byte
		free := map[int]bool{}
		for i := range 10 {
			kind, flags := byte(h2settings), byte(0)
			if i > 0 {
				kind = []byte{h2data, h2headers, h2settings}[random.IntN(3)]
			}
			if kind == h2headers && random.IntN(2) == 0 {
				wire = append(wire, frame(kind, flags, 1, make([]byte, random.IntN(20)))...)
				kind = h2continuation
			}
			if kind == h2headers || kind == h2continuation {
				flags = h2endHeaders
			}
			wire = append(wire, frame(kind, flags, 1, make([]byte, random.IntN(300)))...)
			free[len(wire)] = true
		}
		var f h2frames
		for at := 0; at < len(wire); {
			n := min(1+random.IntN(40), len(wire)-at)
			f.follow(wire[at : at+n])
			if at += n; f.between() != free[at] {
				t.Fatalf("after %d of %d bytes: %v", at, len(wire), f)
			}
		}
	}
}

func TestWhatLastsIsAStream(t *testing.T) {
	for name, c := range map[string]struct {
		grpc, answered, stream bool
	}{
		"a request that waits for its answer":           {false, false, false},
		"an answer that goes on":                        {false, true, true},
		"a gRPC call, which may only wait for an event": {true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReplica(Port{}, Backend{Container: "c"})
				r.confirmed.Store(true)
				l := member{replica: r}.lease(leaseRequest, time.Now())
				a := &attempt{lease: l, grpc: c.grpc, done: make(chan struct{}), overseen: make(chan struct{})}
				a.answered.Store(c.answered)
				go a.oversee()
				time.Sleep(lasting - 1)
				if requests, streams := r.underway(); requests != 1 || streams != 0 {
					t.Errorf("at first %d and %d", requests, streams)
				}
				time.Sleep(2)
				synctest.Wait()
				if _, streams := r.underway(); (streams == 1) != c.stream {
					t.Errorf("then there are %d streams", streams)
				}
				close(a.done)
				<-a.overseen
				l.end(outcome{}, time.Now())
				if requests, streams := r.underway(); requests != 0 || streams != 0 {
					t.Errorf("at last %d and %d", requests, streams)
				}
			})
		})
	}
}

func TestABodyCanBeHadAgainUntilItWasRead(t *testing.T) {
	source := io.NopCloser(strings.NewReader("body"))
	u := &h2upload{from: source}
	u.Close()
	if _, err := io.ReadAll(u); err == nil {
		t.Error("it was read after it was closed")
	}
	if !u.reopen() || !(&h2upload{from: source}).untouched() {
		t.Error("it cannot be had again")
	}
	if got, err := io.ReadAll(u); string(got) != "body" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	u.Close()
	if u.reopen() || u.untouched() {
		t.Error("what was read could be had again")
	}
}
