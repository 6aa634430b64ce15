package reconcile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"davit/compose"
)

// guardData refuses a plan that would point a writable mount of u somewhere else:
// the service would start without its data, and nobody would have been asked. A
// return to an earlier release is never refused, nor is a correction of drift:
// where their data is was decided before.
func (p *planner) guardData(u *unit) error {
	if u.fleet.missing == 0 || p.desired.Settled || p.unchanged(u) {
		return nil
	}
	c, ok := p.lastWriter(u)
	if !ok {
		return nil
	}
	for _, m := range c.Mounts {
		moved := p.moved(u, c, m)
		switch {
		case moved == "":
		case p.desired.Returning, u.Settings.AllowDataMove, p.project.Settings.AllowDataMove:
			p.note("%s finds other data than before: %s", u.Name, moved)
		default:
			return &Stalled{Reason: "service " + u.Name, Err: WithHint(
				fmt.Errorf("its data would be left behind: %s", moved),
				"move the data yourself and set x-davit.allow_data_move: true on %s, or leave the mount as it was", u.Name)}
		}
	}
	return nil
}

// unchanged reports whether the service is what the release before ran.
func (p *planner) unchanged(u *unit) bool {
	if p.desired.Previous == nil {
		return false
	}
	before, ok := p.desired.Previous.Service(u.Name)
	return ok && before.Spec == u.Hash
}

// lastWriter is the container whose data the next one of u should find: one that
// serves now, else the one that served last.
func (p *planner) lastWriter(u *unit) (Container, bool) {
	for _, c := range slices.Concat(p.predecessors(u), u.fleet.current) {
		return c, true
	}
	candidates := p.ancestors(u, slot{})
	i := slices.IndexFunc(candidates, func(c Container) bool { return p.proof(c) == 1 })
	if i < 0 {
		return Container{}, false
	}
	return candidates[i], true
}

// moved says how the data at one of c's mounts would be left behind, or "".
func (p *planner) moved(u *unit, c Container, m Mount) string {
	if !m.Writable || !m.holdsData() {
		return ""
	}
	now, kind := p.sourceAt(u, m.Path)
	switch {
	case kind == sourceNone:
		if elsewhere := p.mountedAt(u, m); elsewhere != "" && !mountsSourceAt(c, elsewhere, m) {
			return fmt.Sprintf("%s moves from %s to %s", m.name(), m.Path, elsewhere)
		}
		return ""
	case kind == sourceContent, kind == sourceUnnamed && m.unnamed():
		return ""
	case kind == sourceNamed && now == m.Source:
		return ""
	case kind == sourceUnnamed:
		now = "a volume without a name"
	}
	return fmt.Sprintf("%s is %s and would be %s", m.Path, m.name(), now)
}

// holdsData reports whether what a container writes there is to be found again.
func (m Mount) holdsData() bool {
	switch m.Kind {
	case MountVolume:
		return true
	case MountBind:
		return isData(m.Source)
	}
	return false
}

// isData reports whether a path of the host holds data, other than a socket, a
// device or what the kernel shows.
func isData(path string) bool {
	for _, other := range []string{"/dev", "/proc", "/sys"} {
		if path == other || strings.HasPrefix(path, other+"/") {
			return false
		}
	}
	return !strings.HasSuffix(path, ".sock")
}

func (m Mount) unnamed() bool { return m.Kind == MountVolume && anonymous.MatchString(m.Source) }

// name is the mount's source as a person would call it.
func (m Mount) name() string {
	switch {
	case m.unnamed():
		return "a volume without a name"
	case m.Kind == MountVolume:
		return "volume " + m.Source
	}
	return m.Source
}

// sourceKind says what a service mounts at a path.
type sourceKind int

const (
	// sourceNone: nothing.
	sourceNone sourceKind = iota
	// sourceNamed: a path of the host, or a volume with a name.
	sourceNamed
	// sourceUnnamed: a volume without a name, which is carried over.
	sourceUnnamed
	// sourceContent: something that holds no data, such as tracked content, read-only,
	// or tmpfs.
	sourceContent
)

// sourceAt is what the service declares, or its image, at a path.
func (p *planner) sourceAt(u *unit, path string) (source string, kind sourceKind) {
	for _, v := range u.Config.Volumes {
		if filepath.Clean(v.Target) != filepath.Clean(path) {
			continue
		}
		switch {
		case v.Type == "volume" && v.Source == "":
			return "", sourceUnnamed
		case v.Type == "volume":
			return p.project.Model.Volumes[v.Source].Name, sourceNamed
		case v.Type == "bind" && !p.isContent(v.Source):
			return filepath.Clean(v.Source), sourceNamed
		}
		return "", sourceContent
	}
	if mountsAt(u.Service, path) {
		return "", sourceContent // a tmpfs
	}
	if source, kind := p.lentAt(u, path); kind != sourceNone {
		return source, kind
	}
	if slices.Contains(u.image.Volumes, path) {
		return "", sourceUnnamed
	}
	return "", sourceNone
}

// lentAt is what the service gets at a path from others, by volumes_from.
func (p *planner) lentAt(u *unit, path string) (source string, kind sourceKind) {
	for _, from := range u.Config.VolumesFrom {
		name, _, _ := strings.Cut(from, ":")
		o := p.units[name]
		if o == nil || o == u {
			continue
		}
		if source, kind := p.sourceAt(o, path); kind != sourceNone {
			return source, kind
		}
	}
	return "", sourceNone
}

// isContent reports whether the path is that of tracked content that never changes.
func (p *planner) isContent(path string) bool {
	return slices.ContainsFunc(p.project.Content, func(c compose.Content) bool { return c.To == path && !c.Writable })
}

// mountedAt is where the service mounts the source of m, writable; "" for nowhere.
func (p *planner) mountedAt(u *unit, m Mount) string {
	for _, v := range u.Config.Volumes {
		if v.ReadOnly {
			continue
		}
		if source, kind := p.sourceAt(u, v.Target); kind == sourceNamed && source == m.Source {
			return v.Target
		}
	}
	return ""
}

func mountsSourceAt(c Container, path string, m Mount) bool {
	return slices.ContainsFunc(c.Mounts, func(o Mount) bool { return o.Path == path && o.Source == m.Source })
}

// guardVolumes refuses a new definition of a volume that exists: Compose would
// delete it and make it anew.
func (p *planner) guardVolumes(o Observed) error {
	for _, key := range sortedKeys(p.project.Model.Volumes) {
		declared := p.project.Model.Volumes[key]
		i := slices.IndexFunc(o.Volumes, func(v Volume) bool { return v.Name == declared.Name })
		if bool(declared.External) || i < 0 {
			continue
		}
		v := o.Volumes[i]
		if v.Stack != p.project.Name || v.ConfigHash == "" || v.ConfigHash == p.project.VolumeHash(key) {
			continue
		}
		if before := p.desired.PreviousProject; p.desired.Settled || p.desired.Returning || before != nil && before.VolumeHash(key) == p.project.VolumeHash(key) {
			p.note("volume %s was made from another definition; it is left as it is", declared.Name)
			continue
		}
		return &Stalled{Reason: "volume " + key, Err: WithHint(
			fmt.Errorf("volume %s exists with another definition, and a volume is never made anew", declared.Name),
			"give it another name in the file, move the data yourself and set x-davit.allow_data_move: true on the services that mount it, or leave the definition as it was")}
	}
	return nil
}
