package compose

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/schema"
)

// errUnsupported is the end of every refusal of what Compose knows and this
// version of davit does not do.
var errUnsupported = errors.New("not supported by this version of davit")

// supported is every attribute of a compose file that is deployed, or ignored
// with a Note. What is not listed is refused: an attribute that Compose learns
// tomorrow is an error until somebody has decided what it means here.
//
// "*" is any key, "[]" any item of a list, a final "**" everything below.
const supported = `
name
version
include.**
services.*.annotations.**
services.*.attach
services.*.blkio_config.**
services.*.build.**
services.*.cap_add
services.*.cap_drop
services.*.cgroup
services.*.cgroup_parent
services.*.command
services.*.configs.[].gid
services.*.configs.[].mode
services.*.configs.[].source
services.*.configs.[].target
services.*.configs.[].uid
services.*.container_name
services.*.cpu_count
services.*.cpu_percent
services.*.cpu_period
services.*.cpu_quota
services.*.cpu_rt_period
services.*.cpu_rt_runtime
services.*.cpu_shares
services.*.cpus
services.*.cpuset
services.*.credential_spec.**
services.*.depends_on.*.condition
services.*.depends_on.*.required
services.*.depends_on.*.restart
services.*.deploy.endpoint_mode
services.*.deploy.labels.**
services.*.deploy.mode
services.*.deploy.placement.**
services.*.deploy.replicas
services.*.deploy.resources.limits.cpus
services.*.deploy.resources.limits.memory
services.*.deploy.resources.limits.pids
services.*.deploy.resources.reservations.cpus
services.*.deploy.resources.reservations.devices.**
services.*.deploy.resources.reservations.generic_resources.**
services.*.deploy.resources.reservations.memory
services.*.deploy.restart_policy.condition
services.*.deploy.restart_policy.delay
services.*.deploy.restart_policy.max_attempts
services.*.deploy.restart_policy.window
services.*.deploy.rollback_config.delay
services.*.deploy.rollback_config.failure_action
services.*.deploy.rollback_config.max_failure_ratio
services.*.deploy.rollback_config.monitor
services.*.deploy.rollback_config.order
services.*.deploy.rollback_config.parallelism
services.*.deploy.update_config.delay
services.*.deploy.update_config.failure_action
services.*.deploy.update_config.max_failure_ratio
services.*.deploy.update_config.monitor
services.*.deploy.update_config.order
services.*.deploy.update_config.parallelism
services.*.develop.**
services.*.device_cgroup_rules
services.*.devices.[].permissions
services.*.devices.[].source
services.*.devices.[].target
services.*.dns
services.*.dns_opt
services.*.dns_search
services.*.domainname
services.*.entrypoint
services.*.env_file.[].format
services.*.env_file.[].path
services.*.env_file.[].required
services.*.environment.**
services.*.expose
services.*.extends.file
services.*.extends.service
services.*.external_links
services.*.extra_hosts.**
services.*.gpus.**
services.*.group_add
services.*.healthcheck.disable
services.*.healthcheck.interval
services.*.healthcheck.retries
services.*.healthcheck.start_interval
services.*.healthcheck.start_period
services.*.healthcheck.test
services.*.healthcheck.timeout
services.*.hostname
services.*.image
services.*.init
services.*.ipc
services.*.isolation
services.*.label_file
services.*.labels.**
services.*.links
services.*.logging.driver
services.*.logging.options.**
services.*.mac_address
services.*.mem_limit
services.*.mem_reservation
services.*.mem_swappiness
services.*.memswap_limit
services.*.network_mode
services.*.networks.*.aliases
services.*.networks.*.driver_opts.**
services.*.networks.*.gw_priority
services.*.networks.*.interface_name
services.*.networks.*.ipv4_address
services.*.networks.*.ipv6_address
services.*.networks.*.link_local_ips
services.*.networks.*.mac_address
services.*.networks.*.priority
services.*.networks.*.use_service_name_alias
services.*.oom_kill_disable
services.*.oom_score_adj
services.*.pid
services.*.pids_limit
services.*.platform
services.*.ports.[].app_protocol
services.*.ports.[].host_ip
services.*.ports.[].mode
services.*.ports.[].name
services.*.ports.[].protocol
services.*.ports.[].published
services.*.ports.[].target
services.*.post_start.[].**
services.*.pre_start.[].**
services.*.pre_stop.[].**
services.*.privileged
services.*.profiles
services.*.pull_policy
services.*.pull_refresh_after
services.*.read_only
services.*.restart
services.*.runtime
services.*.scale
services.*.secrets.[].gid
services.*.secrets.[].mode
services.*.secrets.[].source
services.*.secrets.[].target
services.*.secrets.[].uid
services.*.security_opt
services.*.shm_size
services.*.stdin_open
services.*.stop_grace_period
services.*.stop_signal
services.*.storage_opt.**
services.*.sysctls.**
services.*.tmpfs
services.*.tty
services.*.ulimits.*.hard
services.*.ulimits.*.soft
services.*.use_api_socket
services.*.user
services.*.userns_mode
services.*.uts
services.*.volumes.[].bind.create_host_path
services.*.volumes.[].bind.propagation
services.*.volumes.[].bind.recursive
services.*.volumes.[].bind.selinux
services.*.volumes.[].consistency
services.*.volumes.[].image.subpath
services.*.volumes.[].read_only
services.*.volumes.[].source
services.*.volumes.[].target
services.*.volumes.[].tmpfs.mode
services.*.volumes.[].tmpfs.size
services.*.volumes.[].type
services.*.volumes.[].volume.labels.**
services.*.volumes.[].volume.nocopy
services.*.volumes.[].volume.subpath
services.*.volumes_from
services.*.working_dir
networks.*.attachable
networks.*.driver
networks.*.driver_opts.**
networks.*.enable_ipv4
networks.*.enable_ipv6
networks.*.external.name
networks.*.internal
networks.*.ipam.config.[].aux_addresses.**
networks.*.ipam.config.[].gateway
networks.*.ipam.config.[].ip_range
networks.*.ipam.config.[].subnet
networks.*.ipam.driver
networks.*.ipam.options.**
networks.*.labels.**
networks.*.name
volumes.*.driver
volumes.*.driver_opts.**
volumes.*.external.name
volumes.*.labels.**
volumes.*.name
configs.*.content
configs.*.environment
configs.*.external.name
configs.*.file
configs.*.labels.**
configs.*.name
configs.*.template_driver
secrets.*.driver
secrets.*.driver_opts.**
secrets.*.environment
secrets.*.external.name
secrets.*.file
secrets.*.labels.**
secrets.*.name
secrets.*.template_driver
`

