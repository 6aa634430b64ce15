package traffic

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// errNobody is why a claim ended without a replica: none was usable for as long as
// the port parks.
var errNobody = errors.New("no replica is ready")

// want is what a claim asks for.
type want struct {
	kind leaseKind
	// source is the client's address, for affinity.
	source netip.Addr
	// session ties the claim to a release and, if it still serves, to a replica.
	session session
	// releases are those that it is for, whatever else is said, if one of them serves.
	releases []int64
	// avoid are replicas that were tried already.
	avoid []*replica
}

// session is what an affinity cookie says; the zero value says nothing.
type session struct {
	release   int64
	container string
}

// member is a replica's place in a pool.
type member struct {
	replica *replica
	address netip.AddrPort
}

// pool is the choice among the replicas behind one port.
type pool struct {
	now func() time.Time

	mu       sync.Mutex
	affinity Affinity
	weights  map[int64]int
	park     time.Duration
	members  []member
	// dry is since when claims find nobody, the zero time while there is somebody; waiting
	// counts those that wait for that to end.
	dry     time.Time
	waiting int64
	// changed is closed, and made anew, whenever a claim that found nobody may find
	// somebody.
	changed chan struct{}
}

// claim leases a usable replica, waiting for one while there is none. Its error is
// errNobody or that of ctx.
func (p *pool) claim(ctx context.Context, w want) (*lease, error) {
	var timeout <-chan time.Time
	for {
		l, changed, park := p.try(w)
		switch {
		case l != nil:
			return l, nil
		case len(w.avoid) > 0:
			return nil, errNobody // this is a second choice: there is no other
		case timeout == nil:
			defer p.wait()()
			timer := time.NewTimer(park)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			return nil, errNobody
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// manyMembers is how many replicas are chosen among without memory of the heap.
const manyMembers = 8

// try leases the best usable replica, if there is one. Otherwise it returns what to
// wait for, and how long in all.
func (p *pool) try(w want) (l *lease, changed <-chan struct{}, park time.Duration) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var good, ejected [manyMembers]member
	usable := p.usable(good[:0], ejected[:0], now, w.avoid)
	for {
		at := p.choose(usable, w)
		if at < 0 {
			p.note(len(w.avoid) == 0, now)
			return nil, p.changed, p.park
		}
		if l := usable[at].lease(w.kind, now); l != nil {
			p.dry = time.Time{}
			return l, nil, 0
		}
		usable = slices.Delete(usable, at, at+1) // it was closed at this moment
	}
}

// usable appends to good the members that may be chosen. Ejection never leaves
// nobody: a replica that answers badly is better than none.
func (p *pool) usable(good, ejected []member, now time.Time, avoid []*replica) []member {
	for _, m := range p.members {
		r := m.replica
		switch {
		case r.closed.Load() || !r.known() || slices.Contains(avoid, r):
		case r.usable(now):
			good = append(good, m)
		default:
			ejected = append(ejected, m)
		}
	}
	if len(good) == 0 {
		return ejected
	}
	return good
}

func (m member) lease(kind leaseKind, now time.Time) *lease {
	counter := &m.replica.requests
	if kind == leaseStream {
		counter = &m.replica.streams
	}
	// The endings are read first: one that is closed between the two counts.
	draining, requests, streams := m.replica.endings()
	if !m.replica.begin(counter) {
		return nil
	}
	return &lease{replica: m.replica, address: m.address, begun: now, kind: kind,
		draining: draining, cutRequests: requests, cutStreams: streams}
}

func newPool(now func() time.Time) *pool {
	return &pool{now: now, park: DefaultPark, changed: make(chan struct{})}
}

// set makes the pool choose as port says, among members.
func (p *pool) set(port Port, members []member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.affinity, p.weights, p.park, p.members = port.Affinity, port.Weights, cmp.Or(port.Park, DefaultPark), members
	p.wake()
}

// again wakes the claims that wait: a replica was confirmed or reopened.
func (p *pool) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake()
}

// wake is again for who holds the lock.
func (p *pool) wake() {
	var good, ejected [manyMembers]member
	if p.choose(p.usable(good[:0], ejected[:0], p.now(), nil), want{}) >= 0 {
		p.dry = time.Time{}
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// note remembers since when there is nobody for a claim, if that is its first choice.
// The caller holds the lock.
func (p *pool) note(first bool, now time.Time) {
	if first && p.dry.IsZero() {
		p.dry = now
	}
}

// wait counts a claim that waits, until what it returns is called.
func (p *pool) wait() (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting--
	}
}

// parked says since when nobody was found for claims, the zero time while somebody is,
// and how many wait.
func (p *pool) parked() (since time.Time, waiting int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dry, p.waiting
}
