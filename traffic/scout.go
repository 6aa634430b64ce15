package traffic

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"
)

// scout reaches a replica for a client that has said nothing yet, to see whether the
// replica begins.
type scout struct {
	cancel context.CancelFunc
	done   chan struct{}
	// upstream is what was reached, nil if nobody was. begun is true when it has spoken,
	// or ended.
	upstream *upstream
	begun    bool
	err      error
}

// hesitation is how long a client may still take to begin when nobody is there for it, or
// who was there has gone without a word: one that turns out to speak HTTP is answered,
// and any other is cut off, or sees the end.
const hesitation = time.Second

// longAgo is a deadline that wakes whoever waits.
func longAgo() time.Time { return time.Unix(1, 0) }

// serveSilent answers a client that says nothing: whoever speaks first, it or the
// replica, decides what the connection is.
func (f *front) serveSilent(ctx context.Context, c *client) {
	s := f.send(ctx, c)
	said, err := c.hear(-1)
	u := s.recall()
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	switch {
	case err != nil:
		f.unused(u)
	case s.gone() && said != spokenNothing:
		f.unused(u)
		f.serveSaid(ctx, c, said)
	case u != nil && s.begun:
		if len(u.ahead) > 0 && !bytes.HasPrefix(u.ahead, []byte("HTTP/")) { // that would be a late 408
			f.greets.Store(true)
		}
		f.join(ctx, c, u, nil)
	case said == spokenHTTP1 || said == spokenHTTP2 || said == spokenLikely:
		f.unused(u)
		f.greets.Store(false)
		f.serveSaid(ctx, c, said)
	case u != nil && said == spokenUnclear:
		f.join(ctx, c, u, new(watch))
	case u != nil:
		f.join(ctx, c, u, nil)
	case said == spokenNothing && errors.Is(s.err, errRetired):
		// It is closed as one is that is kept for further requests.
	case said == spokenNothing:
		f.log.DebugContext(ctx, "connection without a replica", "source", c.source, "error", s.err)
		c.reset()
	default:
		f.serveSaid(ctx, c, said)
	}
}

// unused gives a connection back over which nothing was asked.
func (f *front) unused(u *upstream) {
	if u != nil {
		u.Close()
		u.lease.end(outcome{unused: true}, f.now())
	}
}

// send reaches a replica. Once that has begun, or there is none, the client is not
// waited for any more.
func (f *front) send(ctx context.Context, c *client) *scout {
	ctx, cancel := context.WithCancel(ctx)
	s := &scout{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.upstream, s.begun, s.err = f.await(ctx, c)
		enough := longAgo()
		if s.upstream == nil && !errors.Is(s.err, errRetired) || s.gone() {
			enough = time.Now().Add(hesitation)
		}
		if ctx.Err() == nil {
			c.SetReadDeadline(enough) // of a connection that is closed nobody waits
		}
	}()
	return s
}

// gone reports whether a replica was reached, and has ended without a word.
func (s *scout) gone() bool { return s.upstream != nil && s.begun && len(s.upstream.ahead) == 0 }

// recall ends the scout, and is whom it has reached.
func (s *scout) recall() *upstream {
	s.cancel()
	<-s.done
	return s.upstream
}

// await reaches a replica and waits until it begins, or ctx ends. A replica that is to
// get nothing new meanwhile is left for another one: nothing was said to it.
func (f *front) await(ctx context.Context, c *client) (u *upstream, begun bool, err error) {
	for {
		if u, err = f.reach(ctx, c); err != nil {
			return nil, false, err
		}
		begun, err := f.listen(ctx, u)
		switch {
		case err == nil && (begun || ctx.Err() != nil):
			return u, begun, nil
		case err == nil && over(f.ending):
			f.unused(u)
			return nil, false, errRetired
		case err == nil:
			f.unused(u)
		default:
			u.Close()
			u.lease.end(outcome{broken: true}, f.now())
			return nil, false, err
		}
	}
}

// listen waits until the replica says something or ends: true; or until ctx ends, the
// replica is to get nothing new, or the port was given up a moment ago.
func (f *front) listen(ctx context.Context, u *upstream) (begun bool, err error) {
	in, err := newReader(u.TCPConn, &f.buffers, pieceSize)
	if err != nil {
		return false, err
	}
	heard, enough := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(enough)
		if f.patient(ctx, u.lease, heard) {
			u.SetReadDeadline(longAgo()) // of a connection that is closed nobody waits
		}
	}()
	piece, err := in.next()
	u.ahead = slices.Clone(piece)
	in.release()
	if settings(u.ahead) {
		<-enough // without having heard
	} else {
		begun = err == nil
	}
	close(heard)
	<-enough
	if isTimeout(err) {
		err = nil
	}
	return begun, errors.Join(err, u.SetReadDeadline(time.Time{}))
}

// patient waits until a replica was heard: false; or need not be listened to any more.
func (f *front) patient(ctx context.Context, l *lease, heard <-chan struct{}) bool {
	ending := f.ending
	var late <-chan time.Time
	for {
		select {
		case <-heard:
			return false
		case <-ctx.Done():
			return true
		case <-l.draining:
			return true
		case <-ending:
			ending, late = nil, time.After(lingering)
		case <-late:
			return true
		}
	}
}

// settings reports whether b begins like an HTTP/2 server that does not wait for its
// client: that is no greeting, and the client is yet to speak.
func settings(b []byte) bool {
	return len(b) >= 9 && bytes.Equal(b[3:9], []byte{4, 0, 0, 0, 0, 0})
}
