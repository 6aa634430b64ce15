package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"

	"davit/reconcile"
)

// interfaceName is the driver option that names a network's interface inside the
// container.
const interfaceName = "com.docker.network.endpoint.ifname"

// endpoint is a container's place in one network, to be.
type endpoint struct {
	Network  string
	Settings *network.EndpointSettings
}

// networking fills in the network mode and the endpoints: all of them at
// creation where the API takes them, else the primary one.
func networking(out *spec, r reconcile.CreateRequest, b borrowing, api string) error {
	s, model := r.Service.Config, r.Project.Model
	if s.NetworkMode != "" {
		out.Host.NetworkMode = container.NetworkMode(b.NetworkMode)
		return hardware(out, s, nil, api)
	}
	keys := s.NetworksByPriority()
	if len(keys) == 0 {
		out.Host.NetworkMode = "none"
		return hardware(out, s, nil, api)
	}
	var all []endpoint
	for _, key := range keys {
		if _, ok := model.Networks[key]; !ok {
			return fmt.Errorf("service %s: the project has no network %q", s.Name, key)
		}
		var names []string
		if r.Create.Alias {
			names = discovery(s, key, or(r.Create.Final, r.Create.Name))
		}
		plugged := settings(s.Networks[key], names)
		plugged.Links = b.Links
		all = append(all, endpoint{networkName(model, key), plugged})
	}
	out.Host.NetworkMode = container.NetworkMode(all[0].Network)
	if err := hardware(out, s, &all[0], api); err != nil {
		return err
	}
	now := all
	if versions.LessThan(api, "1.44") {
		now, out.Later = all[:1], all[1:]
	}
	out.Network = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
	for _, e := range now {
		out.Network.EndpointsConfig[e.Network] = e.Settings
	}
	return nil
}

// hardware puts the MAC address where the API expects it: on the container below
// 1.44, on its endpoint from then on.
func hardware(out *spec, s types.ServiceConfig, primary *endpoint, api string) error {
	mac := s.MacAddress
	if primary != nil && primary.Settings.MacAddress != "" {
		if mac != "" && mac != primary.Settings.MacAddress {
			return fmt.Errorf("service %s: mac_address differs from that of network %s", s.Name, primary.Network)
		}
		mac = primary.Settings.MacAddress
	}
	if versions.GreaterThanOrEqualTo(api, "1.44") {
		if primary != nil {
			primary.Settings.MacAddress = mac
		}
		return nil
	}
	if primary != nil {
		primary.Settings.MacAddress = ""
	}
	//lint:ignore SA1019 there is no other way below API 1.44
	out.Config.MacAddress = mac
	return nil
}

// settings are an endpoint as declared, under the given discovery names.
func settings(n *types.ServiceNetworkConfig, names []string) *network.EndpointSettings {
	e := &network.EndpointSettings{Aliases: names}
	if n == nil {
		return e
	}
	e.IPAMConfig = &network.EndpointIPAMConfig{
		IPv4Address: n.Ipv4Address, IPv6Address: n.Ipv6Address,
		LinkLocalIPs: slices.DeleteFunc(slices.Clone(n.LinkLocalIPs), func(ip string) bool { return ip == "" }),
	}
	e.MacAddress = n.MacAddress
	e.GwPriority = n.GatewayPriority
	e.DriverOpts = n.DriverOpts
	if n.InterfaceName != "" {
		e.DriverOpts = maps.Clone(e.DriverOpts)
		if e.DriverOpts == nil {
			e.DriverOpts = map[string]string{}
		}
		e.DriverOpts[interfaceName] = n.InterfaceName
	}
	return e
}

// discovery is every name by which the service's containers are found in the
// network called key, in Compose's order.
func discovery(s types.ServiceConfig, key, own string) []string {
	names := []string{own}
	n := s.Networks[key]
	if n.ServiceNameAliasEnabled() {
		names = append(names, s.Name)
	}
	if n != nil {
		names = append(names, n.Aliases...)
	}
	var unique []string
	for _, name := range names {
		if !slices.Contains(unique, name) {
			unique = append(unique, name)
		}
	}
	return unique
}

// networkName is the engine's name of a network in the model.
func networkName(m *types.Project, key string) string {
	return or(m.Networks[key].Name, m.Name+"_"+key)
}
