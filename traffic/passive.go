package traffic

import (
	"fmt"
	"sync"
	"time"
)

const (
	// A replica is passed over after so many failures in a row, for ejection at first
	// and twice as long each time, up to longestEjection.
	failuresToEject = 5
	ejection        = 5 * time.Second
	longestEjection = time.Minute
	// Missing answers count when the client has waited for givingUp before it left, or
	// still waits after longestWait, which is beyond what most would. As many of them as
	// failures have a replica passed over that has said nothing else for mute.
	givingUp    = 3 * time.Second
	longestWait = 30 * time.Second
	mute        = 10 * time.Second
)

// passive judges a replica by the traffic that it gets anyway.
type passive struct {
	mu sync.Mutex
	// row is how many leases failed one after another, times how often it was ejected
	// without a success in between, why the last reason for that.
	row, times int
	why        string
	// misses counts the answers that did not begin since the last one that did, asked is
	// when the first of them was asked for; spoke is when it last answered anything.
	misses       int
	asked, spoke time.Time
}

// observe takes note of how a lease ended, and ejects a replica that fails again and
// again, or that cannot be dialled.
func (r *replica) observe(o outcome, now time.Time) {
	p := &r.health
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.status > 0 || !o.failed() {
		p.misses, p.spoke = 0, now
	}
	if !o.failed() {
		p.row, p.times = 0, 0
		return
	}
	if r.ejected.Load() > now.UnixNano() {
		return // it began before, or there is nobody else: either is known already
	}
	p.row++
	switch {
	case o.undialled:
		r.eject("it cannot be reached", now)
	case p.row >= failuresToEject && o.status > 0:
		r.eject(fmt.Sprintf("%d requests in a row failed, the last with status %d", p.row, o.status), now)
	case p.row >= failuresToEject:
		r.eject(fmt.Sprintf("%d requests in a row failed, the last without a whole answer", p.row), now)
	}
}

// eject has the replica passed over for a while. The caller holds the lock of health.
func (r *replica) eject(why string, now time.Time) {
	p := &r.health
	pause := min(ejection<<min(p.times, 10), longestEjection)
	p.row, p.misses, p.times, p.why = 0, 0, p.times+1, why
	r.ejected.Store(now.Add(pause).UnixNano())
}

// miss takes note of a request, asked for at a time, whose answer does not begin.
func (r *replica) miss(asked time.Time) {
	p := &r.health
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.misses++; p.misses == 1 {
		p.asked = asked
	}
}

// speaks takes note of an answer that has begun and may last.
func (r *replica) speaks(now time.Time) {
	p := &r.health
	p.mu.Lock()
	defer p.mu.Unlock()
	p.misses, p.spoke = 0, now
}

// hangs reports whether nothing has come from the replica for so long, and been missed
// so often, that it may hang.
func (p *passive) hangs(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.misses >= failuresToEject && now.Sub(p.asked) >= mute && now.Sub(p.spoke) >= mute
}

// answers reports whether the replica has answered just now.
func (p *passive) answers(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.misses < failuresToEject && now.Sub(p.spoke) < mute
}

// reason is why the replica was ejected last.
func (p *passive) reason() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

// judge ejects the replicas that hang while another one of their service answers. Where
// none does, it may be the clients that are impatient, or what the whole service waits
// for: passing one over would help nobody. The caller holds e.mu.
func (e *Edge) judge() {
	now := e.now()
	for _, r := range e.replicas {
		if !r.usable(now) || !r.health.hangs(now) || !e.peerAnswers(r, now) {
			continue
		}
		r.health.mu.Lock()
		r.eject(fmt.Sprintf("%d requests got no answer from it, and others answer", r.health.misses), now)
		r.health.mu.Unlock()
		e.log.Warn("a replica hangs and is passed over", "replica", r.name, "stack", r.stack, "container", r.identity.container)
	}
}

func (e *Edge) peerAnswers(r *replica, now time.Time) bool {
	for _, o := range e.replicas {
		if o != r && o.stack == r.stack && o.service == r.service && o.usable(now) && o.health.answers(now) {
			return true
		}
	}
	return false
}
