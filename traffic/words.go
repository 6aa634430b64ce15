package traffic

import (
	"fmt"
	"slices"
)

// Network is what a port speaks below its protocol.
type Network int

const (
	TCP Network = iota
	UDP
)

var networks = []string{"tcp", "udp"}

func (n Network) String() string                { return networks[n] }
func (n Network) MarshalText() ([]byte, error)  { return []byte(n.String()), nil }
func (n *Network) UnmarshalText(t []byte) error { return parse(n, "network", networks, t) }

// Protocol is how a TCP port is understood.
type Protocol int

const (
	// ProtocolAuto looks at a client's first bytes: HTTP/1 and h2c are recognised, TLS
	// and everything else is passed on, and a server that speaks first is not kept
	// waiting.
	ProtocolAuto Protocol = iota
	ProtocolHTTP
	ProtocolTCP
)

var protocols = []string{"auto", "http", "tcp"}

func (p Protocol) String() string                { return protocols[p] }
func (p Protocol) MarshalText() ([]byte, error)  { return []byte(p.String()), nil }
func (p *Protocol) UnmarshalText(t []byte) error { return parse(p, "protocol", protocols, t) }

// Affinity is what ties a client to a replica.
type Affinity int

const (
	AffinityNone Affinity = iota
	// AffinityCookie ties an HTTP client to a release, by a signed cookie, and within
	// it to a replica for as long as that serves.
	AffinityCookie
	// AffinitySource ties a source address to a replica.
	AffinitySource
)

var affinities = []string{"none", "cookie", "source"}

func (a Affinity) String() string                { return affinities[a] }
func (a Affinity) MarshalText() ([]byte, error)  { return []byte(a.String()), nil }
func (a *Affinity) UnmarshalText(t []byte) error { return parse(a, "affinity", affinities, t) }

func parse[E ~int](into *E, what string, words []string, text []byte) error {
	at := slices.Index(words, string(text))
	if at < 0 {
		return fmt.Errorf("%q is no %s; there are %v", text, what, words)
	}
	*into = E(at)
	return nil
}
