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
				a := &attempt{lease: l, grpc: c.grpc, hints: newHints(nil), done: make(chan struct{}), overseen: make(chan struct{})}
				a.answered.Store(c.answered)
				go a.oversee()
				time.Sleep(lasting - 1)
				if requests, streams := r.underway(); requests != 1 || streams != 0 {
					t.Errorf("at first %d and %d", requests, streams)
				}
				time.Sleep(2 * time.Nanosecond)
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

func TestAMalformedHTTP2RequestReachesNobody(t *testing.T) {
	var seen atomic.Int32
	count := func(http.ResponseWriter, *http.Request) { seen.Add(1) }
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, count), answeringH1(t, count))
	for name, block := range map[string][]byte{
		"a method with a request in it": fields(":method", "GET /admin HTTP/1.1", ":scheme", "http", ":path", "/", ":authority", "web"),
		"a path with a request in it":   fields(":method", "GET", ":scheme", "http", ":path", "/ HTTP/1.1 x", ":authority", "web"),
		"a path that is a URL":          fields(":method", "GET", ":scheme", "http", ":path", "http://other/", ":authority", "web"),
		"a star that is no question":    fields(":method", "GET", ":scheme", "http", ":path", "*", ":authority", "web"),
		"a host with a path":            fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "web/x"),
		"a host with a user":            fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "me@web"),
		"a host with a space":           fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "we b"),
		"a length without a body":       fields(":method", "POST", ":scheme", "http", ":path", "/", ":authority", "web", "content-length", "5"),
		"two lengths":                   fields(":method", "POST", ":scheme", "http", ":path", "/", ":authority", "web", "content-length", "0", "content-length", "5"),
		"a length that is none":         fields(":method", "POST", ":scheme", "http", ":path", "/", ":authority", "web", "content-length", "+0"),
		"fields of a connection":        fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "web", "transfer-encoding", "chunked"),
		"a field with a line in it":     fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "web", "x", "a\r\nb: c"),
		"no path":                       fields(":method", "GET", ":scheme", "http", ":authority", "web"),
		"a name in capitals":            fields(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "web", "X-Y", "z"),
	} {
		t.Run(name, func(t *testing.T) {
			c := b.h2raw()
			c.send(h2headers, h2endStream|h2endHeaders, 1, block)
			if head, status := c.answer(); head != nil && head[3] == h2headers && status != "400" {
				t.Errorf("it was answered with %s", status)
			}
		})
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("%d reached a replica", n)
	}
}

// answer reads up to what a stream ends with: an answer, whose status is returned, or
// a reset.
func (c *h2raw) answer() (head []byte, status string) {
	c.t.Helper()
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c.conn, head); err != nil {
			return nil, ""
		}
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(c.conn, payload); err != nil {
			return nil, ""
		}
		switch head[3] {
		case h2reset, h2goAway:
			return head, ""
		case h2headers:
			// The statuses that HPACK has a number for are all that are expected.
			statuses := map[byte]string{0x88: "200", 0x8c: "400", 0x8e: "500"}
			return head, statuses[payload[0]]
		}
	}
}

func TestAQuestionAboutTheServerIsAnsweredByTheReplica(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	c := b.h2raw()
	c.send(h2headers, h2endStream|h2endHeaders, 1, fields(":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "web"))
	if _, status := c.answer(); status != "200" {
		t.Errorf("it was answered with %s", status)
	}
}

// replicaOf is a stand that sends these frames as soon as a request has come.
func replicaOf(t *testing.T, frames ...[]byte) *stand {
	t.Helper()
	return speaking(t, func(conn net.Conn) {
		c := &h2raw{t: t, conn: conn}
		io.ReadFull(conn, make([]byte, 24)) // without a preface, no frame follows
		conn.Write(frame(h2settings, 0, 0, []byte{0, 3, 0, 0, 0, 1}))
		if head, _ := c.until(h2headers); head == nil {
			return
		}
		conn.Write(bytes.Join(frames, nil))
		c.until(h2goAway) // or the end
	})
}

func TestAReplicaThatBreaksTheProtocolIsHeldToBeBroken(t *testing.T) {
	answer := frame(h2headers, h2endStream|h2endHeaders, 1, fields(":status", "200"))
	hint := frame(h2headers, h2endHeaders, 1, fields(":status", "103"))
	for name, c := range map[string]struct {
		frames [][]byte
		status int
	}{
		"it answers":                  {[][]byte{answer}, 200},
		"a few hints":                 {[][]byte{hint, hint, answer}, 200},
		"hints without end":           {[][]byte{bytes.Repeat(hint, 5000), answer}, 502},
		"a status that is none":       {[][]byte{frame(h2headers, h2endStream|h2endHeaders, 1, fields(":status", "99"))}, 502},
		"a status that is no number":  {[][]byte{frame(h2headers, h2endStream|h2endHeaders, 1, fields(":status", "fine"))}, 502},
		"no status":                   {[][]byte{frame(h2headers, h2endStream|h2endHeaders, 1, fields("x", "y"))}, 502},
		"fields without end":          {[][]byte{frame(h2headers, 0, 1, fields(":status", "200")), bytes.Repeat(frame(h2continuation, 0, 1, fields("x", strings.Repeat("x", 8000))), 100)}, 502},
		"an answer to somebody else":  {[][]byte{frame(h2headers, h2endStream|h2endHeaders, 7, fields(":status", "200")), frame(h2goAway, 0, 0, make([]byte, 8))}, 502},
		"a frame that is too long":    {[][]byte{frame(h2data, 0, 1, make([]byte, 2<<20))}, 502},
		"a refusal":                   {[][]byte{frame(h2reset, 0, 1, []byte{0, 0, 0, 7})}, 502},
		"a length that is not kept":   {[][]byte{frame(h2headers, h2endStream|h2endHeaders, 1, fields(":status", "200", "content-length", "5"))}, 0},
		"a body beyond its length":    {[][]byte{frame(h2headers, h2endHeaders, 1, fields(":status", "200", "content-length", "1")), frame(h2data, h2endStream, 1, []byte("toolong"))}, 0},
		"fields that end connections": {[][]byte{frame(h2headers, h2endStream|h2endHeaders, 1, fields(":status", "200", "connection", "close", "transfer-encoding", "chunked"))}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, Port{Protocol: ProtocolHTTP}, replicaOf(t, c.frames...))
			res, _, err := b.try(b.h2client(), "POST", "/", nil)
			switch {
			case c.status == 0 && err == nil:
				t.Errorf("%s is taken to be whole", res.Status)
			case c.status != 0 && (err != nil || res.StatusCode != c.status):
				t.Errorf("got %v, %v", res, err)
			}
			b.stands[0].stop()
			b.idle()
		})
	}
}

