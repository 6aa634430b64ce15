package traffic

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// keepLinks is how many idle connections are kept to one replica, and keepLinksFor
	// how long.
	keepLinks    = 1024
	keepLinksFor = 30 * time.Second
	// freshly is how long a connection may have been idle to be trusted with a request
	// that cannot be made again: servers close idle ones after seconds.
	freshly = time.Second
	// linkPatience is how long an answer is waited for before what else might have happened
	// is looked at. It is exact to within a factor of two, so as not to be set for every
	// request.
	linkPatience = time.Second
)

// errStale is why nothing was sent over a link: the replica has closed it, or has said
// something unasked.
var errStale = errors.New("the kept connection is no good any more")

// link is a connection to a replica that carries HTTP/1 requests, one after another.
type link struct {
	*net.TCPConn
	raw     syscall.RawConn
	home    *links
	address netip.AddrPort
	// told is true when it began with a PROXY header, which tells of one client only.
	told bool
	// use is what it is being used for, for whoever is to end that.
	use atomic.Int32
	// idle is since when it is, kept whether it was before this request.
	idle time.Time
	kept bool
	// until is the deadline of reads.
	until time.Time

	// attempt is step, made a value once; the rest is what it works on.
	attempt  func(uintptr) bool
	out, in  []byte
	wait     bool
	sent, n  int
	asked    bool
	received error
}

const (
	linkIdle = iota
	linkRequest
	linkStream
)

func newLink(conn *net.TCPConn, address netip.AddrPort, home *links) (*link, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err // of a connection that is closed
	}
	k := &link{TCPConn: conn, raw: raw, address: address, home: home}
	k.attempt = k.step
	home.add(k)
	return k, nil
}

// Close ends the link for good.
func (k *link) Close() error {
	k.home.remove(k)
	return k.TCPConn.Close()
}

// ask sends out. If wait is true, it then reads the beginning of what the replica
// answers into in. It makes sure that nothing has come before: neither the end of the
// connection, nor an answer to a request that was never made. An errStale has sent
// nothing.
//
// The look is a system call, and is never left out: a replica that said more than its
// answer, a body to HEAD for one, would answer another client with it.
func (k *link) ask(out, in []byte, wait bool) (n int, err error) {
	k.bound(time.Now())
	k.out, k.in, k.wait, k.asked, k.sent, k.n, k.received = out, in, wait, false, 0, 0, nil
	err = k.raw.Read(k.attempt)
	k.out, k.in = nil, nil
	switch {
	case !k.asked:
		return 0, errStale
	case err != nil:
		return 0, err
	case k.received != nil:
		return k.n, k.received
	case k.sent < len(out):
		if _, err := k.Write(out[k.sent:]); err != nil || !wait {
			return 0, err
		}
		return k.Read(in)
	}
	return k.n, nil
}

// step is the read that looks whether the link is good, the write, and the read of the
// answer, without the system calls that doing them one after another would take: when
// the first finds nothing, the write may follow at once, and the runtime wakes this up
// again once there is something to read.
func (k *link) step(fd uintptr) bool {
	if k.asked {
		n, err := quickly(syscall.SYS_READ, fd, k.in)
		switch {
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			k.received = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
		case n == 0:
			k.received = io.EOF
		}
		k.n = max(0, n)
		return true
	}
	if _, err := quickly(syscall.SYS_READ, fd, k.in[:1]); err != syscall.EAGAIN {
		return true
	}
	k.asked = true
	n, err := quickly(syscall.SYS_WRITE, fd, k.out)
	k.sent = max(0, n)
	if err != nil && err != syscall.EAGAIN {
		k.received = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", err)}
		return true
	}
	return !k.wait || k.sent < len(k.out)
}

// bound has reads end after linkPatience, or a little later.
func (k *link) bound(now time.Time) {
	if k.until.Sub(now) < linkPatience {
		k.until = now.Add(2 * linkPatience)
		k.SetReadDeadline(k.until) // of a connection that is closed, the read says so
	}
}

// links are the connections to one replica.
type links struct {
	mu   sync.Mutex
	open map[*link]struct{}
	// idle are those that are not in use, the latest last.
	idle []*link
	// sweeper closes what has been idle for long; nil while nothing is.
	sweeper *time.Timer
}

func (s *links) add(k *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*link]struct{}{}
	}
	s.open[k] = struct{}{}
}

func (s *links) remove(k *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, k)
}

// take is an idle link to address, the one last used, or nil. If it must be fresh, it
// was in use just now.
func (s *links) take(address netip.AddrPort, fresh bool) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.idle) - 1; i >= 0; i-- {
		k := s.idle[i]
		if fresh && time.Since(k.idle) > freshly {
			return nil
		}
		if k.address == address {
			copy(s.idle[i:], s.idle[i+1:])
			s.idle[len(s.idle)-1] = nil
			s.idle = s.idle[:len(s.idle)-1]
			k.kept = true
			return k
		}
	}
	return nil
}

// keep takes back a link over which all is said, unless r gets nothing new.
func (r *replica) keep(k *link) {
	s := &r.links
	k.use.Store(linkIdle)
	k.idle = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.closed.Load() || len(s.idle) >= keepLinks {
		delete(s.open, k)
		k.TCPConn.Close()
		return
	}
	s.idle = append(s.idle, k)
	if s.sweeper == nil {
		s.sweeper = time.AfterFunc(keepLinksFor, s.sweep)
	}
}

// sweep closes what has been idle for long.
func (s *links) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(time.Now().Add(-keepLinksFor))
	s.sweeper = nil
	if len(s.idle) > 0 {
		s.sweeper = time.AfterFunc(keepLinksFor, s.sweep)
	}
}

// shut closes what is idle, since nothing new is to be asked.
func (s *links) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(time.Now())
}

// drop closes what is idle since before. The caller holds the lock.
func (s *links) drop(before time.Time) {
	n := 0
	for n < len(s.idle) && !s.idle[n].idle.After(before) {
		delete(s.open, s.idle[n])
		s.idle[n].TCPConn.Close()
		s.idle[n] = nil
		n++
	}
	s.idle = append(s.idle[:0], s.idle[n:]...)
}

// cut ends what is in use, streams too or not.
func (s *links) cut(streams bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.open {
		if use := k.use.Load(); use == linkRequest || streams && use == linkStream {
			k.TCPConn.Close()
		}
	}
}
