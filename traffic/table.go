package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Table is all that the edge is to serve. It is written whole by the agent.
type Table struct {
	// Instance is the davit that wrote it.
	Instance string `json:"instance"`
	// Generation numbers the tables of one instance, upwards from 1.
	Generation int64 `json:"generation"`
	// Replaces is the instance whose table this one takes the place of; without it,
	// the table of another instance is refused.
	Replaces string `json:"replaces,omitempty"`
	Ports    []Port `json:"ports"`
}

// Port is one host port and who answers there.
type Port struct {
	Network Network `json:"network"`
	// Address is where the host listens: "0.0.0.0:80" is every IPv4 address, "[::]:80"
	// every IPv6 address and no IPv4 one.
	Address netip.AddrPort `json:"address"`
	Stack   string         `json:"stack"`
	Service string         `json:"service"`
	// Target is the container's port, for who reads the table while there is no backend;
	// the edge dials what its backends say.
	Target uint16 `json:"target,omitempty"`

	Protocol Protocol `json:"protocol"`
	Affinity Affinity `json:"affinity"`
	// Weights are the shares of releases in new sessions, by release. Without any,
	// releases do not matter; a release that is not named gets nothing.
	Weights map[int64]int `json:"weights,omitempty"`
	// Match are requests that get a release of Matched whatever the weights and sessions
	// say, as long as it has a replica that may be chosen.
	Match   []Match `json:"match,omitempty"`
	Matched []int64 `json:"matched,omitempty"`
	// Trusted are the peers whose X-Forwarded-* and PROXY headers are believed.
	Trusted []netip.Prefix `json:"trusted,omitempty"`
	// AcceptProxy requires a PROXY header of trusted peers; SendProxy is the version
	// of the one sent to replicas, 0 for none.
	AcceptProxy bool `json:"accept_proxy,omitempty"`
	SendProxy   int  `json:"send_proxy,omitempty"`
	// Park is how long a new request or connection waits for a replica while there is
	// none; 0 means DefaultPark.
	Park time.Duration `json:"park,omitempty"`
	// Idle is how long a UDP session lives without a datagram, and an HTTP connection
	// without a request; 0 means DefaultIdle.
	Idle time.Duration `json:"idle,omitempty"`
	// MaxConnections bounds the open connections, or UDP sessions, of this port; 0
	// means DefaultMaxConnections.
	MaxConnections int       `json:"max_connections,omitempty"`
	Backends       []Backend `json:"backends"`
}

const (
	// DefaultPark bridges the restart of a container, and ends before clients give up.
	DefaultPark           = 10 * time.Second
	DefaultIdle           = 60 * time.Second
	DefaultMaxConnections = 10_000
	// DefaultDrain and DefaultStreams bound what is left of a replica, or a port, that
	// is not in the table any more and was not draining before.
	DefaultDrain   = 30 * time.Second
	DefaultStreams = 5 * time.Minute
)

// Backend is one replica's end of a port.
type Backend struct {
	// Container is the container's ID and Started when it was started, which together
	// say whose address this is.
	Container string    `json:"container"`
	Started   time.Time `json:"started"`
	// Address is the container's address and port.
	Address netip.AddrPort `json:"address"`
	// Seen is when its writer began to look at the engine for this: that container and
	// address belong together is believed as of then. The zero time confirms nothing.
	Seen time.Time `json:"seen,omitzero"`
	// Process is the number of a process of the container's, on the host; 0 where that is
	// not known. By it the edge tells that the container lives while no engine answers.
	Process int `json:"process,omitempty"`
	// Replica is its name for people, "web/3"; Release the release that made it.
	Replica string `json:"replica"`
	Release int64  `json:"release"`
	// Drain is set once the replica is to get nothing new.
	Drain *Drain `json:"drain,omitempty"`
}

