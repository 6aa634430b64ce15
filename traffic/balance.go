package traffic

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/netip"
)

// choose picks one of the usable members: one of a release that the request asks for; the
// session's replica, or of its release; by source address; else by the weights of releases, then least in flight. It is -1
// when no member may have a new session.
func (p *pool) choose(usable []member, w want) int {
	for _, release := range w.releases {
		if at := least(usable, &release); at >= 0 {
			return at
		}
	}
	if w.session != (session{}) {
		if at := p.bound(usable, w.session); at >= 0 {
			return at
		}
	}
	if p.affinity == AffinitySource && w.source.IsValid() {
		return p.rendezvous(usable, w.source)
	}
	if len(p.weights) == 0 {
		return least(usable, nil)
	}
	release, drawn := p.draw(usable)
	if !drawn {
		return -1
	}
	return least(usable, &release)
}

// bound is the member of a session, or else one of its release: a session that there
// is does not ask for the weight of its release.
func (p *pool) bound(usable []member, s session) int {
	for i, m := range usable {
		if m.replica.identity.container == s.container && m.replica.release == s.release {
			return i
		}
	}
	return least(usable, &s.release)
}

// draw picks a release by weight among those that can serve now, if there is one.
func (p *pool) draw(usable []member) (release int64, drawn bool) {
	total := 0
	for i, m := range usable {
		if first(usable, m.replica.release) == i {
			total += p.weights[m.replica.release]
		}
	}
	if total == 0 {
		return 0, false
	}
	at := rand.N(total)
	for i, m := range usable {
		if first(usable, m.replica.release) != i {
			continue
		}
		if at -= p.weights[m.replica.release]; at < 0 {
			return m.replica.release, true
		}
	}
	return 0, false
}

// first is the first member of a release.
func first(usable []member, release int64) int {
	for i, m := range usable {
		if m.replica.release == release {
			return i
		}
	}
	return -1
}

// least is the member of release, nil for any, with the fewest leases; -1 if there is
// none. Among equals it is a random one, since the first would get every request of a
// calm host.
func least(usable []member, release *int64) int {
	best, low, equals := -1, int64(0), 0
	for i, m := range usable {
		if release != nil && m.replica.release != *release {
			continue
		}
		switch n := m.replica.requests.Load() + m.replica.streams.Load(); {
		case best < 0 || n < low:
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
// clients that it had, and a weight only as many as it must: highest random weight,
// Thaler and Ravishankar 1998, with the logarithm of Schindelhauer and Schomaker 2005.
func (p *pool) rendezvous(usable []member, source netip.Addr) int {
	best, high := -1, 0.0
	address := source.Unmap().As16()
	for i, m := range usable {
		weight := 1.0
		if len(p.weights) > 0 {
			weight = float64(p.weights[m.replica.release]) / float64(size(usable, m.replica.release))
		}
		if weight == 0 {
			continue
		}
		h := fnv.New64a()
		h.Write(address[:])
		h.Write([]byte(m.replica.identity.container))
		u := (float64(mixed(h.Sum64())>>11) + 0.5) / (1 << 53) // in (0, 1)
		if v := -weight / math.Log(u); best < 0 || v > high {
			best, high = i, v
		}
	}
	return best
}

// size is how many members a release has.
func size(usable []member, release int64) int {
	n := 0
	for _, m := range usable {
		if m.replica.release == release {
			n++
		}
	}
	return n
}

// mixed spreads a hash whose high bits are poor: the finaliser of MurmurHash3.
func mixed(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
