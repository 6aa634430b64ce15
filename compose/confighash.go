package compose

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
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

// Generation is a line of Compose releases that hash a service alike.
type Generation int

const (
	// ComposeV5 writes out that a bind mount's source must exist.
	ComposeV5 Generation = iota
	// ComposeV2 writes out that it is created, the default.
	ComposeV2
)

func (g Generation) String() string { return [...]string{"v5", "v2"}[g] }

// Generations are all of them, the newest first.
func Generations() []Generation { return []Generation{ComposeV5, ComposeV2} }

// HashContext is what Compose's hash of a service depends on beside the files.
type HashContext struct {
	// Dir is Compose's project directory, which relative paths start from.
	Dir string
	// Peers are the IDs of the containers, by service, that `service:web` and
	// volumes_from mean; Compose hashes those.
	Peers map[string]string
	By    Generation
}

// ConfigHash is Compose's own hash of a service of p, as in the label
// com.docker.compose.config-hash: of the files as they are written, not of the
// places that davit mounts from. It is "" for a project that was stored by a davit
// that did not keep them.
func (p *Project) ConfigHash(service string, c HashContext) string {
	w, ok := p.written[service]
	if !ok {
		return ""
	}
	return w.sum(c)
}

// NetworkHash is Compose's own hash of a network of p, as in the network's label.
func (p *Project) NetworkHash(key string) string {
	n := p.Model.Networks[key]
	n.CustomLabels = nil
	raw, err := json.Marshal(n)
	if err != nil {
		return "" // it came out of JSON; equal to no label
	}
	digest := sha256.Sum256(raw)
	return hex.EncodeToString(digest[:])
}

// written is a service as Compose sums it: its attributes as JSON, with paths
// inside the repository still relative to the stack's directory.
type written map[string]json.RawMessage

// here stands before a path that is relative to the stack's directory. No YAML
// file can hold it.
const here = "\x00"

// writtenAs takes a service apart, without what Compose does not hash.
func writtenAs(s types.ServiceConfig) (written, error) {
	s.Build, s.PullPolicy, s.Scale, s.DependsOn, s.Profiles = nil, "", nil, nil, nil
	if s.Deploy != nil {
		deploy := *s.Deploy
		deploy.Replicas = nil
		s.Deploy = &deploy
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("hash service %s as Compose does: %w", s.Name, err)
	}
	var w written
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, fmt.Errorf("hash service %s as Compose does: %w", s.Name, err)
	}
	return w, nil
}

// sum puts the attributes together in Compose's order.
func (w written) sum(c HashContext) string {
	order := strings.Fields(configKeys)
	for _, key := range slices.Sorted(maps.Keys(w)) {
		if !slices.Contains(order, key) {
			order = append(order, key)
		}
	}
	var members [][]byte
	for _, key := range order {
		if value, ok := w[key]; ok {
			members = append(members, fmt.Appendf(nil, "%q:%s", key, c.resolve(key, value)))
		}
	}
	text := slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}"))
	if c.By == ComposeV2 {
		text = bytes.ReplaceAll(text, []byte(`"bind":{}`), []byte(`"bind":{"create_host_path":true}`))
		text = bytes.ReplaceAll(text, []byte(`"bind":{"create_host_path":false}`), []byte(`"bind":{}`))
	}
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// resolve fills in what only the host knows.
func (c HashContext) resolve(key string, value json.RawMessage) json.RawMessage {
	switch key {
	case "network_mode", "ipc", "pid", "volumes_from":
	default:
		if !bytes.Contains(value, []byte(`"\u0000`)) {
			return value
		}
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return value
	}
	switch key {
	case "network_mode", "ipc", "pid":
		v = eachText(v, c.namespace)
	case "volumes_from":
		v = eachText(v, c.volumesFrom)
	default:
		return c.places(value)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return value
	}
	return out
}

// places replaces relative paths where they stand: decoding and encoding would
// change the order of keys.
func (c HashContext) places(value json.RawMessage) json.RawMessage {
	mark := []byte(`"\u0000`)
	var out []byte
	for {
		at := bytes.Index(value, mark)
		if at < 0 {
			return append(out, value...)
		}
		out = append(out, value[:at]...)
		var rel string
		d := json.NewDecoder(bytes.NewReader(value[at:]))
		if d.Decode(&rel) != nil {
			return append(out, value[at:]...)
		}
		place, err := json.Marshal(filepath.Join(c.Dir, filepath.FromSlash(strings.TrimPrefix(rel, here))))
		if err != nil {
			return append(out, value[at:]...)
		}
		out = append(out, place...)
		value = value[at+int(d.InputOffset()):]
	}
}

func (c HashContext) namespace(mode string) string {
	if service, ok := strings.CutPrefix(mode, types.ServicePrefix); ok && c.Peers[service] != "" {
		return types.ContainerPrefix + c.Peers[service]
	}
	return mode
}

func (c HashContext) volumesFrom(from string) string {
	name, rest, _ := strings.Cut(from, ":")
	switch {
	case name+":" == types.ContainerPrefix:
		name, _, _ = strings.Cut(rest, ":")
		return name
	case c.Peers[name] != "":
		return c.Peers[name]
	}
	return from
}
