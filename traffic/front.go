package traffic

import (
	"log/slog"
	"net"
	"net/netip"
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
}

// client is an accepted connection whose first bytes may have been looked at.
type client struct {
	// Conn is the connection as it was accepted: reading from it gives what comes after
	// ahead.
	net.Conn
	// ahead was read already, and belongs before everything else.
	ahead []byte
	// source and destination are the ends of the connection as the client sees them: a
	// PROXY header of a trusted peer counts.
	source, destination netip.AddrPort
	// trusted is true when the peer's X-Forwarded-* are believed.
	trusted bool
}
