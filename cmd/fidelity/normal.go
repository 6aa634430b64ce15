package main

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"davit/compose"
)

// normal takes out of the engine's answers what differs from run to run, by the
// rules of rules.go, and replaces what is named by chance with what it means.
type normal struct {
	// replace is from and to, in turns.
	replace *[]string
	// shorts are the short IDs of the project's containers, peers the whole ones by
	// service, of the first container each.
	shorts map[string]bool
	peers  map[string]string
	// project is davit's idea of the specimen, nil where it refuses it.
	project *compose.Project
}

// normal is for one specimen on this bench.
//
// Tracked content that containers only read is mounted by davit from a copy named
// by what it contains, so that a container keeps its file when the repository goes
// on. That copy counts as the file itself.
func (b *bench) normal(s specimen, p *compose.Project) normal {
	n := normal{replace: &[]string{}, shorts: map[string]bool{}, peers: map[string]string{}, project: p}
	n.mean(b.root, "ENGINE")
	if p == nil {
		return n
	}
	for _, c := range p.Content {
		if own, err := filepath.Rel(s.repo, c.From); err == nil && !c.Writable {
			n.mean(c.To, filepath.Join(s.work, own))
		}
	}
	return n
}

// mean lets from stand for to.
func (n normal) mean(from, to string) { *n.replace = append(*n.replace, from, to) }

// know lets a container's ID stand for its name.
func (n normal) know(id, name string, labels map[string]string) {
	n.mean(id, name)
	n.shorts[id[:12]] = true
	if labels[labelNumber] == "1" {
		n.peers[labels[labelService]] = id
	}
}

// hash replaces Compose's hash of a service where it cannot be the same twice.
//
// Compose hashes the ID of a container that is shared with. That hash stays, and
// differs, where davit would have hashed something else over these containers.
//
// Compose v5.6 writes the hooks of pre_start otherwise than v5.5 before it hashes
// them, as compose-go does since v2.16; davit follows the later one.
func (n normal) hash(labels, host map[string]any) {
	service, _ := labels[labelService].(string)
	switch {
	case n.project != nil && len(n.project.Model.Services[service].PreStart) > 0:
		labels[labelHash] = "OF A LATER COMPOSE"
	case !shares(host):
	case n.project == nil || labels[labelHash] == n.project.ConfigHash(service, n.project.HashContext(n.peers)):
		labels[labelHash] = "OF THE CONTAINERS SHARED WITH"
	}
}

var (
	image  = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	random = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
)

func (n normal) text(s string) string {
	s = strings.NewReplacer(*n.replace...).Replace(s)
	return random.ReplaceAllString(image.ReplaceAllString(s, "IMAGE"), "ANONYMOUS")
}

func (n normal) container(c map[string]any) map[string]any {
	config, _ := c["Config"].(map[string]any)
	labels := n.labels(config)
	host, _ := c["HostConfig"].(map[string]any)
	n.hash(labels, host)
	if id, _ := c["Id"].(string); id != "" && config["Hostname"] == id[:12] {
		config["Hostname"] = "ID"
	}
	return n.object(c, containerNoise, labels, "Config")
}

// shares reports whether a container shares a namespace or volumes of another.
func shares(host map[string]any) bool {
	for _, key := range []string{"NetworkMode", "PidMode", "IpcMode"} {
		if mode, _ := host[key].(string); strings.HasPrefix(mode, "container:") {
			return true
		}
	}
	from, _ := host["VolumesFrom"].([]any)
	return len(from) > 0
}

func (n normal) network(c map[string]any) map[string]any {
	if ipam, ok := c["IPAM"].(map[string]any); ok {
		pools, _ := ipam["Config"].([]any)
		ipam["Config"] = slices.DeleteFunc(pools, assigned)
	}
	return n.object(c, networkNoise, n.labels(c), "")
}

// pools are the ranges that engines give networks from: this bench's own, and the
// usual ones.
var pools = []netip.Prefix{
	netip.MustParsePrefix("10.200.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

// assigned reports whether an address pool was chosen by the engine.
func assigned(pool any) bool {
	p, _ := pool.(map[string]any)
	subnet, _ := p["Subnet"].(string)
	prefix, err := netip.ParsePrefix(subnet)
	return err == nil && slices.ContainsFunc(pools, func(wide netip.Prefix) bool { return wide.Contains(prefix.Addr()) })
}

func (n normal) volume(c map[string]any) map[string]any {
	return n.object(c, volumeNoise, n.labels(c), "")
}

// labels takes the labels out of what they belong to.
func (n normal) labels(of map[string]any) map[string]any {
	labels, _ := of["Labels"].(map[string]any)
	delete(of, "Labels")
	out := map[string]any{}
	for key, v := range labels {
		text, _ := v.(string)
		if slices.ContainsFunc(labelNoise, func(r rule) bool { return r.field == key }) || strings.HasPrefix(key, "davit.") {
			continue
		}
		if key == "com.docker.compose.depends_on" {
			list := strings.Split(text, ",")
			slices.Sort(list)
			text = strings.Join(list, ",")
		}
		out[key] = text
	}
	return out
}

// object is everything but the noise, with the labels put back below the key in.
func (n normal) object(c map[string]any, noise []rule, labels map[string]any, in string) map[string]any {
	out, _ := n.value(c, "", fieldsOf(noise)).(map[string]any)
	if len(labels) == 0 {
		return out
	}
	if out == nil {
		out = map[string]any{}
	}
	to := out
	if in != "" {
		to, _ = out[in].(map[string]any)
		if to == nil {
			to = map[string]any{}
			out[in] = to
		}
	}
	to["Labels"] = labels
	return out
}

// value is v without noise and without what says nothing; nil if that is all of it.
func (n normal) value(v any, field string, noise []string) any {
	told := anyFits(telling, field)
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, member := range v {
			below := strings.TrimPrefix(field+"."+strings.ReplaceAll(key, ".", "·"), ".")
			if anyFits(noise, below) {
				continue
			}
			if m := n.value(member, below, noise); m != nil {
				out[n.text(key)] = m
			}
		}
		if len(out) == 0 && !told {
			return nil
		}
		return out
	case []any:
		return n.list(v, field, noise, told)
	case string:
		if v == "" || n.shorts[v] || meansNothing(field, v) {
			return nil
		}
		return n.text(v)
	case bool:
		if !v && !told {
			return nil
		}
	case float64:
		if v == 0 && !told {
			return nil
		}
	}
	return v
}

func meansNothing(field, value string) bool {
	for _, a := range alike {
		if fits(a.field, field) && a.value == value {
			return true
		}
	}
	return false
}

func (n normal) list(v []any, field string, noise []string, told bool) any {
	out := []any{}
	for _, member := range v {
		if m := n.value(member, field, noise); m != nil {
			out = append(out, m)
		}
	}
	if len(out) == 0 && !told {
		return nil
	}
	if anyFits(standing, field) {
		return "STANDARD"
	}
	if anyFits(unordered, field) {
		slices.SortFunc(out, func(a, b any) int { return cmp.Compare(encoded(a), encoded(b)) })
		out = slices.CompactFunc(out, func(a, b any) bool { return encoded(a) == encoded(b) })
	}
	return out
}

func encoded(v any) string {
	text, _ := json.Marshal(v) // it came out of JSON
	return string(text)
}
