package engine

import (
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-connections/nat"
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
func published(s types.ServiceConfig) nat.PortMap {
	bindings := nat.PortMap{}
	for _, p := range s.Ports {
		bindings[port(p)] = append(bindings[port(p)], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return bindings
}

func port(p types.ServicePortConfig) nat.Port {
	return nat.Port(fmt.Sprintf("%d/%s", p.Target, or(p.Protocol, "tcp")))
}
