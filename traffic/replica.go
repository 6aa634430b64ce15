package traffic

import (
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
	identity identity
	name     string
	release  int64

	// requests and streams are the leases that have not ended. They are apart because
	// a request ends by itself soon and a stream need not.
	requests, streams atomic.Int64
	// closed is true while nothing new may begin: draining, or gone from the table.
	closed atomic.Bool
	// confirmed is true while its addresses are known to be its own.
	confirmed atomic.Bool
	// ejected is until when it is passed over, in Unix nanoseconds, and health what
	// decides on that.
	ejected atomic.Int64
	health  passive
	signals signals

	mu sync.Mutex
	// draining is closed when nothing new begins; cutRequests and cutStreams when what
	// is left is to end at once.
	draining, cutRequests, cutStreams chan struct{}
}

func newReplica(b Backend) *replica {
	return &replica{
		identity: b.identity(), name: b.Replica, release: b.Release,
		draining: make(chan struct{}), cutRequests: make(chan struct{}), cutStreams: make(chan struct{}),
	}
}

// usable reports whether something new may begin at now.
func (r *replica) usable(now time.Time) bool {
	return r.confirmed.Load() && !r.closed.Load() && r.ejected.Load() <= now.UnixNano()
}

// begin counts a lease, unless nothing new may begin any more. Counting comes
// before looking: whoever has set closed and then read a count of zero knows that
// nothing begins after it.
func (r *replica) begin(counter *atomic.Int64) bool {
	counter.Add(1)
	if r.closed.Load() || !r.confirmed.Load() {
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
}

// reopen lets a replica that was draining serve again: a release was taken back.
func (r *replica) reopen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = renewed(r.draining)
	r.cutRequests, r.cutStreams = renewed(r.cutRequests), renewed(r.cutStreams)
	r.closed.Store(false)
}

// cut ends what is left: the requests, or everything.
func (r *replica) cut(streams bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	closeOnce(r.cutRequests)
	if streams {
		closeOnce(r.cutStreams)
	}
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
