package traffic

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxStreams bounds the requests that a client has under way on one connection.
	maxStreams = 128
	// requestHead bounds the fields of a request.
	requestHead = 64 << 10
	// A client has prefaceTimeout to say all of HTTP/2's preface.
	prefaceTimeout = 10 * time.Second
	// pingAfter is how long a connection is silent before its peer is asked whether it
	// is there, stuckAfter how long it may not take a single byte.
	pingAfter  = 30 * time.Second
	stuckAfter = 30 * time.Second
	// farewellPause is how long what a client has sent may take to arrive, once it was
	// told to send nothing more.
	farewellPause = time.Second
)

// h2conn is a client's HTTP/2 connection. Each request on it has a lease of its own,
// of whatever replica: one that drains only loses the connections of its trunk, and
// the client need not notice. It is told to go elsewhere when the port is given up, or
// when it has asked for nothing for long.
type h2conn struct {
	front  *front
	client *client
	wire   *h2wire
	cookie cookie
	peer   string
	quiet  time.Duration

	mu sync.Mutex
	// calls are the requests under way, over is true once no further one may begin.
	calls int
	over  bool
	// idle fires when there was nothing to answer for so long as the port says, and
	// closes resting.
	idle    *time.Timer
	resting chan struct{}
	// answered is closed when over is true and calls is 0.
	answered chan struct{}
	trunks   map[trunkKey]*trunk
	tending  sync.WaitGroup
}

// serveH2 answers a client that speaks HTTP/2 without TLS, from the first byte on.
func (f *front) serveH2(ctx context.Context, c *client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	port := f.port.Load()
	h := &h2conn{
		front: f, client: c, wire: newH2wire(c), cookie: newCookie(f.secret, port.Stack, port.Service),
		peer: peerName(c.source.Addr()), quiet: cmp.Or(port.Idle, DefaultIdle),
		resting: make(chan struct{}), answered: make(chan struct{}), trunks: map[trunkKey]*trunk{},
	}
	h.idle = time.AfterFunc(h.quiet, sync.OnceFunc(func() { close(h.resting) }))
	defer h.idle.Stop()
	server := h.server(ctx)
	var parting sync.WaitGroup
	parting.Go(func() { h.part(ctx, server) })
	// Its error says that the wire was closed, or that the server was shut down, which
	// still answers then.
	_ = server.Serve(h2listener{h.wire})
	<-h.wire.closed
	cancel()
	h.end()
	h.tending.Wait()
	parting.Wait()
}

// server is net/http's, for this connection alone: its limits hold against resets,
// floods of fields, and clients that do not read.
func (h *h2conn) server(ctx context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      h,
		Protocols:                    protocols,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout:            prefaceTimeout,
		MaxHeaderBytes:               requestHead,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(h.front.log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      pingAfter,
			WriteByteTimeout:     stuckAfter,
		},
	}
}

// part ends the connection when it is time, without losing what is under way.
func (h *h2conn) part(ctx context.Context, server *http.Server) {
	select {
	case <-h.front.ending:
	case <-h.resting:
	case <-ctx.Done():
		return
	}
	h.wire.farewell()
	pause := time.NewTimer(farewellPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		<-h.wire.taken           // what is shut down earlier accepts nothing
		_ = server.Shutdown(ctx) // when ctx ends, so has the connection
	case <-ctx.Done():
	}
}

// ServeHTTP answers one request.
func (h *h2conn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.begin() {
		panic(http.ErrAbortHandler) // the connection has ended
	}
	defer h.done()
	c := newCall(h, w, r)
	f := h.front
	defer f.calls.Add(-1)
	if f.calls.Add(1) > int64(cmp.Or(c.port.MaxConnections, DefaultMaxConnections)) {
		f.refused.Add(1)
		c.refuse(crowded)
		return
	}
	c.answer()
}

func (h *h2conn) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return false
	}
	h.calls++
	h.idle.Stop()
	return true
}

func (h *h2conn) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls--
	if h.calls == 0 {
		h.idle.Reset(h.quiet)
		if h.over {
			close(h.answered)
		}
	}
}

// end waits for the requests whose connection has ended.
func (h *h2conn) end() {
	h.mu.Lock()
	h.over = true
	none := h.calls == 0
	h.mu.Unlock()
	if !none {
		<-h.answered
	}
}

// acquire is the trunk to a lease's replica, until release.
func (h *h2conn) acquire(l *lease) *trunk {
	key := trunkKey{l.replica, l.address}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.trunks[key]
	if t == nil {
		t = &trunk{key: key, dial: func(ctx context.Context) (net.Conn, error) {
			return h.front.dial(ctx, h.client, key.replica, key.address)
		}}
		h.trunks[key] = t
		h.tending.Go(func() { h.tend(t, l.draining) })
	}
	t.users++
	return t
}

func (h *h2conn) release(t *trunk) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.users--; t.users == 0 && t.closed {
		t.close()
	}
}

// tend closes a trunk when its replica drains or the client has gone, and nothing is
// under way on it.
func (h *h2conn) tend(t *trunk, draining <-chan struct{}) {
	select {
	case <-draining:
	case <-h.wire.closed:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t.closed = true
	delete(h.trunks, t.key)
	if t.users == 0 {
		t.close()
	}
}
