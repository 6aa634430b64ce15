package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-connections/nat"

	"davit/compose"
	"davit/reconcile"
)

// exposed is every port that the service names, published or not. A range is
// written out.
func exposed(s types.ServiceConfig) (nat.PortSet, error) {
	set := nat.PortSet{}
	for _, e := range s.Expose {
		protocol, span := nat.SplitProtoPort(e)
		first, last, err := nat.ParsePortRange(span)
		if err != nil {
			return nil, fmt.Errorf("expose %q: %w", e, err)
		}
		if last > 65535 {
			return nil, fmt.Errorf("expose %q: there are no ports above 65535", e)
		}
		for number := first; number <= last; number++ {
			set[nat.Port(fmt.Sprintf("%d/%s", number, protocol))] = struct{}{}
		}
	}
	for _, p := range s.Ports {
		set[port(p)] = struct{}{}
	}
	return set, nil
}

// published are the host ports. Published may be a range for one target, from
// which the engine takes the first free port.
//
// What the edge has is left out.
func published(s types.ServiceConfig, edge []string) nat.PortMap {
	bindings := nat.PortMap{}
	for _, p := range s.Ports {
		if _, fixed := compose.FixedPort(p); fixed && slices.Contains(edge, string(port(p))) {
			continue
		}
		bindings[port(p)] = append(bindings[port(p)], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return bindings
}

func port(p types.ServicePortConfig) nat.Port {
	return nat.Port(fmt.Sprintf("%d/%s", p.Target, or(p.Protocol, "tcp")))
}

// bound are the host ports at which a running container is published, sorted. An
// engine tells of all addresses twice, once for each family.
func bound(ports nat.PortMap) []reconcile.HostPort {
	var out []reconcile.HostPort
	for target, bindings := range ports {
		for _, b := range bindings {
			number, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil {
				continue
			}
			h := reconcile.HostPort{Network: target.Proto(), Port: uint16(number)}
			if ip, err := netip.ParseAddr(b.HostIP); err == nil && !ip.IsUnspecified() {
				h.IP = ip
			}
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b reconcile.HostPort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Network, b.Network), a.IP.Compare(b.IP))
	})
	return slices.Compact(out)
}
