package traffic

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"davit/traffic/http1"
)

const (
	// headTimeout is how long a head may take to come once it has begun, unless the
	// client may not be idle for so long.
	headTimeout = 10 * time.Second
	// lastWord is how long an idle connection may still bring a request once the edge
	// gives its ports up: one that is closed just when its client asks has lost it.
	lastWord = 5 * time.Second
)

// talk is the connection of an HTTP/1 client: one request and answer after another, in
// one goroutine.
type talk struct {
	*front
	client *client
	raw    syscall.RawConn
	// peer is the client's name in X-Forwarded-For.
	peer string
	// x is nil while there is no request.
	x *exchange
	// idle is true while there is nothing to do but wait for a request.
	idle atomic.Bool
	// reads and writes are the deadlines of the connection.
	reads, writes time.Time
	// lease and link are what the request under way is given to; upload is nil unless
	// its body comes slowly, vigil unless its answer does.
	lease  *lease
	link   *link
	upload *upload
	vigil  *vigil
	// affinity is the cookie of the service as shape has it, once it was needed, and
	// tied what this client's says.
	affinity *cookie
	shape    *Port
	tied     session
	// over is true once everything is to end; mu guards line, which is link for whoever
	// ends it.
	over bool
	mu   sync.Mutex
	line *link

	// attempt is try, made a value once; got and failure are what it found.
	attempt func(uintptr) bool
	got     int
	failure error
	// out writes to the client.
	out *writer
}

// serveHTTP1 answers a client that speaks HTTP/1.0 or 1.1 (RFC 9112).
func (f *front) serveHTTP1(ctx context.Context, c *client) {
	conn, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return // what listens for TCP accepts nothing else
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return // it is closed
	}
	t := &talk{front: f, client: c, raw: raw, peer: peerName(c.source.Addr()), out: newWriter(raw)}
	t.attempt = t.try
	if len(c.ahead) > 0 {
		t.x = f.exchanges.get()
		t.x.in = append(t.x.in, c.ahead...)
		c.ahead = nil
	}
	f.talks.add(t)
	defer f.talks.remove(t)
	defer context.AfterFunc(ctx, t.end)()
	for t.receive() && t.answer(ctx) {
		t.x.next()
	}
	t.release()
}

// release gives the memory of the request back.
func (t *talk) release() {
	if t.x != nil {
		t.exchanges.put(t.x)
		t.x = nil
	}
}

// restore gives back the memory that only an answer needs.
func (t *talk) restore() {
	if t.x != nil {
		t.x.restore(&t.buffers)
	}
}

// receive waits for a request, and reports whether there is one. What is none it
// answers itself.
func (t *talk) receive() bool {
	if t.x != nil && len(t.x.in) == 0 {
		t.release()
	}
	bounded := false
	for {
		if t.x != nil {
			n, err := t.x.request.Parse(t.x.in)
			var m *http1.Malformed
			if errors.As(err, &m) {
				t.reject(m)
				return false
			}
			if n > 0 {
				t.x.taken = n
				return true
			}
			if !bounded && t.x.request.Begun() {
				bounded = true
				t.reads = time.Now().Add(min(headTimeout, t.patience()))
				t.client.SetReadDeadline(t.reads) // of a connection that is closed, the read says so
			}
		}
		if t.x != nil && t.x.full() && !t.exchanges.extend(t.x) {
			t.turnAway()
			return false
		}
		err := t.fill(bounded)
		if bounded && isTimeout(err) {
			t.reject(&http1.Malformed{Status: 408, Reason: "the head did not come in time"})
		}
		if err != nil {
			return false
		}
	}
}

// fill reads what comes next. While nothing of a request has come, it holds no memory.
func (t *talk) fill(bounded bool) error {
	if !bounded {
		t.idle.Store(true)
		defer t.idle.Store(false)
		t.bound(time.Now())
		if over(t.ending) { // looked at last: hasten has not seen this one, or after bound
			t.client.SetReadDeadline(time.Now().Add(lastWord)) // one that is closed is gone
		}
	}
	if err := t.raw.Read(t.attempt); err != nil {
		return err
	}
	if t.failure == nil && t.got == 0 {
		return io.EOF
	}
	return t.failure
}

// try reads without waiting, and reports whether there was anything to tell.
func (t *talk) try(fd uintptr) bool {
	held := t.x != nil
	if !held {
		t.x = t.exchanges.get()
	}
	n, err := quickly(syscall.SYS_READ, fd, t.x.room())
	if err == syscall.EAGAIN {
		if !held {
			t.release()
		}
		return false
	}
	t.got, t.failure = max(0, n), err
	t.x.in = t.x.in[:len(t.x.in)+t.got]
	return true
}

// patience is how long the client may keep the edge waiting.
func (t *talk) patience() time.Duration { return cmp.Or(t.port.Load().Idle, DefaultIdle) }

// bound has reads end when the client has been idle for long: by then, or a quarter
// later, so as not to be set for every request.
func (t *talk) bound(now time.Time) {
	if idle := t.patience(); t.reads.Sub(now) < idle {
		t.reads = now.Add(idle + idle/4)
		t.client.SetReadDeadline(t.reads) // of a connection that is closed, the read says so
	}
}

// write sends p to the client, who may take as long over it as it may be idle.
func (t *talk) write(p []byte) error {
	now := time.Now()
	if idle := t.patience(); t.writes.Sub(now) < idle {
		t.writes = now.Add(idle + idle/4)
		if err := t.client.SetWriteDeadline(t.writes); err != nil {
			return err
		}
	}
	return t.out.write(p)
}

// hold makes k the link of the request under way. It is closed at once if everything
// is to end.
func (t *talk) hold(k *link) {
	t.link = k
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = k
	if k != nil && t.over {
		k.TCPConn.Close()
	}
}

// end is called when everything is to end: whoever waits for the replica is woken.
// Whoever waits for the client is by its connection's being closed.
func (t *talk) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.line != nil {
		t.line.TCPConn.Close()
	}
}

// over reports whether c is closed.
func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// talks are the connections of HTTP/1 clients. The zero value is ready.
type talks struct {
	mu   sync.Mutex
	open map[*talk]struct{}
}

func (s *talks) add(t *talk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*talk]struct{}{}
	}
	s.open[t] = struct{}{}
}

func (s *talks) remove(t *talk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
}

// hasten bounds how long idle clients may stay, once the port is given up.
func (s *talks) hasten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.open {
		if t.idle.Load() {
			t.client.SetReadDeadline(time.Now().Add(lastWord)) // one that is closed is gone
		}
	}
}
