package compose

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// mounts judges the volumes of one container. The sources of named volumes are
// judged where they are declared.
func (j *judge) mounts(key string, s types.ContainerSpec) {
	if s.VolumeDriver != "" {
		j.ask(RuleVolumeDriver, key+".volume_driver", s.VolumeDriver, "volume driver %s", s.VolumeDriver)
	}
	for i, v := range s.Volumes {
		at := fmt.Sprintf("%s.volumes[%d]", key, i)
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if s.UseAPISocket && v.Source == apiSocket && v.Target == apiSocket {
			continue // what use_api_socket means, which is judged by that name
		}
		j.bind(at, v.Source, v.ReadOnly)
		if v.Bind != nil && v.Bind.Propagation != "" {
			j.ask(RuleBindPropagation, at, v.Bind.Propagation, "%s: what the container mounts there is mounted on the host", v.Bind.Propagation)
		}
	}
}

// sources judges once more the paths that davit chose, now that they are chosen:
// a container that writes to its stack's directory can put a link there, and the
// next commit mount it.
func (j *judge) sources() {
	for _, name := range slices.Sorted(maps.Keys(j.model.Services)) {
		for i, v := range j.model.Services[name].Volumes {
			if v.Type == types.VolumeTypeBind && j.placed(v.Source) {
				j.bind(fmt.Sprintf("services.%s.volumes[%d]", name, i), v.Source, v.ReadOnly)
			}
		}
	}
	for name, v := range j.model.Volumes {
		if device := v.DriverOpts["device"]; j.placed(device) {
			j.bind("volumes."+name+".driver_opts.device", device, false)
		}
	}
	for name, c := range j.model.Configs {
		if j.placed(c.File) {
			j.mountedFile("configs."+name+".file", c.File)
		}
	}
	for name, s := range j.model.Secrets {
		if j.placed(s.File) {
			j.mountedFile("secrets."+name+".file", s.File)
		}
	}
}

// placed reports whether a source lies in the stack's own directory.
func (j *judge) placed(source string) bool {
	return j.home != "" && beneath(source, j.home)
}

// stays reports whether a placed source is where it is said to be.
func (j *judge) stays(source string) bool {
	real, err := j.host.resolve(source)
	home, err2 := j.host.resolve(j.home)
	return err == nil && err2 == nil && beneath(real[len(real)-1], home[len(home)-1])
}

// bind judges a path of the host that a container gets.
func (j *judge) bind(key, source string, readOnly bool) {
	if j.own(source) {
		return
	}
	places, failed := j.host.resolve(source)
	named := source
	if len(places) > 1 {
		named = fmt.Sprintf("%s, which leads to %s", source, places[1])
		if j.placed(source) {
			// That it is in davit's directory is davit's doing.
			places = places[1:]
		}
	}
	touches := func(place string) bool {
		// Monitors mount the whole host to be read, which is for the rules to judge.
		return j.host.inData(place) || !readOnly && j.host.holdsData(place)
	}
	if slices.ContainsFunc(places, touches) {
		j.forbid(RuleDataDirectory, key, "%s: it is or holds one of davit's own directories, where the host's key, every stack's data and secrets and the agent's socket are", named)
		return
	}
	if slices.ContainsFunc(places, j.host.reachesSocket) {
		j.ask(RuleEngineSocket, key, "", "%s holds an engine's socket: whoever can speak to an engine is root on the host", named)
	}
	value := places[len(places)-1]
	if readOnly {
		value += readOnlySuffix
	}
	switch g := j.policy.grants(j.stack, RuleBind); {
	case g.all:
	case failed != nil:
		j.report(key, j.policy.violation(j.stack, RuleBind, source, fmt.Sprintf("%s cannot be followed on this host: %v", source, failed)))
	case !j.bindAllowed(g, value):
		j.report(key, j.policy.violation(j.stack, RuleBind, value, fmt.Sprintf("path %s of the host", named)))
	}
}

// bindAllowed follows the links of the allow-list too: /var/run is /run on most
// hosts.
func (j *judge) bindAllowed(g grant, value string) bool {
	m := ruleOf(RuleBind).matching
	return slices.ContainsFunc(g.items, func(item string) bool {
		path, readOnly := strings.CutSuffix(item, readOnlySuffix)
		// An item that cannot be followed stands for what it is written as.
		real, _ := j.host.resolve(path)
		return slices.ContainsFunc(real, func(p string) bool {
			if readOnly {
				p += readOnlySuffix
			}
			return m.match(p, value)
		})
	})
}

// networks judges the networks that the project makes or joins.
func (j *judge) networks() {
	for _, key := range slices.Sorted(maps.Keys(j.model.Networks)) {
		n, at := j.model.Networks[key], "networks."+key
		// A network's name is what the engine takes for the network mode.
		if n.Name == "host" || strings.HasPrefix(n.Name, "container:") {
			j.ask(RuleNetworkMode, at+".name", n.Name, "%s: a network of this name is network_mode by another way", n.Name)
		}
		if n.Driver != "" && !bool(n.External) {
			j.ask(RuleNetworkDriver, at+".driver", n.Driver, "network driver %s can reach the host's own network", n.Driver)
		}
		j.marks(at+".labels", n.Labels)
	}
}

// volumeNames are what the engine takes for volumes. Anything else may be a path.
var volumeNames = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// volumes judges what named volumes are made of.
func (j *judge) volumes() {
	for _, key := range slices.Sorted(maps.Keys(j.model.Volumes)) {
		v, at := j.model.Volumes[key], "volumes."+key
		if v.Name != "" && !volumeNames.MatchString(v.Name) {
			j.forbid(RuleVolumeName, at+".name", "%q is no volume's name, and the engine takes a path for a bind mount", v.Name)
			continue
		}
		if bool(v.External) || v.Name != "" && v.Name != j.stack+"_"+key {
			j.ask(RuleForeignVolumes, at+".name", v.Name, "volume %s may hold another stack's data, or be a bind mount that somebody made: this stack's own would be %s_%s", v.Name, j.stack, key)
		}
		if v.Driver != "" {
			j.ask(RuleVolumeDriver, at+".driver", v.Driver, "volume driver %s", v.Driver)
		}
		if v.Driver == "" || v.Driver == "local" {
			j.localVolume(at+".driver_opts", v.DriverOpts)
		}
		j.marks(at+".labels", v.Labels)
	}
}

// localVolume judges what the local driver is told to mount.
func (j *judge) localVolume(at string, opts types.Options) {
	kind, device := opts["type"], opts["device"]
	flags := strings.Split(opts["o"], ",")
	binds := func(flag string) bool { f := strings.TrimSpace(flag); return f == "bind" || f == "rbind" }
	switch {
	case slices.ContainsFunc(flags, binds):
		readOnly := slices.ContainsFunc(flags, func(f string) bool { return strings.TrimSpace(f) == "ro" })
		j.bind(at+".device", device, readOnly)
	case kind != "" || device != "":
		j.ask(RuleVolumeMount, at, kind, "mounts a file system of type %q from %q as the host's root", kind, device)
	}
}