// Drain bounds what a replica that gets nothing new still has to do.
type Drain struct {
	Since time.Time `json:"since"`
	// Timeout is when requests in flight are cut off and TCP connections on which
	// nothing moves are closed, Streams when everything else is; both count from Since.
	Timeout time.Duration `json:"timeout"`
	Streams time.Duration `json:"streams"`
}

// Key names the port on this host: "tcp 0.0.0.0:80".
func (p Port) Key() string { return p.Network.String() + " " + p.Address.String() }

// Validate reports everything that is wrong with the table.
func (t Table) Validate() error {
	var mistakes []error
	if t.Generation < 1 {
		mistakes = append(mistakes, fmt.Errorf("generation %d is not positive", t.Generation))
	}
	if t.Instance == "" {
		mistakes = append(mistakes, errors.New("no instance"))
	}
	seen := map[string]bool{}
	for _, p := range t.Ports {
		if seen[p.Key()] {
			mistakes = append(mistakes, fmt.Errorf("port %s is there twice", p.Key()))
		}
		seen[p.Key()] = true
		if err := p.validate(); err != nil {
			mistakes = append(mistakes, fmt.Errorf("port %s: %w", p.Key(), err))
		}
	}
	return errors.Join(append(mistakes, t.contradictions()...)...)
}

// contradictions are the containers of which two ports say different things: what is
// not a matter of the port.
func (t Table) contradictions() []error {
	var mistakes []error
	first := map[string]Backend{}
	for _, p := range t.Ports {
		for _, b := range p.Backends {
			switch f, known := first[b.Container]; {
			case !known:
				first[b.Container] = b
			case !f.Started.Equal(b.Started) || f.Release != b.Release || f.Replica != b.Replica:
				mistakes = append(mistakes, fmt.Errorf("container %s is two different replicas, of port %s", b.Container, p.Key()))
			case !f.Drain.same(b.Drain):
				mistakes = append(mistakes, fmt.Errorf("container %s drains at one port and not alike at port %s", b.Container, p.Key()))
			}
		}
	}
	return mistakes
}

// same reports whether both are the same drain, or none.
func (d *Drain) same(o *Drain) bool {
	if d == nil || o == nil {
		return d == o
	}
	return d.Since.Equal(o.Since) && d.Timeout == o.Timeout && d.Streams == o.Streams
}

func (p Port) validate() error {
	switch {
	case !p.Address.IsValid() || p.Address.Port() == 0:
		return errors.New("no address to listen on")
	case p.Address.Addr().Is4In6():
		return errors.New("an IPv4 address is written as an IPv6 one")
	case p.Network == UDP && p.Protocol != ProtocolAuto:
		return fmt.Errorf("protocol %s is not one of UDP", p.Protocol)
	case p.SendProxy < 0 || p.SendProxy > 2:
		return fmt.Errorf("there is no version %d of the PROXY protocol", p.SendProxy)
	case p.Network == UDP && (p.AcceptProxy || p.SendProxy != 0):
		return errors.New("the PROXY protocol is for TCP")
	case p.Park < 0 || p.Idle < 0 || p.MaxConnections < 0:
		return errors.New("a limit is negative")
	}
	for _, m := range p.Match {
		if (m.Header == "") == (m.Cookie == "") {
			return errors.New("a match is by header or by cookie")
		}
	}
	for release, weight := range p.Weights {
		if weight < 0 {
			return fmt.Errorf("the weight of release #%d is negative", release)
		}
	}
	for i, b := range p.Backends {
		switch {
		case b.Container == "" || b.Started.IsZero():
			return fmt.Errorf("backend %s has no identity", b.Replica)
		case !b.Address.IsValid() || b.Address.Port() == 0:
			return fmt.Errorf("backend %s has no address", b.Replica)
		case slices.ContainsFunc(p.Backends[:i], func(o Backend) bool { return o.Container == b.Container }):
			return fmt.Errorf("container %s is there twice", b.Container)
		}
	}
	return nil
}
