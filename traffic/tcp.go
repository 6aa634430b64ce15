package traffic

import (
	"context"
	"net"
	"time"
)

const (
	// halfOpenFor is how long nothing may move after one side has ended: the other one may
	// have forgotten to.
	halfOpenFor = 10 * time.Minute
	// When a drain is over, a connection is still on which nothing has moved for
	// stillFor, or for unansweredFor while one side waits for the other.
	stillFor      = time.Second
	unansweredFor = 10 * time.Second
)

// serveTCP passes a client's bytes to a replica and back. Without a replica the
// client's connection is reset: an empty answer would be none.
func (f *front) serveTCP(ctx context.Context, c *client) {
	f.forward(ctx, c, nil)
}

// forward is serveTCP for a client that may have to be watched.
func (f *front) forward(ctx context.Context, c *client, w *watch) {
	u, err := f.reach(ctx, c)
	if err != nil {
		f.log.DebugContext(ctx, "connection without a replica", "source", c.source, "error", err)
		c.reset()
		return
	}
	f.join(ctx, c, u, w)
}

// reset closes the client's connection so that it sees an error.
func (c *client) reset() {
	if conn, ok := c.Conn.(*net.TCPConn); ok {
		reset(conn)
	}
}

// join passes bytes between a client and a replica until both have ended, or the
// replica's drain or ctx cuts them off, and gives the lease back.
func (f *front) join(ctx context.Context, c *client, u *upstream, w *watch) {
	r, err := newRelay(c, u, &f.buffers)
	if err != nil {
		u.Close()
		u.lease.end(outcome{unused: true}, f.now())
		c.reset()
		return
	}
	r.client.watch = w
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run()
	}()
	r.oversee(ctx, u.lease, done)
	u.lease.end(outcome{broken: r.lost.Load() && !r.answered.Load()}, f.now())
}

// oversee waits until the relay is done, and cuts it off when its replica's drain or
// ctx says so.
func (r *relay) oversee(ctx context.Context, l *lease, done <-chan struct{}) {
	var (
		still   quiet
		half    = r.half
		drained = l.cutRequests
		cut     = l.cutStreams
		ended   = ctx.Done()
	)
	defer still.stop()
	for {
		select {
		case <-done:
			return
		case <-half:
			half = nil
			still.allow(halfOpenFor, halfOpenFor)
		case <-drained:
			drained = nil
			still.allow(stillFor, unansweredFor)
		case now := <-still.look():
			moved, waiting := r.look()
			switch enough := still.enough(moved, waiting, now); {
			case enough && waiting:
				r.abort() // what is missing must not look as if it were not
			case enough:
				r.close()
			}
		case <-cut:
			cut = nil
			r.abort()
		case <-ended:
			ended = nil
			r.abort()
		}
	}
}

// quiet finds out that nothing moves. The zero value allows that for ever.
type quiet struct {
	ticker            *time.Ticker
	answered, waiting time.Duration
	moved             uint64
	since             time.Time
}

// allow sets for how long nothing may move, and for how long while a side waits for
// an answer, or has not taken what was said. It never allows more than before.
func (q *quiet) allow(answered, waiting time.Duration) {
	switch every := answered / 4; {
	case q.ticker == nil:
		q.ticker = time.NewTicker(every)
	case answered < q.answered:
		q.ticker.Reset(every)
	default:
		return
	}
	q.answered, q.waiting, q.since = answered, waiting, time.Time{}
}

// look is when to ask for enough.
func (q *quiet) look() <-chan time.Time {
	if q.ticker == nil {
		return nil
	}
	return q.ticker.C
}

func (q *quiet) stop() {
	if q.ticker != nil {
		q.ticker.Stop()
	}
}

// enough reports whether nothing has moved for too long.
func (q *quiet) enough(moved uint64, waiting bool, now time.Time) bool {
	if q.since.IsZero() || moved != q.moved {
		q.moved, q.since = moved, now
		return false
	}
	if waiting {
		return now.Sub(q.since) >= q.waiting
	}
	return now.Sub(q.since) >= q.answered
}
