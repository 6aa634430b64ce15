package traffic

import (
	"errors"
	"net/netip"
)

// errDoubted is why a connection that came about is not used: whose the address was
// meanwhile is not certain.
var errDoubted = errors.New("the address was in doubt while it was dialled")

// known reports whether the replica's addresses are known to be its own.
func (r *replica) known() bool {
	if !r.confirmed.Load() {
		return false
	}
	p := r.pulse.Load()
	return p == nil || p.beats()
}

// confirm takes the replica's addresses for its own until something speaks against
// that.
func (r *replica) confirm() {
	r.pulse.Swap(nil).end()
	r.confirmed.Store(true)
}

// rely is confirm for as long as p is felt.
func (r *replica) rely(p *pulse) {
	r.pulse.Swap(p).end()
	r.doubts.Add(1)
	r.confirmed.Store(true)
}

// unknow takes the replica's addresses for unknown.
func (r *replica) unknow() {
	r.doubts.Add(1)
	r.confirmed.Store(false)
	r.pulse.Swap(nil).end()
}

// sureness is what was certain of an address at one moment, to be asked later whether it
// has been so all the time: a packet that nobody took is sent again for seconds, and may
// then be answered by whoever has the address by then.
type sureness struct {
	replica *replica
	address netip.Addr
	doubts  int64
}

// sure is that of the replica's address at this moment.
func (r *replica) sure(a netip.Addr) sureness { return sureness{r, a, r.doubts.Load()} }

// stands reports whether the address is the replica's, and has been since.
func (s sureness) stands() bool {
	if !s.replica.confirmed.Load() {
		return false
	}
	if p := s.replica.pulse.Load(); p != nil {
		return p.at(s.address)
	}
	return s.doubts == s.replica.doubts.Load()
}
