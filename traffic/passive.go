package traffic

import (
	"sync"
	"time"
)

const (
	// A replica is passed over after so many failures in a row, for ejection at first
	// and twice as long each time, up to longestEjection.
	failuresToEject = 5
	ejection        = 5 * time.Second
	longestEjection = time.Minute
)

// passive judges a replica by the traffic that it gets anyway.
type passive struct {
	mu sync.Mutex
	// row is how many leases failed one after another, times how often it was ejected
	// without a success in between.
	row, times int
}

// observe takes note of how a lease ended, and ejects a replica that fails again and
// again, or that cannot be dialled.
func (r *replica) observe(o outcome, now time.Time) {
	p := &r.health
	p.mu.Lock()
	defer p.mu.Unlock()
	if !o.failed() {
		p.row, p.times = 0, 0
		return
	}
	if r.ejected.Load() > now.UnixNano() {
		return // it began before, or there is nobody else: either is known already
	}
	p.row++
	if !o.undialled && p.row < failuresToEject {
		return
	}
	pause := min(ejection<<min(p.times, 10), longestEjection)
	p.row, p.times = 0, p.times+1
	r.ejected.Store(now.Add(pause).UnixNano())
}
