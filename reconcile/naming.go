package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// names are a new container's name at creation and in the end. They differ while
// a fixed container_name is lent: its present holder keeps it until it is gone.
func (p *planner) names(u *unit, r Replica) (name, final string) {
	numbered := fmt.Sprintf("%s-%s-%d", p.project.Name, u.Name, r.Number)
	if u.Config.ContainerName == "" {
		return numbered, numbered
	}
	if p.holder(u.Config.ContainerName) != nil {
		return numbered, u.Config.ContainerName
	}
	return u.Config.ContainerName, u.Config.ContainerName
}

// holder is this stack's container that has the name now.
func (p *planner) holder(name string) *Container {
	for i := range p.owned {
		if p.owned[i].Name == name && p.owned[i].State != Removing {
			return &p.owned[i]
		}
	}
	return nil
}

// rename gives a lent container_name back to the replica in service.
func (p *planner) rename(u *unit) {
	final := u.Config.ContainerName
	if final == "" {
		p.renameBack(u)
		return
	}
	holder, r, ok := p.holder(final), Replica{}, false
	for _, s := range p.plan.Steps {
		if s.Service == u.Name && s.Kind == StepGate && s.Replica.ID != "" || s.Kind == StepCreate && s.Service == u.Name && s.Create.Name != final {
			r, ok = s.Replica, true
		}
	}
	for _, c := range u.fleet.current {
		if c.Name != final && !ok {
			r, ok = replicaOf(c), true
		}
	}
	if !ok || holder != nil && holder.ID == r.ID {
		return
	}
	after := append([]int(nil), u.last...)
	if holder != nil {
		aside := fmt.Sprintf("%s-%s-%d", p.project.Name, u.Name, holder.Number)
		after = []int{p.add(Step{Kind: StepRename, Service: u.Name, Replica: replicaOf(*holder), Resource: aside,
			Reason: "to " + aside + ", its successor takes the name " + final}, after...)}
	}
	u.last = append(u.last, p.add(Step{Kind: StepRename, Service: u.Name, Replica: r, Resource: final,
		Reason: "to " + final + ", as declared"}, after...))
}

// renameBack gives replicas the names that they were made with, which somebody has
// changed. Compose's older way to write them, which adopted ones may have, is fine.
func (p *planner) renameBack(u *unit) {
	for _, c := range u.fleet.current {
		want := fmt.Sprintf("%s-%s-%d", p.project.Name, u.Name, c.Number)
		older := fmt.Sprintf("%s_%s_%d", p.project.Name, u.Name, c.Number)
		if !p.desired.Settled || c.Name == want || c.Name == older || p.taken(want) {
			continue
		}
		u.last = append(u.last, p.add(Step{Kind: StepRename, Service: u.Name, Replica: replicaOf(c), Resource: want,
			Reason: "to " + want + ", it was renamed to " + c.Name}, u.last...))
	}
}

// taken reports whether a container of the stack, whoever made it, has the name.
func (p *planner) taken(name string) bool {
	return slices.ContainsFunc(slices.Concat(p.owned, p.others), func(c Container) bool { return c.Name == name })
}

// carry are the volumes that s takes over from the containers before it: those
// without a name in the file, which would otherwise be left behind with their
// data. None is handed out twice, or two replicas would write one volume.
func (p *planner) carry(u *unit, s slot) map[string]string {
	for _, from := range p.ancestors(u, s) {
		out := map[string]string{}
		for _, path := range p.unnamed(u) {
			if name := from.Volumes[strings.TrimSuffix(path, "/")]; name != "" && !u.claimed(name) && !p.anothers(u, name) {
				out[path] = name
			}
		}
		if len(out) > 0 {
			u.carried = append(u.carried, slices.Collect(maps.Values(out))...)
			return out
		}
	}
	return nil
}

// unnamed are the paths at which the service has volumes without a name of its own:
// those that the file leaves anonymous, and those of the image's VOLUME instructions
// that do not come from another service.
func (p *planner) unnamed(u *unit) []string {
	var paths []string
	for _, v := range u.Config.Volumes {
		if v.Type == "volume" && v.Source == "" {
			paths = append(paths, v.Target)
		}
	}
	for _, path := range u.image.Volumes {
		if _, kind := p.lentAt(u, path); !mountsAt(u.Service, path) && kind == sourceNone {
			paths = append(paths, path)
		}
	}
	return paths
}

// claimed reports whether a replica that runs, or will, has the volume.
func (u *unit) claimed(volume string) bool {
	for _, c := range slices.Concat(u.fleet.current, u.fleet.idle) {
		if mounts(c, volume) {
			return true
		}
	}
	return slices.Contains(u.carried, volume)
}

// anothers reports whether the volume is that of a container of another service that
// is declared: one that was only lent, by volumes_from.
func (p *planner) anothers(u *unit, volume string) bool {
	return slices.ContainsFunc(p.owned, func(c Container) bool {
		return c.Service != u.Name && p.units[c.Service] != nil && mounts(c, volume)
	})
}

func mounts(c Container, volume string) bool {
	return slices.Contains(slices.Collect(maps.Values(c.Volumes)), volume)
}

// ancestors are the containers whose data s may go on with, the best first: the
// one that it replaces, the others that are replaced, what stopped last having
// served, and then whatever else has data of the service.
func (p *planner) ancestors(u *unit, s slot) []Container {
	var out []Container
	if s.takes != nil {
		out = append(out, *s.takes)
	}
	rest := slices.Concat(u.fleet.spare, u.fleet.resting, u.fleet.old)
	slices.SortStableFunc(rest, func(a, b Container) int {
		return cmp.Or(cmp.Compare(p.proof(b), p.proof(a)), b.Finished.Compare(a.Finished))
	})
	if s.takes == nil && p.open(u) > 0 { // it stands where somebody was lost
		out = append(out, rest...)
	}
	out = append(out, p.predecessors(u)...)
	for _, volumes := range p.desired.Data[u.Name] {
		rest = append(rest, Container{Service: u.Name, Volumes: volumes}) // removed by hand, remembered
	}
	return append(out, rest...)
}

// proof is 1 for a container that may have served, 0 for one that failed or was
// cut off before.
func (p *planner) proof(c Container) int {
	if p.failed(c) || p.neverServed(c) || c.Started.IsZero() {
		return 0
	}
	return 1
}

// failed reports whether c failed, whether or not it is kept for inspection.
func (p *planner) failed(c Container) bool {
	_, failed := p.desired.Failed[c.ID]
	return failed
}
