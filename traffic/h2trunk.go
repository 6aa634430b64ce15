package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
)

// trunk is what one client's HTTP/2 connection has to one replica: the connections
// that its requests share. Clients share none, as none shared any with a port that
// Docker publishes: a client that resets requests by the thousand, or does not read
// its answers, has only its own connections closed or held up.
type trunk struct {
	key  trunkKey
	dial func(context.Context) (net.Conn, error)

	// users are the requests that have it; closed is true once no further one may. An
	// h2conn guards them.
	users  int
	closed bool

	mu    sync.Mutex
	conns []*http.ClientConn
	// growing is the connection that is being made, nil while none is.
	growing *growth
	// plain is true once the replica has refused HTTP/2 and answered in HTTP/1, by way
	// of h1, which is made when it is needed.
	plain bool
	h1    *http.Transport
}

type trunkKey struct {
	replica *replica
	address netip.AddrPort
}

// growth is the making of a connection. Once done is closed, err is why there is none.
type growth struct {
	done chan struct{}
	err  error
}

// errUndialled is why a request was not sent to anybody.
var errUndialled = errors.New("the replica cannot be connected to")

// resend is how often a request goes out again that a replica did not take notice of.
const resend = 2

// roundTrip sends a request to the replica. sent reports whether any of it was sent on
// the connection that was tried last.
func (t *trunk) roundTrip(req *http.Request, sent func() bool) (*http.Response, error) {
	if t.refuses() {
		return t.fallBack(req)
	}
	for again := 0; ; again++ {
		conn, fresh, err := t.reserve(req.Context())
		if errors.Is(err, errRefusesH2) {
			return t.fallBack(req)
		}
		if err != nil {
			return nil, err
		}
		res, err := conn.RoundTrip(req)
		// A connection may have ended before it was used, which does not speak against
		// the replica; one that was kept may have ended without the replica's having
		// seen the request, which matters if it does something.
		unnoticed := !sent() || (!fresh && conn.Err() != nil && repeatable(req))
		if err == nil || !unnoticed || again == resend || req.Context().Err() != nil || !reopen(req) {
			return res, err
		}
	}
}

// repeatable reports whether a request may be sent twice: RFC 9110, 9.2.2.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return req.ContentLength == 0
	default:
		return false
	}
}

// reserve finds room for one request on a connection, which is fresh if it was made
// for it. Who waits for a connection that another request makes shares its failure,
// unless that was that the other one was cancelled.
func (t *trunk) reserve(ctx context.Context) (conn *http.ClientConn, fresh bool, err error) {
	for {
		conn, growing, mine := t.room()
		switch {
		case conn != nil:
			return conn, false, nil
		case mine:
			conn, err := t.grow(ctx, growing)
			return conn, true, err
		}
		select {
		case <-growing.done:
			if growing.err != nil {
				return nil, false, growing.err
			}
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// room reserves a place on a connection that is there. Otherwise it returns what to
// wait for, or, if that is the caller's own, to make.
func (t *trunk) room() (conn *http.ClientConn, growing *growth, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = slices.DeleteFunc(t.conns, func(c *http.ClientConn) bool { return c.Err() != nil })
	for _, c := range t.conns {
		if c.Reserve() == nil {
			return c, nil, false
		}
	}
	if t.growing != nil {
		return nil, t.growing, false
	}
	t.growing = &growth{done: make(chan struct{})}
	return nil, t.growing, true
}

// grow makes another connection, with a place reserved on it.
func (t *trunk) grow(ctx context.Context, growing *growth) (*http.ClientConn, error) {
	conn, err := t.connect(ctx)
	if err == nil && conn.Reserve() != nil {
		conn.Close()
		err = fmt.Errorf("%w: it takes no requests", errUndialled)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.conns = append(t.conns, conn)
	} else if ctx.Err() == nil {
		growing.err = err
	}
	t.growing = nil
	close(growing.done)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// connect makes a connection to a replica that speaks HTTP/2.
func (t *trunk) connect(ctx context.Context) (*http.ClientConn, error) {
	raw, err := t.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUndialled, err)
	}
	greeted := newGreeting(raw)
	conn, err := h2transport(greeted).NewClientConn(ctx, "http", t.key.address.String())
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("%w: %w", errUndialled, err)
	}
	if err := greeted.wait(ctx); err != nil {
		conn.Close()
		if errors.Is(err, errRefusesH2) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errUndialled, err)
	}
	return conn, nil
}

// fallBack sends a request in HTTP/1. That the replica speaks it is only known once it
// has answered: one that is just starting refuses everything.
func (t *trunk) fallBack(req *http.Request) (*http.Response, error) {
	t.mu.Lock()
	if t.h1 == nil {
		t.h1 = t.h1transport()
	}
	transport := t.h1
	t.mu.Unlock()
	res, err := transport.RoundTrip(req)
	if err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.plain = true
	}
	return res, err
}

// refuses reports whether the replica is known not to speak HTTP/2.
func (t *trunk) refuses() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.plain
}

// close ends the connections. Nothing may be under way.
func (t *trunk) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		c.Close()
	}
	if t.h1 != nil {
		t.h1.CloseIdleConnections()
	}
}
