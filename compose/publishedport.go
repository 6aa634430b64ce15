package compose

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// PublishedPort is a fixed host port of a service, and what x-davit.ports says of
// it. Host ports that the engine may choose, from a range or freely, are not among
// them. A port of the container that a load balancer serves has no host port: where
// clients find that one is its own affair.
type PublishedPort struct {
	// Network is "tcp" or "udp".
	Network string
	// HostIP is the host's address; the zero value is all of them.
	HostIP netip.Addr
	// Host and Target are the port of the host, 0 with a balancer, and of the container.
	Host, Target uint16
	PortSettings
}

// Container names the container's end of the port: "8080/tcp".
func (p PublishedPort) Container() string { return fmt.Sprintf("%d/%s", p.Target, p.Network) }

// PortSettings is what x-davit.ports says of one port.
type PortSettings struct {
	Via Via
	// Balancer is the load balancer of the host's own that serves the port, with
	// ViaBalancer.
	Balancer string
	// Speaks is how a TCP port is understood at the edge.
	Speaks   PortProtocol
	Affinity Affinity
	// Trusted are the peers whose X-Forwarded-* and PROXY headers are believed.
	Trusted []netip.Prefix
	// AcceptProxy requires a PROXY header of trusted peers; SendProxy is the version
	// of the one that containers get, 0 for none.
	AcceptProxy bool
	SendProxy   int
	// Park is how long something new waits for a container while there is none, Idle
	// how long a UDP session or an HTTP connection lasts without traffic; 0 is the
	// edge's default.
	Park, Idle time.Duration
	// MaxConnections bounds what clients have open at once; 0 is the edge's default.
	MaxConnections int
}

// Via says who owns a host port.
type Via int

const (
	// ViaAuto gives the ports of start-first services to the edge.
	ViaAuto Via = iota
	ViaEdge
	ViaDocker
	// ViaBalancer leaves the port to a load balancer that the host's configuration names.
	ViaBalancer
)

func (v Via) String() string { return [...]string{"auto", "edge", "docker", "balancer"}[v] }

// PortProtocol is how the edge understands a TCP port.
type PortProtocol int

const (
	// PortAuto looks at what a client sends first.
	PortAuto PortProtocol = iota
	PortHTTP
	PortTCP
)

func (p PortProtocol) String() string { return [...]string{"auto", "http", "tcp"}[p] }

// Affinity is what ties a client to a container.
type Affinity int

const (
	AffinityNone Affinity = iota
	// AffinityCookie ties an HTTP client to a release by a signed cookie.
	AffinityCookie
	// AffinitySource ties a source address to a container.
	AffinitySource
)

func (a Affinity) String() string { return [...]string{"none", "cookie", "source"}[a] }

// Drain bounds what a container that gets nothing new still has to do.
type Drain struct {
	// Timeout is for requests in flight, Streams for what has no end of its own.
	// Default 30 s and 5 minutes.
	Timeout, Streams time.Duration
}

// DefaultDrain is that of a service that says nothing.
func DefaultDrain() Drain { return Drain{Timeout: 30 * time.Second, Streams: 5 * time.Minute} }

// drain is what the block says, defaults filled in.
func (b serviceBlock) drain() Drain {
	d := DefaultDrain()
	set(&d.Timeout, b.drainTimeout)
	set(&d.Streams, b.drainStreams)
	return d
}

// Longest is when nothing is left, whatever clients do.
func (d Drain) Longest() time.Duration { return max(d.Timeout, d.Streams) }

// portBlocks is x-davit.ports as written, by the container's port: "8080" or
// "53/udp".
type portBlocks map[string]portBlock

// portBlock is what is written about one port; nil is silence.
type portBlock struct {
	PortSettings
	speaks *PortProtocol
}

// portSettings accepts the mapping from ports to what is said of them.
func portSettings(into *portBlocks) setter {
	return func(v any) []keyError {
		block, ok := v.(map[string]any)
		if !ok {
			return wrong("must be a mapping from the container's ports to what is said of them")
		}
		var errs []keyError
		*into = portBlocks{}
		for _, key := range slices.Sorted(maps.Keys(block)) {
			if _, _, err := portKey(key); err != nil {
				errs = append(errs, keyError{key, err})
				continue
			}
			b, wrongs := decodePortBlock(block[key])
			for _, e := range wrongs {
				errs = append(errs, keyError{join(key, e.key), e.err})
			}
			(*into)[key] = b
		}
		return errs
	}
}

