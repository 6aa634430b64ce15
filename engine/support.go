package engine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// mapped names the attributes of a service that the conversion understands, or
// that mean nothing to a container: who builds, develops, scales or attaches, and
// what is run before, after and instead of it, is somebody else's business.
const mapped = `
annotations blkio_config cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent
cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset depends_on deploy device_cgroup_rules devices
dns dns_opt dns_search domainname entrypoint env_file environment expose external_links extra_hosts gpus group_add
healthcheck hostname image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation
mem_swappiness memswap_limit name network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports
privileged read_only restart runtime secrets security_opt shm_size stdin_open stop_grace_period stop_signal
storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volume_driver volumes volumes_from working_dir
attach build credential_spec develop dockerfile extends post_start pre_start pre_stop profiles pull_policy
pull_refresh_after scale`

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
