package compose

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Differences says, the most telling first, in what the containers of a service
// differ between two projects: "environment LOG_LEVEL changed". It names things and
// gives no values, except those of the environment where show is not nil: each is
// shown as show returns it. Values of configs and secrets are never shown.
func Differences(before, after *Project, service string, show func(value string) string) []string {
	old, ok := before.Service(service)
	now, declared := after.Service(service)
	if !ok || !declared {
		return nil
	}
	d := difference{before: before, after: after, show: show, old: attributesOf(old.Config), now: attributesOf(now.Config)}
	d.environment(old.Config.Environment, now.Config.Environment)
	d.mounts(old.Config.Volumes, now.Config.Volumes)
	d.objects("config", before.configs(old.Config), after.configs(now.Config))
	d.objects("secret", before.secrets(old.Config), after.secrets(now.Config))
	d.plain("command", "entrypoint")
	d.limits()
	d.ports(old.Config.Ports, now.Config.Ports)
	d.networks(old.Config.Networks, now.Config.Networks)
	d.members("label", d.old["labels"], d.now["labels"])
	d.rest()
	return d.found
}

// difference is the comparison of one service.
type difference struct {
	before, after *Project
	show          func(string) string
	// old and now are the service's attributes as JSON has them. What was compared
	// is taken out.
	old, now map[string]any
	found    []string
}

func (d *difference) say(format string, args ...any) {
	d.found = append(d.found, fmt.Sprintf(format, args...))
}

// attributesOf are those that containers are made of.
func attributesOf(s types.ServiceConfig) map[string]any {
	raw, err := json.Marshal(s)
	if err != nil {
		return map[string]any{} // it came out of JSON
	}
	tree, err := readTree(raw)
	if err != nil {
		return map[string]any{}
	}
	for _, key := range append([]string{"environment", "volumes", "configs", "secrets", "ports", "networks"}, notOfContainer[:]...) {
		delete(tree, key)
	}
	if deploy := below(tree, "deploy"); deploy != nil {
		for key := range deploy {
			if !slices.Contains(ofDeploy[:], key) {
				delete(deploy, key)
			}
		}
	}
	tidy(tree)
	return tree
}

func (d *difference) environment(old, now types.MappingWithEquals) {
	for _, name := range eitherOf(old, now) {
		a, had := old[name]
		b, has := now[name]
		switch {
		case !had:
			d.say("environment %s added%s", name, d.values(nil, b))
		case !has:
			d.say("environment %s removed", name)
		case (a == nil) != (b == nil) || a != nil && *a != *b:
			d.say("environment %s changed%s", name, d.values(a, b))
		}
	}
}

// values are a variable's, for an operator who asked for them.
func (d *difference) values(from, to *string) string {
	text := func(v *string) string { return strconv.Quote(d.show(*v)) }
	switch {
	case d.show == nil || to == nil:
		return ""
	case from == nil:
		return ": " + text(to)
	}
	return ": " + text(from) + " -> " + text(to)
}

// mounts are compared by their place in the container.
func (d *difference) mounts(old, now []types.ServiceVolumeConfig) {
	byTarget := func(list []types.ServiceVolumeConfig) map[string]types.ServiceVolumeConfig {
		out := map[string]types.ServiceVolumeConfig{}
		for _, v := range list {
			out[v.Target] = v
		}
		return out
	}
	was, is := byTarget(old), byTarget(now)
	for _, target := range eitherOf(was, is) {
		a, had := was[target]
		b, has := is[target]
		switch {
		case !had:
			d.say("mount %s added", target)
		case !has:
			d.say("mount %s removed", target)
		default:
			d.mount(a, b)
		}
	}
}

func (d *difference) mount(a, b types.ServiceVolumeConfig) {
	from, tracked := d.before.content(a)
	to, still := d.after.content(b)
	same := tracked && still && from.name() == to.name() && a.ReadOnly == b.ReadOnly
	switch {
	case same && from.Digest != to.Digest:
		d.say("file %s changed", to.name())
	case same:
	case a.Source != b.Source || a.Type != b.Type:
		d.say("mount %s: %s -> %s", b.Target, sourceOf(a), sourceOf(b))
	case a.ReadOnly != b.ReadOnly:
		d.say("mount %s is now %s", b.Target, map[bool]string{true: "read-only", false: "writable"}[b.ReadOnly])
	case !reflect.DeepEqual(a, b):
		d.say("mount %s changed", b.Target)
	case a.Type == types.VolumeTypeVolume && a.Source != "" && d.before.Model.Volumes[a.Source].Name != d.after.Model.Volumes[b.Source].Name:
		d.say("volume %s is now %s", b.Source, d.after.Model.Volumes[b.Source].Name)
	}
}

