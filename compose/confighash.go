package compose

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// configKeys is the order in which Compose has always written the attributes of
// a service before it sums them. compose-go has moved its fields since; Compose
// v5 keeps to the old order so that a container's label stays valid, and so does
// this.
const configKeys = `
profiles annotations attach build develop blkio_config cap_add cap_drop
cgroup_parent cgroup cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period
cpu_rt_runtime cpus cpuset cpu_shares command configs container_name
credential_spec depends_on deploy device_cgroup_rules devices dns dns_opt
dns_search dockerfile domainname entrypoint provider environment env_file expose
extends external_links extra_hosts group_add gpus hostname healthcheck image init
ipc isolation labels label_file links logging log_driver log_opt mem_limit
mem_reservation memswap_limit mem_swappiness mac_address models net network_mode
networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged
pull_policy read_only restart runtime scale secrets security_opt shm_size
stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits
use_api_socket user userns_mode uts volume_driver volumes volumes_from working_dir
pre_start post_start pre_stop`

// ConfigHash is Compose v5's own hash of a service, as in the label
// com.docker.compose.config-hash.
func ConfigHash(s types.ServiceConfig) (string, error) {
	s.Build, s.PullPolicy, s.Scale, s.DependsOn, s.Profiles = nil, "", nil, nil, nil
	if s.Deploy != nil {
		deploy := *s.Deploy
		deploy.Replicas = nil
		s.Deploy = &deploy
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("hash service %s as Compose does: %w", s.Name, err)
	}
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(raw, &attributes); err != nil {
		return "", fmt.Errorf("hash service %s as Compose does: %w", s.Name, err)
	}
	order := strings.Fields(configKeys)
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if !slices.Contains(order, key) {
			order = append(order, key)
		}
	}
	var members [][]byte
	for _, key := range order {
		if value, ok := attributes[key]; ok {
			members = append(members, fmt.Appendf(nil, "%q:%s", key, value))
		}
	}
	digest := sha256.Sum256(slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}")))
	return hex.EncodeToString(digest[:]), nil
}
