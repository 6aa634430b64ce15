package traffic

import "net/netip"

// forwarded is what a replica is told about the client that the edge stands before:
// the values of X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.
type forwarded struct{ client, proto, host string }

// onward is what a request that came with had goes on with. What had says counts when
// the peer is trusted; everybody else is taken for the client itself, which could
// write what it likes. The peer is named by peerName, once for a connection; host is
// the host that the request is for. Fields that had lacks are "".
func (had forwarded) onward(trusted bool, peer, host string) forwarded {
	on := forwarded{client: peer, proto: "http", host: host}
	if !trusted {
		return on
	}
	if had.client != "" {
		on.client = had.client + ", " + peer
	}
	if had.proto != "" {
		on.proto = had.proto
	}
	if had.host != "" {
		on.host = had.host
	}
	return on
}

// peerName is how X-Forwarded-For names an address: IPv4 as such on a socket that
// takes both, and without the zone, which means nothing on another host.
func peerName(a netip.Addr) string { return a.Unmap().WithZone("").String() }

// hearsay reports whether a header field is one that tells about a client from beyond
// a proxy: only a trusted peer may send it, since applications believe it. An
// underscore counts as a hyphen, as it does to whoever makes variables of field names.
func hearsay[T string | []byte](name T) bool {
	const prefix = "x-forwarded-"
	switch {
	case len(name) == len("forwarded") && (spells(name, "forwarded") || spells(name, "x-real-ip")):
		return true
	default:
		return len(name) > len(prefix) && spells(name[:len(prefix)], prefix)
	}
}

// spells reports whether name is word, which has lower case letters and hyphens and
// is as long.
func spells[T string | []byte](name T, word string) bool {
	for i := range len(word) {
		c := name[i]
		switch {
		case c == '_':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
