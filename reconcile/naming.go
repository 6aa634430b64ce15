package reconcile

import (
	"fmt"
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

// carry are the volumes that s takes over from the container before it: those
// without a name in the file, which would otherwise be left behind with their
// data.
func (p *planner) carry(u *unit, s slot) map[string]string {
	from := p.predecessor(u, s)
	if from == nil {
		return nil
	}
	out := map[string]string{}
	for _, v := range u.Config.Volumes {
		if name := from.Volumes[strings.TrimSuffix(v.Target, "/")]; v.Type == "volume" && v.Source == "" && name != "" {
			out[v.Target] = name
		}
	}
	for _, path := range u.image.Volumes {
		if name := from.Volumes[path]; name != "" && !mountsAt(u.Service, path) {
			out[path] = name
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// predecessor is the container whose data s goes on with: the one that it
// replaces, else the replica of the service that stopped last.
func (p *planner) predecessor(u *unit, s slot) *Container {
	if s.takes != nil {
		return s.takes
	}
	if len(u.fleet.current) > 0 {
		return nil // an additional replica has data of its own
	}
	var last *Container
	for i := range u.fleet.spare {
		if c := &u.fleet.spare[i]; last == nil || c.Finished.After(last.Finished) {
			last = c
		}
	}
	return last
}
