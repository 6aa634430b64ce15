package traffic

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// identity tells a container from another one that was given its address later.
type identity struct {
	container string
	started   int64 // Unix nanoseconds
}

func (b Backend) identity() identity { return identity{b.Container, b.Started.UnixNano()} }

// replica is one container, over all the ports at which it answers. It outlives
// tables for as long as one of them names it, or it has leases left.
type replica struct {
	identity             identity
	stack, service, name string
	release              int64

	// requests and streams are the leases that have not ended. They are apart because
	// a request ends by itself soon and a stream need not.
	requests, streams atomic.Int64
	// closed is true while nothing new may begin: draining, or gone from the table.
	closed atomic.Bool
	// confirmed is true while its addresses are known to be its own; if pulse is there, for
	// as long only as that is felt. doubts counts when they were not known to be.
	confirmed atomic.Bool
	pulse     atomic.Pointer[pulse]
	doubts    atomic.Int64
	// ejected is until when it is passed over, in Unix nanoseconds, and health what
	// decides on that.
	ejected atomic.Int64
	health  passive
	signals signals
	// links are the connections that HTTP/1 requests go over.
	links links
	// addresses are what the table says it has, nil once the table does not name it;
	// process is one of its processes, 0 if none is known, and doubted since when it has
	// not been confirmed. An Edge guards them.
	addresses []netip.Addr
	process   int
	doubted   time.Time

	mu sync.Mutex
	// drains counts the times that it began to drain, so that the limits of one do not
	// cut what was begun after it was reopened; limits are theirs.
	drains  int
	drained *Drain
	limits  []*time.Timer
	// draining is closed when nothing new begins; cutRequests and cutStreams when what
	// is left is to end at once.
	draining, cutRequests, cutStreams chan struct{}
}

func newReplica(p Port, b Backend) *replica {
	return &replica{
		identity: b.identity(), stack: p.Stack, service: p.Service, name: b.Replica, release: b.Release,
		draining: make(chan struct{}), cutRequests: make(chan struct{}), cutStreams: make(chan struct{}),
	}
}

// at are the addresses of a replica, none if it is nil.
func (r *replica) at() []netip.Addr {
	if r == nil {
		return nil
	}
	return r.addresses
}

// usable reports whether something new may begin at now.
func (r *replica) usable(now time.Time) bool {
	return r.known() && !r.closed.Load() && r.ejected.Load() <= now.UnixNano()
}

// begin counts a lease, unless nothing new may begin any more. Counting comes
// before looking: whoever has set closed and then read a count of zero knows that
// nothing begins after it.
func (r *replica) begin(counter *atomic.Int64) bool {
	counter.Add(1)
	if r.closed.Load() || !r.known() {
		counter.Add(-1)
		return false
	}
	return true
}

// shut ends the beginning of anything new.
func (r *replica) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed.Store(true)
	closeOnce(r.draining)
	r.links.shut()
}

// drain is shut, and cuts what is left by the limits of d. Another drain replaces
// the limits that have not passed.
func (r *replica) drain(d Drain, now time.Time) {
	r.shut()
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.same(r.drained) {
		return
	}
	r.stop()
	r.drained = &d
	r.drains++
	this := r.drains
	// A Since of the future is that of a clock which was set back.
	passed := max(0, now.Sub(d.Since))
	r.limits = []*time.Timer{
		time.AfterFunc(d.Timeout-passed, func() { r.cut(this, false) }),
		time.AfterFunc(max(d.Timeout, d.Streams)-passed, func() { r.cut(this, true) }),
	}
}

// rest forgets the limits of a drain: there is nobody left for them.
func (r *replica) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
}

// stop is rest for who holds the lock.
func (r *replica) stop() {
	for _, t := range r.limits {
		t.Stop()
	}
	r.limits, r.drained = nil, nil
}

// reopen lets a replica that was draining serve again: a release was taken back.
func (r *replica) reopen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
	r.drains++
	r.draining = renewed(r.draining)
	r.cutRequests, r.cutStreams = renewed(r.cutRequests), renewed(r.cutStreams)
	r.closed.Store(false)
}

// cut ends what is left of a drain: the requests, or everything.
func (r *replica) cut(drain int, streams bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if drain != r.drains {
		return // its limit passed while it was reopened
	}
	closeOnce(r.cutRequests)
	if streams {
		closeOnce(r.cutStreams)
	}
	r.links.cut(streams)
}

// underway counts what has not ended. A request that becomes a stream is counted
// twice for a moment, and never not at all: requests are read first.
func (r *replica) underway() (requests, streams int64) {
	requests = r.requests.Load()
	return requests, r.streams.Load()
}

// endings are the channels that hold for a lease that begins now.
func (r *replica) endings() (draining, cutRequests, cutStreams <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draining, r.cutRequests, r.cutStreams
}

// closeOnce closes c unless it is closed. The caller holds the lock.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// renewed is c, or a new channel in the place of a closed one.
func renewed(c chan struct{}) chan struct{} {
	select {
	case <-c:
		return make(chan struct{})
	default:
		return c
	}
}
