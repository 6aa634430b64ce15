package reconcile

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"davit/compose"
)

// evict plans the stop of whatever else still writes a volume, or a path of the
// host, that s is about to write, and returns the last steps of it: a service that
// is no longer declared, or under another name, or no longer with this source.
// Services that both declare the source share it because the file says so. made is
// the step that creates s.
func (p *planner) evict(u *unit, s slot, made int, after []int) []int {
	if !s.start || u.Settings.ConcurrentWriters {
		return nil
	}
	var gone []int
	for _, source := range p.written(u, s, made) {
		p.heed(u, source)
		for _, c := range p.owned {
			if !c.Running() && c.State != Restarting || !writes(c, source) {
				continue
			}
			switch holder := p.units[c.Service]; {
			case holder != nil && p.shares(holder, u, c, source):
			case holder == u && !slices.ContainsFunc(u.fleet.old, func(o Container) bool { return o.ID == c.ID }):
			case holder == u:
				gone = append(gone, p.retire(u, c, after...))
			case holder == nil && !p.project.Settings.Prune:
				p.refuse(u, c, source)
			default:
				gone = append(gone, p.stop(c, fmt.Sprintf("%s takes over its %s", u.Name, p.called(source)), after...))
			}
		}
	}
	return gone
}

// refuse ends the planning: two services would write one volume, and the file
// says that neither is to stop.
func (p *planner) refuse(u *unit, c Container, source string) {
	what := source
	if !filepath.IsAbs(source) {
		what = "volume " + source
	}
	p.refusal = &Stalled{Reason: fmt.Sprintf("service %s", u.Name), Err: WithHint(
		fmt.Errorf("it would write %s beside %s, which is no longer declared and left running because prune is false", what, c.Name),
		"stop %s by hand, or set x-davit.concurrent_writers: true on %s if both may write it at once", c.Name, u.Name)}
}

// called is a source as a person of this stack would call it.
func (p *planner) called(source string) string {
	if filepath.IsAbs(source) {
		return source
	}
	return "volume " + strings.TrimPrefix(source, p.project.Name+"_")
}

// written are the names of the volumes, and the paths of the host, that s writes
// once it runs.
func (p *planner) written(u *unit, s slot, made int) []string {
	var out []string
	for _, v := range u.Config.Volumes {
		switch {
		case v.ReadOnly || v.Source == "":
		case v.Type == "volume":
			out = append(out, p.project.Model.Volumes[v.Source].Name)
		case v.Type == "bind" && isData(v.Source):
			out = append(out, filepath.Clean(v.Source))
		}
	}
	if s.from != nil {
		for _, path := range p.unnamed(u) {
			out = append(out, s.from.Volumes[strings.TrimSuffix(path, "/")])
		}
	}
	if made > 0 {
		for _, path := range sortedKeys(p.plan.Steps[made-1].Create.Carry) {
			out = append(out, p.plan.Steps[made-1].Create.Carry[path])
		}
	}
	return slices.DeleteFunc(out, func(name string) bool { return name == "" })
}

// shares reports whether the file says that c, a container of the service holder, is
// in the source beside u: it is what is declared, or will write the source like what
// takes its place, itself or by a loan.
func (p *planner) shares(holder, u *unit, c Container, source string) bool {
	if holder != u && slices.ContainsFunc(holder.fleet.current, func(k Container) bool { return k.ID == c.ID }) {
		return true
	}
	return declares(p.project, holder.Name, source) || slices.Contains(lenders(p.project, holder.Name), u.Name)
}

// declares reports whether the service of the project mounts the volume, or something
// of that path of the host, for writing, be it lent by another service.
func declares(project *compose.Project, service, source string) bool {
	for _, name := range append(lenders(project, service), service) {
		s, _ := project.Service(name)
		for _, v := range s.Config.Volumes {
			switch {
			case v.ReadOnly:
			case v.Type == "volume" && v.Source != "" && project.Model.Volumes[v.Source].Name == source:
				return true
			case v.Type == "bind" && overlap(v.Source, source):
				return true
			}
		}
	}
	return false
}

// lenders are the services whose volumes the service has, by volumes_from.
func lenders(project *compose.Project, service string) []string {
	var out []string
	s, _ := project.Service(service)
	for _, from := range s.Config.VolumesFrom {
		if name, _, _ := strings.Cut(from, ":"); name != service {
			out = append(append(out, name), lenders(project, name)...)
		}
	}
	return out
}

// writes reports whether c can write to the volume, or to something of that path of
// the host.
func writes(c Container, source string) bool {
	if !filepath.IsAbs(source) {
		readOnly := slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Source == source && !m.Writable })
		writable := slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Source == source && m.Writable })
		return mounts(c, source) && (writable || !readOnly)
	}
	return slices.ContainsFunc(c.Mounts, func(m Mount) bool {
		return m.Kind == MountBind && m.Writable && isData(m.Source) && overlap(m.Source, source)
	})
}

// overlap reports whether two paths of the host are one, or one is in the other.
func overlap(a, b string) bool {
	a, b = filepath.Clean(a), filepath.Clean(b)
	inside := func(inner, outer string) bool { return strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/") }
	return a == b || filepath.IsAbs(a) && filepath.IsAbs(b) && (inside(a, b) || inside(b, a))
}

// anonymous is what the engine calls a volume that nobody named.
var anonymous = regexp.MustCompile("^[0-9a-f]{64}$")

// unnamedIn are the container's volumes without a name, by path.
func unnamedIn(c Container) map[string]string {
	out := map[string]string{}
	for path, volume := range c.Volumes {
		if anonymous.MatchString(volume) {
			out[path] = volume
		}
	}
	return out
}

// soleHolder reports whether c is the only container that still knows of a volume
// without a name which has been written. Without it nobody would find the data
// again.
func (p *planner) soleHolder(c Container) bool {
	if c.Started.IsZero() {
		return false
	}
	for _, volume := range c.Volumes {
		if anonymous.MatchString(volume) && !p.heldBeside(c, volume) {
			return true
		}
	}
	return false
}

// heldBeside reports whether a container that stays has the volume, too. One that
// never ran may not stay.
func (p *planner) heldBeside(c Container, volume string) bool {
	return slices.ContainsFunc(p.owned, func(o Container) bool {
		return o.ID != c.ID && o.State != Removing && !o.Started.IsZero() && !p.removed[o.ID] && mounts(o, volume)
	})
}
