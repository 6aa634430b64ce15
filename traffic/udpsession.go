package traffic

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// A session keeps this much while its replica is reached: what a protocol sends
	// before it waits.
	mostPending, mostPendingBytes = 16, largestDatagram
	// mostHeld is what all sessions of a port may keep together.
	mostHeld = 16 << 20
	// oneWay is when a replica that has never answered is not expected to.
	oneWay = 5 * time.Second
)

// udpSession is what one client has with one replica.
type udpSession struct {
	sessions *sessions
	flow     flow
	begun    time.Time
	// fresh is its place among the fresh ones, nil once it is none. The lock of sessions
	// guards it.
	fresh *list.Element
	// cancel ends it.
	cancel context.CancelFunc
	// touched is when a datagram last went either way, in Unix nanoseconds; owed is true
	// while the last one was the client's.
	touched atomic.Int64
	owed    atomic.Bool
	// answered is true once the replica has answered, refused when its host has said
	// that nobody listens there.
	answered, refused atomic.Bool

	mu sync.Mutex
	// conn and lease are nil until a replica is reached; what the client sends meanwhile
	// is pending.
	conn         *net.UDPConn
	lease        *lease
	sure         sureness
	pending      [][]byte
	pendingBytes int
	// through is true once nothing is kept any more.
	through bool
}

// note remembers that a datagram went one way or the other.
func (u *udpSession) note(fromClient bool, now time.Time) {
	u.touched.Store(now.UnixNano())
	u.owed.Store(fromClient)
	if !fromClient {
		u.answered.Store(true)
	}
}

// send passes a datagram to the replica, or keeps it until there is one. It reports
// false when the address may have become another's: there is no connection that would
// stay with the replica.
func (u *udpSession) send(datagram []byte, now time.Time) bool {
	u.note(true, now)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil {
		if !u.sure.stands() {
			return false
		}
		u.write(datagram)
		return true
	}
	u.keep(datagram)
	return true
}

// keep has the datagram wait for a replica, if there is room. The caller holds the lock.
func (u *udpSession) keep(datagram []byte) {
	held := &u.sessions.held
	if u.through || len(u.pending) == mostPending || u.pendingBytes+len(datagram) > mostPendingBytes {
		return
	}
	if held.Add(int64(len(datagram))) > mostHeld {
		held.Add(-int64(len(datagram)))
		return
	}
	u.pending = append(u.pending, slices.Clone(datagram))
	u.pendingBytes += len(datagram)
}

// letGo forgets what was kept, for good. The caller holds the lock.
func (u *udpSession) letGo() {
	u.sessions.held.Add(-int64(u.pendingBytes))
	u.pending, u.pendingBytes, u.through = nil, 0, true
}

// write gives the replica a datagram. That nobody listens there is told of an earlier
// one, and to whoever uses the socket next. The caller holds the lock.
func (u *udpSession) write(datagram []byte) {
	if _, err := u.conn.Write(datagram); errors.Is(err, syscall.ECONNREFUSED) {
		u.refused.Store(true)
		u.cancel()
	}
}

// begin sends what is pending.
func (u *udpSession) begin(conn *net.UDPConn, l *lease, sure sureness) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conn, u.lease, u.sure = conn, l, sure
	for _, datagram := range u.pending {
		if !u.sure.stands() {
			break // what follows begins another session
		}
		u.write(datagram)
	}
	u.letGo()
}

// serve leases a replica and passes its answers on until ctx ends.
func (u *udpSession) serve(ctx context.Context) {
	f := u.sessions.front
	l, err := f.pool.claim(ctx, want{kind: leaseStream, source: u.flow.client.Addr()})
	if err != nil {
		f.log.DebugContext(ctx, "session without a replica", "source", u.flow.client, "error", err)
		return
	}
	sure := l.replica.sure(l.address.Addr())
	conn, in, err := u.dial(ctx, l)
	if err != nil { // for want of something of this host's: nothing was sent
		l.end(outcome{unused: true}, f.now())
		f.log.DebugContext(ctx, "session not begun", "replica", l.replica.name, "error", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(longAgo()) })
	u.begin(conn, l, sure)
	u.answer(ctx, in)
	stop()
	conn.Close()
	refused := u.refused.Load()
	l.end(outcome{undialled: refused && !u.answered.Load(), broken: refused}, f.now())
}

func (u *udpSession) dial(ctx context.Context, l *lease) (*net.UDPConn, *reader, error) {
	conn, err := (&net.Dialer{}).DialUDP(ctx, "udp", netip.AddrPort{}, l.address)
	if err != nil {
		return nil, nil, err
	}
	in, err := newReader(conn, &u.sessions.front.buffers, largestDatagram)
	if err != nil {
		conn.Close()
	}
	return conn, in, err
}

// answer passes on what the replica says, until ctx ends or nobody listens there.
func (u *udpSession) answer(ctx context.Context, in *reader) {
	f := u.sessions.front
	for {
		datagram, err := in.next()
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			u.refused.Store(true)
			return
		case err != nil:
			return // ctx has ended
		}
		u.note(false, f.now())
		err = u.sessions.out.answer(u.flow, datagram)
		in.release()
		if err != nil {
			f.log.DebugContext(ctx, "an answer was not sent", "client", u.flow.client, "error", err)
		}
	}
}

// over reports whether nothing is to be expected any more: nothing has come for too
// long, or the replica drains and owes no answer. The client's next datagram begins a
// session with another one.
func (u *udpSession) over(now time.Time, idle time.Duration) bool {
	still := now.Sub(time.Unix(0, u.touched.Load()))
	if still >= idle {
		return true
	}
	u.mu.Lock()
	l := u.lease
	u.mu.Unlock()
	switch {
	case l == nil || !over(l.draining):
		return false
	case over(l.cutStreams):
		return true
	case !u.answered.Load():
		return now.Sub(u.begun) >= oneWay
	case u.owed.Load():
		return over(l.cutRequests) && still >= unansweredFor
	default:
		return still >= stillFor
	}
}
