package engine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/versions"
)

// mapped names the attributes of a service that the conversion understands or
// that mean nothing to a container: who builds, develops, scales or attaches is
// somebody else's business.
const mapped = `
annotations blkio_config cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent
cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset depends_on deploy device_cgroup_rules devices
dns dns_opt dns_search domainname entrypoint env_file environment expose extra_hosts gpus group_add healthcheck
hostname image init ipc isolation label_file labels logging mac_address mem_limit mem_reservation mem_swappiness
memswap_limit name network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged
read_only restart runtime secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls
tmpfs tty ulimits user userns_mode uts volume_driver volumes working_dir
attach build develop dockerfile extends profiles pull_policy pull_refresh_after scale`

// supported refuses a service with an attribute that would be dropped. It walks
// the model's own fields, so that an attribute which a later version of the
// model adds is refused until somebody maps it.
func supported(s types.ServiceConfig) error {
	known := strings.Fields(mapped)
	var unknown []string
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case f.Anonymous:
				walk(v.Field(i))
			case name == "-" || strings.HasPrefix(name, "#"):
			case !empty(v.Field(i)) && !slices.Contains(known, name):
				unknown = append(unknown, name)
			}
		}
	}
	walk(reflect.ValueOf(s))
	unknown = append(unknown, references(s)...)
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("service %s: not supported: %s", s.Name, strings.Join(unknown, ", "))
}

// empty is true for a zero value and for a list or map without elements.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

// references are the values that name another service's container, which a
// rollout replaces: which of the two is meant has no answer yet.
func references(s types.ServiceConfig) []string {
	var found []string
	for attribute, value := range map[string]string{"network_mode": s.NetworkMode, "ipc": s.Ipc, "pid": s.Pid} {
		if strings.HasPrefix(value, types.ServicePrefix) {
			found = append(found, attribute+": "+value)
		}
	}
	if d := s.Deploy; d != nil {
		if d.Mode != "" && d.Mode != "replicated" {
			found = append(found, "deploy.mode: "+d.Mode)
		}
		if r := d.Resources.Reservations; r != nil && len(r.GenericResources) > 0 {
			found = append(found, "deploy.resources.reservations.generic_resources")
		}
	}
	return found
}

// gate is an attribute together with the API version that it needs.
type gate struct {
	attribute, api string
	used           bool
}

// permitted refuses what the engine's API cannot express. Older daemons drop
// some of it without a word.
func permitted(s types.ServiceConfig, api string) error {
	gates := []gate{
		{"annotations", "1.43", len(s.Annotations) > 0},
		{"healthcheck.start_interval", "1.44", s.HealthCheck != nil && s.HealthCheck.StartInterval != nil},
	}
	for _, v := range s.Volumes {
		gates = append(gates,
			gate{"volumes.volume.subpath", "1.45", v.Volume != nil && v.Volume.Subpath != ""},
			gate{"volumes.type image", "1.48", v.Type == types.VolumeTypeImage},
			gate{"volumes.bind.recursive " + recursive(v), "1.44", recursive(v) == "readonly" || recursive(v) == "writable"},
		)
	}
	var macs int
	for _, n := range s.Networks {
		if n == nil {
			continue
		}
		if n.MacAddress != "" {
			macs++
		}
		gates = append(gates,
			gate{"networks.gw_priority", "1.48", n.GatewayPriority != 0},
			gate{"networks.interface_name", "1.49", n.InterfaceName != ""},
		)
	}
	gates = append(gates, gate{"networks.mac_address on several networks", "1.44", macs > 1})
	for _, g := range gates {
		if g.used && versions.LessThan(api, g.api) {
			return fmt.Errorf("service %s: %s needs Docker API %s, the engine speaks %s", s.Name, g.attribute, g.api, api)
		}
	}
	return nil
}

func recursive(v types.ServiceVolumeConfig) string {
	if v.Bind == nil {
		return ""
	}
	return v.Bind.Recursive
}