// portKey reads "8080", "8080/tcp" or "53/udp".
func portKey(key string) (target uint16, network string, err error) {
	number, network, named := strings.Cut(key, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || named && network != "tcp" && network != "udp" {
		return 0, "", fmt.Errorf("%q is no port of a container: write 8080, 8080/tcp or 53/udp", key)
	}
	return uint16(n), network, nil
}

func decodePortBlock(value any) (portBlock, []keyError) {
	var b portBlock
	errs := decodeBlock(value, nil, map[string]setter{
		"via":      via(&b.PortSettings),
		"protocol": optional(&b.speaks, func(p *PortProtocol) setter { return word(p, []PortProtocol{PortAuto, PortHTTP, PortTCP}) }),
		"affinity": word(&b.Affinity, []Affinity{AffinityNone, AffinityCookie, AffinitySource}),
		"trusted":  prefixes(&b.Trusted),
		"proxy": func(v any) []keyError {
			return decodeBlock(v, nil, map[string]setter{"accept": truth(&b.AcceptProxy), "send": proxyVersion(&b.SendProxy)})
		},
		"park":            duration(&b.Park, 0),
		"idle":            duration(&b.Idle, 0),
		"max_connections": count(&b.MaxConnections),
	})
	if b.AcceptProxy && len(b.Trusted) == 0 {
		errs = append(errs, keyError{"proxy.accept", errors.New("needs trusted: a PROXY header of just anybody is not believed")})
	}
	return b, errs
}

// BalancerName is how a host's configuration may name a load balancer.
var BalancerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// via accepts the words, and the name of a load balancer.
func via(into *PortSettings) setter {
	return func(v any) []keyError {
		for _, owner := range []Via{ViaAuto, ViaEdge, ViaDocker} {
			if owner.String() == v {
				into.Via = owner
				return nil
			}
		}
		name, ok := v.(string)
		if !ok || !BalancerName.MatchString(name) {
			return wrong("must be auto, edge, docker, or a load balancer that the host's configuration names, not %q", fmt.Sprint(v))
		}
		into.Via, into.Balancer = ViaBalancer, name
		return nil
	}
}

// prefixes accepts addresses and networks.
func prefixes(into *[]netip.Prefix) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok {
			return wrong("must be a list of addresses and networks such as 10.0.0.0/8")
		}
		var errs []keyError
		for i, entry := range list {
			text := fmt.Sprint(entry)
			p, err := netip.ParsePrefix(text)
			if a, single := netip.ParseAddr(text); err != nil && single == nil && a.Zone() == "" {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			if err != nil {
				errs = append(errs, keyError{fmt.Sprintf("[%d]", i), fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)})
				continue
			}
			*into = append(*into, p.Masked())
		}
		return errs
	}
}

func proxyVersion(into *int) setter {
	return func(v any) []keyError {
		switch v {
		case "v1":
			*into = 1
		case "v2":
			*into = 2
		default:
			return wrong("must be v1 or v2, not %q", fmt.Sprint(v))
		}
		return nil
	}
}

func count(into *int) setter {
	return func(v any) []keyError {
		n, err := strconv.Atoi(fmt.Sprint(v))
		if err != nil || n < 1 || n > 1_000_000 {
			return wrong("must be a number from 1 to 1000000, not %q", fmt.Sprint(v))
		}
		*into = n
		return nil
	}
}

