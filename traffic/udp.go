package traffic

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// largestDatagram is what UDP can carry.
	largestDatagram = 64 << 10
	// sweepEvery is how often sessions are looked through, unless they live for a
	// shorter time.
	sweepEvery = 250 * time.Millisecond
	// mostSessions is how many there may be at all ports together. Each takes an open file,
	// and datagrams from made-up addresses cost nobody anything, at a thousand ports of a
	// range least of all.
	mostSessions = 50_000
)

// sessions are the UDP sessions of one port.
type sessions struct {
	front *front
	out   *packets
	// serving waits for the sessions' goroutines.
	serving sync.WaitGroup
	// begun has word once there are sessions to be looked through.
	begun chan struct{}
	// held is how many bytes the sessions keep that wait for a replica.
	held atomic.Int64

	mu    sync.Mutex
	flows map[flow]*udpSession
	// running counts goroutines: of the sessions, and of those that are ending.
	running int
	// fresh are the sessions whose client has sent a single datagram, the oldest first.
	// When there is no room they make some: a flood from made-up addresses consists of
	// them, and a client in earnest sends another.
	fresh *list.List
}

// serveUDP answers datagrams: each client has a session with one replica, until
// nothing has come either way for a while, or the replica has drained. It returns
// once the port is given up and no session is left, or ctx has ended.
func (f *front) serveUDP(ctx context.Context, conn net.PacketConn) {
	out, err := newPackets(conn)
	if err != nil {
		f.log.ErrorContext(ctx, "UDP cannot be served", "port", f.port.Load().Key(), "error", err)
		return
	}
	s := &sessions{front: f, out: out, flows: map[flow]*udpSession{}, fresh: list.New(), begun: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sweeping sync.WaitGroup
	sweeping.Go(func() { s.sweep(ctx) })
	if s.receive(ctx) {
		cancel() // no answer can be sent any more
	}
	s.serving.Wait()
	cancel()
	sweeping.Wait()
}

// receive takes datagrams in until the port is given up, and reports whether the
// socket is closed.
func (s *sessions) receive(ctx context.Context) (closed bool) {
	buffer := make([]byte, largestDatagram)
	var trouble seldom
	for {
		n, from, err := s.out.receive(buffer)
		if err == nil {
			s.deliver(ctx, from, buffer[:n])
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return true
		}
		select {
		case <-s.front.ending:
			return false // a successor has the socket too
		default:
		}
		if trouble.due(s.front.now()) {
			s.front.log.WarnContext(ctx, "datagrams are not received", "port", s.front.port.Load().Key(), "error", err)
		}
		if !pause(ctx, busy) {
			return true
		}
	}
}

// deliver gives a datagram to the session of its client.
func (s *sessions) deliver(ctx context.Context, from flow, datagram []byte) {
	now := s.front.now()
	for {
		u := s.find(ctx, from, now)
		if u == nil {
			s.front.refused.Add(1)
			return
		}
		if u.send(datagram, now) {
			return
		}
		s.end(u)
	}
}

// end ends the session at once.
func (s *sessions) end(u *udpSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(u)
}

// find is the client's session, a new one if it has none. It is nil while there is no
// room.
func (s *sessions) find(ctx context.Context, from flow, now time.Time) *udpSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.flows[from]; u != nil {
		s.age(u)
		return u
	}
	if !s.room() {
		return nil
	}
	u := &udpSession{sessions: s, flow: from, begun: now}
	ctx, u.cancel = context.WithCancel(ctx)
	u.note(true, now)
	u.fresh = s.fresh.PushBack(u)
	s.flows[from] = u
	select {
	case s.begun <- struct{}{}:
	default:
	}
	s.running++
	s.front.open.Add(1)
	s.front.sessions.Add(1)
	s.serving.Go(func() {
		defer s.ended(u)
		u.serve(ctx)
	})
	return u
}

// room makes room for another session, if it must and can. The caller holds the lock.
func (s *sessions) room() bool {
	most := cmp.Or(s.front.port.Load().MaxConnections, DefaultMaxConnections)
	if len(s.flows) < most && s.front.sessions.Load() < mostSessions {
		return true
	}
	oldest := s.fresh.Front()
	if oldest == nil || s.running >= 2*most { // of the latter most are ending
		return false
	}
	if u, ok := oldest.Value.(*udpSession); ok {
		s.drop(u)
	}
	return true
}

// age makes the session one that is not fresh. The caller holds the lock.
func (s *sessions) age(u *udpSession) {
	if u.fresh != nil {
		s.fresh.Remove(u.fresh)
		u.fresh = nil
	}
}

// drop ends the session: what comes from its client now begins another. The caller
// holds the lock.
func (s *sessions) drop(u *udpSession) {
	if s.flows[u.flow] != u {
		return
	}
	s.age(u)
	delete(s.flows, u.flow)
	s.front.open.Add(-1)
	s.front.sessions.Add(-1)
	u.cancel()
}

// ended forgets a session whose goroutine ends.
func (s *sessions) ended(u *udpSession) {
	u.mu.Lock()
	u.letGo()
	u.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(u)
	s.running--
}

// sweep ends the sessions that are over, until ctx ends. While there are none it does
// not wake: a range may have thousands of ports.
func (s *sessions) sweep(ctx context.Context) {
	for some := false; ; {
		if !some {
			select {
			case <-ctx.Done():
				return
			case <-s.begun:
			}
		}
		idle := cmp.Or(s.front.port.Load().Idle, DefaultIdle)
		if !pause(ctx, min(sweepEvery, idle/4+1)) {
			return
		}
		some = s.look(s.front.now(), idle)
	}
}

// look ends the sessions that are over, and reports whether others are left.
func (s *sessions) look(now time.Time, idle time.Duration) (some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.flows {
		if u.over(now, idle) {
			s.drop(u)
		}
	}
	return len(s.flows) > 0
}
