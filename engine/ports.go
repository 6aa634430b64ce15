package engine

import (
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-connections/nat"
)

// exposed is every port that the service names, published or not.
func exposed(s types.ServiceConfig) nat.PortSet {
	set := nat.PortSet{}
	for _, e := range s.Expose {
		set[withProtocol(e)] = struct{}{}
	}
	for _, p := range s.Ports {
		set[port(p)] = struct{}{}
	}
	return set
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

// withProtocol writes tcp out: the engine does so too, and then one port is not
// listed under two names.
func withProtocol(expose string) nat.Port {
	proto, number := nat.SplitProtoPort(expose)
	return nat.Port(number + "/" + proto)
}
