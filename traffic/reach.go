package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialTimeout bounds a connection to a replica, which is on this host: one lost
// packet is sent again within it.
const dialTimeout = 4 * time.Second

// upstream is a connection to a replica.
type upstream struct {
	*net.TCPConn
	lease *lease
	// ahead is what the replica has said already.
	ahead []byte
}

// reach leases a replica for a stream of the client's and dials it, going on to
// another one as long as no connection comes about. Its error is errNobody, the end of
// ctx, or what keeps this host from dialling anybody.
func (f *front) reach(ctx context.Context, c *client) (*upstream, error) {
	w := want{kind: leaseStream, source: c.source.Addr()}
	for {
		l, err := f.pool.claim(ctx, w)
		if err != nil {
			return nil, err
		}
		conn, err := f.dial(ctx, c, l.replica, l.address)
		switch {
		case err == nil:
			return &upstream{TCPConn: conn, lease: l}, nil
		case ctx.Err() != nil:
			l.end(outcome{unused: true}, f.now())
			return nil, context.Cause(ctx)
		case errors.Is(err, errDoubted):
			l.end(outcome{unused: true}, f.now())
			continue
		case ours(err):
			l.end(outcome{unused: true}, f.now())
			return nil, err
		}
		l.end(outcome{undialled: true}, f.now())
		f.log.DebugContext(ctx, "replica not reached", "replica", l.replica.name, "address", l.address, "error", err)
		w.avoid = append(w.avoid, l.replica)
	}
}

// dial connects to a replica and tells it who the client is, if the port is so. Whose
// the address is must have been certain until there was a connection, which stays with
// whoever took it: else its error is errDoubted, and the replica may be claimed again.
func (f *front) dial(ctx context.Context, c *client, r *replica, address netip.AddrPort) (*net.TCPConn, error) {
	sure := r.sure(address.Addr())
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, address)
	if !sure.stands() {
		if err == nil {
			conn.Close()
		}
		return nil, errDoubted
	}
	if err != nil {
		return nil, err
	}
	version := f.port.Load().SendProxy
	if version == 0 {
		return conn, nil
	}
	if _, err := conn.Write(proxyHeader{source: c.source, destination: c.destination}.write(version)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("send the PROXY header: %w", err)
	}
	return conn, nil
}

// ours reports whether a dial failed for want of something of this host's, which says
// nothing about the replica.
func ours(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
