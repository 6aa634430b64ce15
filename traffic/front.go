package traffic

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// front is one host port while it is open.
type front struct {
	// port is how the newest table has it.
	port atomic.Pointer[Port]
	pool *pool
	log  *slog.Logger
	now  func() time.Time
	// secret signs affinity cookies; it outlives the process, so that they do.
	secret []byte
	// ending is closed when the edge gives its ports up: connections that are kept for
	// further requests are closed after the one under way.
	ending chan struct{}
	// open are the connections, or UDP sessions, that clients have.
	open atomic.Int64
	// sessions are the UDP sessions of all ports of its Edge.
	sessions *atomic.Int64
	// calls are the HTTP/2 requests under way. A connection may have many, and so they are
	// bounded as connections are.
	calls atomic.Int64
	// refused are the connections that were closed at once, and the calls that were
	// refused, since there were too many.
	refused atomic.Int64
	// talks are the HTTP/1 clients, exchanges their memory.
	talks     talks
	exchanges exchanges
	// greets is true while its replicas are known to speak before their clients do.
	greets  atomic.Bool
	buffers buffers

	// door is where it listens; an Edge guards what follows. life ends when everything
	// of this port is to end at once, which cut brings about; begun is true once it is
	// served.
	door  door
	life  context.Context
	cut   context.CancelFunc
	begun bool
}

// client is an accepted connection whose first bytes may have been looked at.
type client struct {
	// Conn is the connection as it was accepted. Reading from Conn gives what comes
	// after ahead, reading from the client everything.
	net.Conn
	// ahead was read already, and belongs before everything else.
	ahead []byte
	// source and destination are the ends of the connection as the client sees them: a
	// PROXY header of a trusted peer counts.
	source, destination netip.AddrPort
	// trusted is true when the peer's X-Forwarded-* are believed.
	trusted bool
}

// newClient is what port makes of an accepted connection.
func newClient(conn net.Conn, port *Port) *client {
	c := &client{Conn: conn, source: ends(conn.RemoteAddr()), destination: ends(conn.LocalAddr())}
	c.trusted = port.trusts(c.source.Addr())
	return c
}

// serve answers a client until either end is done, or ctx is. It does not close the
// connection: its caller does, and also closes it under serve when ctx ends.
func (f *front) serve(ctx context.Context, c *client) {
	port := f.port.Load()
	if port.AcceptProxy && c.trusted {
		if err := f.acceptProxy(c); err != nil {
			f.log.DebugContext(ctx, "PROXY header refused", "port", port.Key(), "peer", c.RemoteAddr(), "error", err)
			return
		}
	}
	switch port.Protocol {
	case ProtocolTCP:
		f.serveTCP(ctx, c)
	case ProtocolHTTP:
		f.serveHTTP(ctx, c)
	default:
		f.serveAuto(ctx, c)
	}
}

// serveHTTP answers a client that is known to speak HTTP, of one version or the
// other: HTTP/2 begins with a request that no HTTP/1 client makes.
func (f *front) serveHTTP(ctx context.Context, c *client) {
	const preface = "PRI "
	idle := cmp.Or(f.port.Load().Idle, DefaultIdle)
	if err := c.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return
	}
	if err := c.peek(len(preface)); err != nil {
		return // nothing was asked
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	if strings.HasPrefix(string(c.ahead), preface) {
		f.serveH2(ctx, c)
	} else {
		f.serveHTTP1(ctx, c)
	}
}

// peek reads until at least n bytes are ahead.
func (c *client) peek(n int) error {
	for len(c.ahead) < n {
		c.ahead = slices.Grow(c.ahead, 256)
		got, err := c.Conn.Read(c.ahead[len(c.ahead):cap(c.ahead)])
		c.ahead = c.ahead[:len(c.ahead)+got]
		if err != nil && len(c.ahead) < n {
			return err
		}
	}
	return nil
}

// Read gives what is ahead first, then what comes.
func (c *client) Read(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil // a connection that is kept need not keep its first bytes
	}
	return n, nil
}