// attributes is one level of the table.
type attributes struct {
	below map[string]*attributes
	// all is true where everything below is accepted.
	all bool
}

// supportedAttributes is the table above, knownAttributes what Compose's schema
// declares.
var (
	supportedAttributes = sync.OnceValue(func() *attributes { return newAttributes(strings.Fields(supported)) })
	knownAttributes     = sync.OnceValue(func() *attributes {
		var paths []string
		for _, p := range schema.AttributePaths() {
			paths = append(paths, string(p))
		}
		return newAttributes(paths)
	})
)

func newAttributes(paths []string) *attributes {
	top := &attributes{below: map[string]*attributes{}}
	for _, line := range paths {
		at := top
		for _, part := range strings.Split(line, ".") {
			if part == "**" {
				at.all = true
				break
			}
			next, ok := at.below[part]
			if !ok {
				next = &attributes{below: map[string]*attributes{}}
				at.below[part] = next
			}
			at = next
		}
	}
	return top
}

// has reports whether the attribute at this place is in the table. Numbers are
// places in lists.
func (a *attributes) has(location []string) bool {
	for _, part := range location {
		if a.all {
			return true
		}
		next := a.child(part)
		if _, err := strconv.Atoi(part); err == nil && a.below["[]"] != nil {
			next = a.below["[]"]
		}
		if next == nil {
			return false
		}
		a = next
	}
	return true
}

// unsupported calls report with the key and the Go value of each attribute below
// value that the table does not list, in the order of the keys.
func unsupported(value any, report func(key string)) {
	supportedAttributes().walk(value, "", report)
}

func (a *attributes) walk(value any, key string, report func(key string)) {
	if a.all {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if strings.HasPrefix(k, "x-") && !a.named() {
				continue
			}
			next := a.child(k)
			if next == nil {
				report(join(key, k))
				continue
			}
			next.walk(v[k], join(key, k), report)
		}
	case []any:
		next := a.below["[]"]
		if next == nil {
			return
		}
		for i, e := range v {
			next.walk(e, fmt.Sprintf("%s[%d]", key, i), report)
		}
	}
}

func (a *attributes) child(key string) *attributes {
	if next, ok := a.below[key]; ok {
		return next
	}
	return a.below["*"]
}

// named reports whether keys at this level are names that the file chose, among
// which x- begins nothing special.
func (a *attributes) named() bool { return a.below["*"] != nil }
