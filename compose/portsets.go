package compose

import (
	"fmt"
	"net/netip"
	"slices"
)

// withPort is ports with p, each at an address of the host where none of the others is:
// what is published to one port of the container by way of two addresses that are, or
// have in them, the same one is there once. One port of the host cannot lead to two.
func withPort(ports []PublishedPort, p PublishedPort) ([]PublishedPort, error) {
	for i, o := range ports {
		at, both := widest(o.HostIP, p.HostIP)
		switch {
		case o.Balancer != "" || o.Host != p.Host || o.Network != p.Network:
		case o.Target == p.Target && (both || overlap(o.HostIP, p.HostIP)):
			p.HostIP = at
			return withPort(slices.Delete(slices.Clone(ports), i, i+1), p)
		case overlap(o.HostIP, p.HostIP):
			return ports, fmt.Errorf("host port %d cannot lead to %d and to %d", p.Host, o.Target, p.Target)
		}
	}
	return append(ports, p), nil
}

// overlap reports whether somebody who listens at one address of the host is in the way
// of the other. The zero value is all addresses.
func overlap(a, b netip.Addr) bool {
	alike := a.Is4() == b.Is4()
	return a == b || !a.IsValid() || !b.IsValid() || alike && (a.IsUnspecified() || b.IsUnspecified())
}

// widest is the wider one of two addresses that overlap. All addresses of one family
// and all of the other are all there are, which both says.
func widest(a, b netip.Addr) (wider netip.Addr, both bool) {
	switch {
	case !a.IsValid() || !b.IsValid():
		return netip.Addr{}, false
	case a.IsUnspecified() && b.IsUnspecified() && a != b:
		return netip.Addr{}, true
	case b.IsUnspecified():
		return b, false
	}
	return a, false
}