// content is the tracked content that a mount shows.
func (p *Project) content(v types.ServiceVolumeConfig) (Content, bool) {
	i := slices.IndexFunc(p.Content, func(c Content) bool { return v.Type == types.VolumeTypeBind && c.To == v.Source })
	if i < 0 {
		return Content{}, false
	}
	return p.Content[i], true
}

// name is what a reader of the repository knows content by.
func (c Content) name() string { return path.Base(strings.TrimSuffix(c.From, "/")) }

func sourceOf(v types.ServiceVolumeConfig) string {
	switch {
	case v.Source != "":
		return v.Source
	case v.Type == types.VolumeTypeVolume:
		return "an unnamed volume"
	}
	return v.Type
}

// given is a config or secret as a service gets it.
type given struct {
	use    types.FileReferenceConfig
	object types.FileObjectConfig
}

func (p *Project) configs(s types.ServiceConfig) map[string]given {
	out := map[string]given{}
	for _, use := range s.Configs {
		out[use.Source] = given{types.FileReferenceConfig(use), types.FileObjectConfig(p.Model.Configs[use.Source])}
	}
	return out
}

func (p *Project) secrets(s types.ServiceConfig) map[string]given {
	out := map[string]given{}
	for _, use := range s.Secrets {
		out[use.Source] = given{types.FileReferenceConfig(use), types.FileObjectConfig(p.Model.Secrets[use.Source])}
	}
	return out
}

func (d *difference) objects(kind string, old, now map[string]given) {
	for _, name := range eitherOf(old, now) {
		a, had := old[name]
		b, has := now[name]
		switch {
		case !had:
			d.say("%s %s added", kind, name)
		case !has:
			d.say("%s %s removed", kind, name)
		case a.object.File != b.object.File || a.object.Content != b.object.Content || !reflect.DeepEqual(a.use, b.use):
			d.say("%s %s changed", kind, name)
		}
	}
}

// plain compares attributes that are named and no more.
func (d *difference) plain(keys ...string) {
	for _, key := range keys {
		a, b := d.old[key], d.now[key]
		delete(d.old, key)
		delete(d.now, key)
		switch {
		case reflect.DeepEqual(a, b):
		case a == nil:
			d.say("%s added", key)
		case b == nil:
			d.say("%s removed", key)
		default:
			d.say("%s changed", key)
		}
	}
}

func (d *difference) ports(old, now []types.ServicePortConfig) {
	set := func(list []types.ServicePortConfig) map[string]bool {
		out := map[string]bool{}
		for _, p := range list {
			out[portText(p)] = true
		}
		return out
	}
	was, is := set(old), set(now)
	for _, port := range eitherOf(was, is) {
		switch {
		case !was[port]:
			d.say("port %s added", port)
		case !is[port]:
			d.say("port %s removed", port)
		}
	}
}

// portText is a port in Compose's short notation.
func portText(p types.ServicePortConfig) string {
	text := strconv.FormatUint(uint64(p.Target), 10)
	if p.Published != "" {
		text = p.Published + ":" + text
	}
	if p.HostIP != "" {
		text = p.HostIP + ":" + text
	}
	if p.Protocol != "" && p.Protocol != "tcp" {
		text += "/" + p.Protocol
	}
	return text
}

func (d *difference) networks(old, now map[string]*types.ServiceNetworkConfig) {
	for _, key := range eitherOf(old, now) {
		a, had := old[key]
		b, has := now[key]
		switch {
		case !had:
			d.say("network %s added", key)
		case !has:
			d.say("network %s removed", key)
		case !reflect.DeepEqual(a, b):
			d.say("network %s changed", key)
		case d.before.Model.Networks[key].Name != d.after.Model.Networks[key].Name:
			d.say("network %s is now %s", key, d.after.Model.Networks[key].Name)
		}
	}
}

// members compares mappings of which the keys are worth naming.
func (d *difference) members(what string, old, now any) {
	was, _ := old.(map[string]any)
	is, _ := now.(map[string]any)
	for _, key := range eitherOf(was, is) {
		a, had := was[key]
		b, has := is[key]
		switch {
		case !had:
			d.say("%s %s added", what, key)
		case !has:
			d.say("%s %s removed", what, key)
		case !reflect.DeepEqual(a, b):
			d.say("%s %s changed", what, key)
		}
	}
	delete(d.old, what+"s")
	delete(d.now, what+"s")
}

// rest names whatever else differs.
func (d *difference) rest() {
	for _, tree := range []map[string]any{d.old, d.now} {
		deploy := below(tree, "deploy")
		for _, kind := range []string{"limits", "reservations"} {
			if len(below(below(deploy, "resources"), kind)) == 0 {
				delete(below(deploy, "resources"), kind)
			}
		}
		dropEmpty(deploy)
		dropEmpty(tree)
	}
	d.plain(eitherOf(d.old, d.now)...)
}

// eitherOf are the keys that one of two mappings has, sorted.
func eitherOf[V any](a, b map[string]V) []string {
	all := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(all)
	return slices.Compact(all)
}
