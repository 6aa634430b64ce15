package traffic

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"davit/traffic/http1"
)

// errUnasked is why a replica has nothing to answer: no connection came about, or not
// a byte was sent over it.
var errUnasked = errors.New("nothing was asked of the replica")

// answer has a replica answer the request, and reports whether the client may ask on.
func (t *talk) answer(ctx context.Context) (keep bool) {
	t.x.borrow(&t.buffers)
	defer t.restore()
	t.onward()
	if err := t.gather(); err != nil {
		t.reject(err)
		return false
	}
	w := want{kind: leaseRequest, source: t.client.source.Addr(), session: t.session(), releases: t.asked()}
	for {
		var err error
		if t.lease, err = t.pool.claim(ctx, w); err != nil {
			return t.nobody(ctx, len(w.avoid) > 0)
		}
		err = t.ask(ctx)
		switch {
		case err == nil:
			return t.hear()
		case ctx.Err() != nil:
			t.lease.end(outcome{unused: true}, t.now())
			return false
		case !errors.Is(err, errUnasked):
			return t.fail(err)
		case errors.Is(err, errDoubted):
			t.lease.end(outcome{unused: true}, t.now())
			continue
		case ours(err):
			t.lease.end(outcome{unused: true}, t.now())
			return t.refuse(unreachable)
		}
		t.lease.end(outcome{undialled: true}, t.now())
		t.log.DebugContext(ctx, "replica not reached", "replica", t.lease.replica.name, "address", t.lease.address, "error", err)
		w.avoid = append(w.avoid, t.lease.replica)
	}
}

// nobody answers for want of a replica.
func (t *talk) nobody(ctx context.Context, tried bool) bool {
	switch {
	case ctx.Err() != nil:
		return false
	case tried:
		return t.refuse(unreachable)
	}
	return t.refuse(noReplica)
}

// gather appends to the head of the request what of its body has come already.
func (t *talk) gather() *http1.Malformed {
	x := t.x
	came := x.in[x.taken:]
	switch x.request.Body {
	case http1.Sized:
		n := min(int64(len(came)), x.request.Length)
		x.out = append(x.out, came[:n]...)
		x.taken += int(n)
		x.missing = x.request.Length - n
		x.whole = x.missing == 0
	case http1.Chunked:
		x.body.Reset()
		data, n, err := x.body.Decode(came)
		var m *http1.Malformed
		if errors.As(err, &m) {
			return m
		}
		x.taken += n
		x.out = chunk(x.out, data)
		if x.whole = x.body.Done(); x.whole {
			x.out = lastChunk(x.out, x.body.Trailers())
		}
	default:
		x.whole = true
	}
	return nil
}

// ask sends the request to the replica of the lease. A connection that was kept and
// turns out to be closed is replaced, as long as nothing was sent over it, or the
// request may be made twice and nothing was answered. An errUnasked leaves the request
// to another replica.
func (t *talk) ask(ctx context.Context) error {
	x, l := t.x, t.lease
	kept := !t.tells()
	for {
		k, err := t.reachLink(ctx, kept)
		if err != nil {
			return fmt.Errorf("%w: %w", errUnasked, err)
		}
		k.use.Store(linkRequest)
		t.hold(k)
		if over(l.cutRequests) {
			k.TCPConn.Close() // whoever cut it may not have seen it
		}
		x.got, err = k.ask(x.out, x.reply, x.whole)
		if err == nil || x.whole && isTimeout(err) {
			if !x.whole {
				t.upload = t.send(k)
			}
			return nil
		}
		t.hangUp()
		switch {
		case over(l.cutRequests) || ctx.Err() != nil:
			return err
		case errors.Is(err, errStale) && k.kept:
		case errors.Is(err, errStale):
			return fmt.Errorf("%w: %w", errUnasked, err)
		case k.kept && x.got == 0 && x.repeatable():
			kept = false
		default:
			return err
		}
	}
}

// reachLink is a connection to the replica of the lease: one that was kept, or a new
// one. A request that cannot be repeated goes over one that was in use just now.
func (t *talk) reachLink(ctx context.Context, kept bool) (*link, error) {
	l := t.lease
	if kept {
		if k := l.replica.links.take(l.address, !t.x.repeatable()); k != nil {
			return k, nil
		}
	}
	told := t.tells()
	conn, err := t.dial(ctx, t.client, l.replica, l.address)
	if err != nil {
		return nil, err
	}
	k, err := newLink(conn, l.address, &l.replica.links)
	if err == nil {
		k.told = told || t.tells() // a table may have come in between
	}
	return k, err
}

// tells reports whether a connection to a replica is to begin with a PROXY header.
func (t *talk) tells() bool { return t.port.Load().SendProxy != 0 }

// hangUp closes the link of the request under way.
func (t *talk) hangUp() {
	if k := t.link; k != nil {
		t.hold(nil)
		k.Close()
	}
}

// asked are the releases that the request asks for.
func (t *talk) asked() []int64 {
	port := t.port.Load()
	if len(port.Match) == 0 {
		return nil
	}
	r := &t.x.request
	meets := func(m Match) bool {
		for i := range r.Fields {
			if f := &r.Fields[i]; m.meets(r.Label(f), r.Value(f)) {
				return true
			}
		}
		return false
	}
	if slices.ContainsFunc(port.Match, meets) {
		return port.Matched
	}
	return nil
}

// session is what the client's cookie says, where there is such affinity.
func (t *talk) session() session {
	port := t.port.Load()
	t.tied = session{}
	if port.Affinity != AffinityCookie {
		t.affinity = nil
		return t.tied
	}
	if t.affinity == nil || t.shape != port {
		c := newCookie(t.secret, port.Stack, port.Service)
		t.affinity, t.shape = &c, port
	}
	r := &t.x.request
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Name == http1.Cookie && t.tied == (session{}) {
			t.tied = t.affinity.read(string(r.Value(f)))
		}
	}
	return t.tied
}
