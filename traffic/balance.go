package traffic

import (
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// choose picks one of the usable members: the session's replica, or of its release;
// by source address; else by the weights of releases, then least in flight.
func (p *pool) choose(usable []member, w want) int {
	if w.session.release != 0 {
		if at := slices.IndexFunc(usable, func(m member) bool { return m.replica.identity.container == w.session.container }); at >= 0 {
			return at
		}
		if slices.ContainsFunc(usable, func(m member) bool { return m.replica.release == w.session.release }) {
			return least(usable, func(r *replica) bool { return r.release == w.session.release })
		}
	}
	if p.affinity == AffinitySource && w.source.IsValid() {
		return rendezvous(usable, w.source)
	}
	if release, weighed := p.draw(usable); weighed {
		return least(usable, func(r *replica) bool { return r.release == release })
	}
	return least(usable, func(*replica) bool { return true })
}

// draw picks a release by weight among those that can serve now.
func (p *pool) draw(usable []member) (release int64, weighed bool) {
	total := 0
	var releases []int64
	for _, m := range usable {
		if w := p.weights[m.replica.release]; w > 0 && !slices.Contains(releases, m.replica.release) {
			releases = append(releases, m.replica.release)
			total += w
		}
	}
	if total == 0 {
		return 0, false
	}
	at := rand.N(total)
	for _, r := range releases {
		if at -= p.weights[r]; at < 0 {
			return r, true
		}
	}
	return 0, false
}

// least is the eligible member with the fewest leases. Among equals it is a random
// one, since the first would get every request of a calm host.
func least(usable []member, eligible func(*replica) bool) int {
	best, low, equals := 0, int64(-1), 0
	for i, m := range usable {
		if !eligible(m.replica) {
			continue
		}
		switch n := m.replica.requests.Load() + m.replica.streams.Load(); {
		case low < 0 || n < low:
			best, low, equals = i, n, 1
		case n == low:
			if equals++; rand.N(equals) == 0 {
				best = i
			}
		}
	}
	return best
}

// rendezvous maps an address to a member so that the loss of one moves only those
// clients that it had: highest random weight, Thaler and Ravishankar 1998.
func rendezvous(usable []member, source netip.Addr) int {
	best, high := 0, uint64(0)
	address := source.Unmap().As16()
	for i, m := range usable {
		h := fnv.New64a()
		h.Write(address[:])
		h.Write([]byte(m.replica.identity.container))
		if v := mixed(h.Sum64()); i == 0 || v > high {
			best, high = i, v
		}
	}
	return best
}

// mixed spreads a hash whose high bits are poor: the finaliser of MurmurHash3.
func mixed(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