// publishedPorts are the fixed host ports of a service, with what blocks say of
// them, and the ports that load balancers serve. What else blocks say of a port that is
// not published is a mistake.
func publishedPorts(c types.ServiceConfig, blocks portBlocks) ([]PublishedPort, []keyError) {
	out, errs := balancedPorts(blocks)
	used := map[string]bool{}
	for _, declared := range c.Ports {
		p, ok := FixedPort(declared)
		if !ok {
			continue
		}
		b, key := blocks.of(p)
		used[key] = true
		if b.Via == ViaBalancer && p.Network == "tcp" {
			continue // the balancer has it in place of the host
		}
		p.PortSettings = b.PortSettings
		p.Speaks = spoken(declared.AppProtocol)
		set(&p.Speaks, b.speaks)
		for _, err := range p.contradictions() {
			errs = append(errs, keyError{extension + ".ports." + key, err})
		}
		var err error
		if out, err = withPort(out, p); err != nil {
			errs = append(errs, keyError{"ports", err})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(blocks)) {
		if !used[key] && blocks[key].Via != ViaBalancer {
			errs = append(errs, keyError{extension + ".ports." + key, errors.New("the service publishes no such port of its container at a fixed host port")})
		}
	}
	return out, errs
}

// balancedPorts are the container's ports that load balancers serve, whether or not
// they are published besides.
func balancedPorts(blocks portBlocks) (out []PublishedPort, errs []keyError) {
	for _, key := range slices.Sorted(maps.Keys(blocks)) {
		b := blocks[key]
		if b.Via != ViaBalancer {
			continue
		}
		p := PublishedPort{PortSettings: b.PortSettings}
		p.Target, p.Network, _ = portKey(key) // it was read before
		p.Network = cmp.Or(p.Network, "tcp")
		set(&p.Speaks, b.speaks)
		for _, err := range p.contradictions() {
			errs = append(errs, keyError{extension + ".ports." + key, err})
		}
		if slices.ContainsFunc(out, func(o PublishedPort) bool { return o.Container() == p.Container() }) {
			errs = append(errs, keyError{extension + ".ports." + key, errors.New("is there twice")})
			continue
		}
		out = append(out, p)
	}
	return out, errs
}

// of is what is said of p, and where: under the port alone, or with its network.
func (blocks portBlocks) of(p PublishedPort) (b portBlock, key string) {
	for _, key := range []string{p.Container(), strconv.Itoa(int(p.Target))} {
		if b, ok := blocks[key]; ok {
			return b, key
		}
	}
	return portBlock{}, ""
}

// FixedPort is a declared port that has one host port only, without what x-davit says
// of it.
func FixedPort(declared types.ServicePortConfig) (p PublishedPort, ok bool) {
	host, err := strconv.ParseUint(declared.Published, 10, 16)
	if err != nil || host == 0 || declared.Target == 0 || declared.Target > 65535 {
		return p, false
	}
	p = PublishedPort{Network: declared.Protocol, Host: uint16(host), Target: uint16(declared.Target)}
	if p.Network == "" {
		p.Network = "tcp"
	}
	if a, err := netip.ParseAddr(strings.Trim(declared.HostIP, "[]")); err == nil {
		p.HostIP = a.Unmap()
	}
	return p, p.Network == "tcp" || p.Network == "udp"
}

// spoken is what Compose's app_protocol says.
func spoken(app string) PortProtocol {
	switch strings.ToLower(app) {
	case "http", "http2", "h2c", "grpc", "ws", "kubernetes.io/h2c", "kubernetes.io/ws":
		return PortHTTP
	case "tcp":
		return PortTCP
	}
	return PortAuto
}

func (p PublishedPort) contradictions() []error {
	var errs []error
	say := func(wrong bool, text string) {
		if wrong {
			errs = append(errs, errors.New(text))
		}
	}
	udp := p.Network == "udp"
	say(udp && p.Speaks != PortAuto, "protocol "+p.Speaks.String()+" is not one of a UDP port")
	say(udp && p.Affinity == AffinityCookie, "a UDP port has no cookies: affinity is none or source")
	say(p.Speaks == PortTCP && p.Affinity == AffinityCookie, "a port with protocol tcp has no cookies: affinity is none or source")
	say(udp && (p.AcceptProxy || p.SendProxy != 0), "the PROXY protocol is for TCP ports")
	say(udp && p.Via == ViaBalancer, "load balancers serve TCP ports only")
	say(p.Via == ViaBalancer && (p.foreign().edgeOnly() || p.Speaks != PortAuto), "of a port that is via a load balancer only affinity: source can be said; the rest is for its own configuration")
	say(p.Via == ViaDocker && p.edgeOnly(), "what else is said of it is for the edge, and it is via: docker")
	return errs
}

// foreign is s without what a load balancer can be told.
func (s PortSettings) foreign() PortSettings {
	if s.Affinity == AffinitySource {
		s.Affinity = AffinityNone
	}
	return s
}

// edgeOnly reports whether anything is said that only the edge can do.
func (s PortSettings) edgeOnly() bool {
	return s.Affinity != AffinityNone || len(s.Trusted) > 0 || s.AcceptProxy || s.SendProxy != 0 || s.Park != 0 || s.Idle != 0 || s.MaxConnections != 0
}
