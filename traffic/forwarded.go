package traffic

import (
	"net/http"
	"net/netip"

	"davit/traffic/http1"
)

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

// strip takes out of the fields of a request what a replica must not be told: what looks
// like a field that matters to whoever makes variables of the names, and, of a peer that
// is not trusted, what tells about a client from beyond a proxy.
func strip(fields http.Header, trusted bool) {
	for name := range fields {
		switch http1.Named([]byte(name)) {
		case http1.Disguised:
			delete(fields, name)
		case http1.ForwardedFor, http1.ForwardedHost, http1.ForwardedProto, http1.Forwarded:
			if !trusted {
				delete(fields, name)
			}
		}
	}
}
