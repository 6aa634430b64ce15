package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/versions"

	"davit/reconcile"
)

// gate is an attribute together with the API version that it needs.
type gate struct {
	attribute, api string
	used           bool
}

// release is the first Docker Engine with an API version.
func release(api string) string {
	return map[string]string{
		"1.43": "24.0", "1.44": "25.0", "1.45": "26.0", "1.46": "27.0", "1.48": "28.0", "1.49": "28.1",
	}[api]
}

// permitted refuses what the engine's API cannot express. Older engines drop some
// of it without a word.
func permitted(s types.ServiceConfig, api string) error {
	return refuse("service "+s.Name, serviceGates(s), api)
}

func serviceGates(s types.ServiceConfig) []gate {
	gates := []gate{
		{"annotations", "1.43", len(s.Annotations) > 0},
		{"healthcheck.start_interval", "1.44", s.HealthCheck != nil && s.HealthCheck.StartInterval != nil},
	}
	for i, v := range s.Volumes {
		gates = append(gates, mountGates(fmt.Sprintf("volumes[%d]", i), v)...)
	}
	// Below 1.44 a container has one MAC address, that of its primary network.
	mac := s.MacAddress
	if keys := s.NetworksByPriority(); len(keys) > 0 && s.Networks[keys[0]] != nil {
		mac = or(s.Networks[keys[0]].MacAddress, mac)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		if n := s.Networks[key]; n != nil {
			gates = append(gates,
				gate{"networks." + key + ".mac_address, on a network that is not the primary one,", "1.44", n.MacAddress != "" && n.MacAddress != mac},
				gate{"networks." + key + ".gw_priority", "1.48", n.GatewayPriority != 0},
				gate{"networks." + key + ".interface_name", "1.49", n.InterfaceName != ""},
			)
		}
	}
	return gates
}

func networkGates(n types.NetworkConfig) []gate {
	return []gate{{"enable_ipv4", "1.48", n.EnableIPv4 != nil && !bool(n.External)}}
}

func mountGates(key string, v types.ServiceVolumeConfig) []gate {
	recursive := ""
	if v.Bind != nil {
		recursive = v.Bind.Recursive
	}
	return []gate{
		{key + ".volume.subpath", "1.45", v.Volume != nil && v.Volume.Subpath != ""},
		{key + ".type: image", "1.48", v.Type == types.VolumeTypeImage},
		{key + ".bind.recursive: " + recursive, "1.44", recursive == "readonly" || recursive == "writable"},
	}
}

// refuse is the error for the first attribute that is used and not to be had.
func refuse(object string, gates []gate, api string) error {
	for _, err := range refusals(object, gates, api) {
		return err
	}
	return nil
}

// refusals are an error for each such attribute.
func refusals(object string, gates []gate, api string) (all []error) {
	for _, g := range gates {
		if g.used && versions.LessThan(api, g.api) {
			all = append(all, tooOld(object, g, api))
		}
	}
	return all
}

func tooOld(object string, g gate, api string) error {
	return reconcile.WithHint(
		fmt.Errorf("%s: %s needs Docker API %s (Docker Engine %s), this engine speaks %s", object, g.attribute, g.api, release(g.api), api),
		"upgrade Docker Engine to %s or newer, or do without %s", release(g.api), g.attribute)
}