func TestAReplicaThatTakesOneRequestAtATimeGetsMoreConnections(t *testing.T) {
	var conns atomic.Int32
	one := speaking(t, func(conn net.Conn) {
		conns.Add(1)
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Protocols: protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1}, Handler: http.HandlerFunc(grpc)}
		server.Serve(h2listener{newH2wire(&client{Conn: conn})})
	})
	b := newBed(t, Port{Protocol: ProtocolHTTP}, one)
	client := b.h2client()
	var open []*stream
	for range 3 {
		s := b.stream(client, "/echo")
		s.echoes("line")
		open = append(open, s)
	}
	for _, s := range open {
		s.up.Close()
		s.ends("", "0")
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("there were %d connections", n)
	}
}

func TestAReplicaIsToldByPROXYWhoTheHTTP2ClientIs(t *testing.T) {
	told := make(chan string, 2)
	one := speaking(t, func(conn net.Conn) {
		line := make([]byte, 0, 64)
		for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\n")); line = append(line, one[0]) {
			if _, err := conn.Read(one); err != nil {
				return
			}
		}
		told <- string(line)
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(described)}
		server.Serve(h2listener{newH2wire(&client{Conn: conn})})
	})
	b := newBed(t, Port{Protocol: ProtocolHTTP, SendProxy: 1}, one)
	for range 2 {
		if res, _ := b.ask(b.h2client(), "GET", "/", nil); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		if line := <-told; !strings.HasPrefix(line, "PROXY TCP4 127.0.0.1 127.0.0.1 ") {
			t.Errorf("it was told %q", line)
		}
	}
}

func TestAReplicaIsKnownByItsFirstFrame(t *testing.T) {
	settings := string(frame(h2settings, 0, 0, make([]byte, 12)))
	for name, c := range map[string]struct {
		says string
		want error
	}{
		"settings":                   {settings, nil},
		"settings that are empty":    {string(frame(h2settings, 0, 0, nil)), nil},
		"settings and more":          {settings + settings, nil},
		"half of the settings":       {settings[:15], errRefusesH2},
		"a number of bytes too few":  {settings[:8], errRefusesH2},
		"nothing":                    {"", errRefusesH2},
		"an error in HTTP/1":         {"HTTP/1.1 400 Bad Request\r\n\r\n", errRefusesH2},
		"an acknowledgement":         {string(frame(h2settings, h2ack, 0, nil)), errRefusesH2},
		"settings of a stream":       {string(frame(h2settings, 0, 1, nil)), errRefusesH2},
		"another frame of HTTP/2":    {string(frame(h2headers, 0, 0, nil)), errRefusesH2},
		"a greeting of another kind": {"220 mail.example ESMTP\r\n", errRefusesH2},
	} {
		for _, size := range []int{1, 9, 1000} {
			near, far := net.Pipe()
			g := newGreeting(near)
			go func() {
				for rest := c.says; len(rest) > 0; {
					n := min(size, len(rest))
					if _, err := io.WriteString(far, rest[:n]); err != nil {
						break
					}
					rest = rest[n:]
				}
				far.Close()
			}()
			go io.Copy(io.Discard, g) // to the end
			if err := g.wait(t.Context()); err != c.want {
				t.Errorf("%s, by %d: %v", name, size, err)
			}
			near.Close()
		}
	}
}
