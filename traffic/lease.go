package traffic

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// leaseKind is what is leased.
type leaseKind int

const (
	// leaseRequest is an HTTP request: it ends by itself.
	leaseRequest leaseKind = iota
	// leaseStream is a TCP connection, a UDP session, or what an HTTP request has
	// become: it may last for ever.
	leaseStream
)

// lease is one use of a replica. Its holder ends it exactly once.
type lease struct {
	replica *replica
	// address is where to dial.
	address netip.AddrPort
	begun   time.Time
	kind    leaseKind
	ended   atomic.Bool
	// late is true once it was held against the replica that no answer had begun.
	late bool
	// draining is closed when the replica gets nothing new: a connection that is kept
	// for further requests is to be closed after this one, with word to the client.
	draining <-chan struct{}
	// cutRequests and cutStreams are closed when it must end at once.
	cutRequests, cutStreams <-chan struct{}
}

// cut is closed when the lease must end at once.
func (l *lease) cut() <-chan struct{} {
	if l.kind == leaseStream {
		return l.cutStreams
	}
	return l.cutRequests
}

// stream makes the lease of a request that of a stream: a WebSocket, server-sent
// events, a download that lasts.
func (l *lease) stream() {
	if l.kind == leaseStream || l.ended.Load() {
		return
	}
	l.replica.streams.Add(1)
	l.replica.requests.Add(-1)
	l.kind = leaseStream
}

// waits looks at a request whose answer has not begun.
func (l *lease) waits(now time.Time) {
	if now.Sub(l.begun) >= longestWait {
		l.overdue()
	}
}

// overdue holds against the replica, once, that no answer to this request has begun.
func (l *lease) overdue() {
	if l.kind == leaseRequest && !l.late {
		l.late = true
		l.replica.miss(l.begun)
	}
}

// outcome is how a lease ended.
type outcome struct {
	// undialled is true when no connection to the replica came about.
	undialled bool
	// status is the HTTP status of the replica's answer; 0 where there is none.
	status int
	// broken is true when the replica ended the connection before it had answered.
	broken bool
	// unused is true when nothing was asked of the replica, so that there is nothing to
	// be learned about it.
	unused bool
	// abandoned is true when everything was asked and the client left before an answer had
	// begun. That is no failure: clients have reasons of their own.
	abandoned bool
}

// failed reports whether it speaks against the replica.
func (o outcome) failed() bool { return o.undialled || o.broken || o.status >= 500 }

// end gives the lease back. Ending it twice is not counted twice.
func (l *lease) end(o outcome, now time.Time) {
	if !l.ended.CompareAndSwap(false, true) {
		return
	}
	switch took := now.Sub(l.begun); {
	case o.unused:
	case !o.abandoned:
		l.replica.signals.add(l.kind, o, took)
		l.replica.observe(o, now)
	default:
		l.replica.signals.add(l.kind, o, took)
		if took >= givingUp {
			l.overdue()
		}
	}
	if l.kind == leaseStream {
		l.replica.streams.Add(-1)
	} else {
		l.replica.requests.Add(-1)
	}
}
