package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
)

// borrowed are the services of whose containers those of s are made, by what they
// borrow: a namespace, or volumes. A container refers to another by its ID, so that
// borrower and owner are replaced together.
func borrowed(s compose.Service) map[string]string {
	out := namespaces(s)
	for _, from := range s.Config.VolumesFrom {
		name, _, _ := strings.Cut(from, ":")
		if name+":" != types.ContainerPrefix && out[name] == "" {
			out[name] = "volumes"
		}
	}
	return out
}

// namespaces are the services whose namespaces s shares. When an owner stops they
// are gone, and whoever was in one of them has to start again.
func namespaces(s compose.Service) map[string]string {
	out := map[string]string{}
	for _, mode := range []struct{ value, what string }{{s.Config.Ipc, "IPC"}, {s.Config.Pid, "processes"}, {s.Config.NetworkMode, "network"}} {
		if owner, ok := strings.CutPrefix(mode.value, types.ServicePrefix); ok {
			out[owner] = mode.what
		}
	}
	return out
}

// linked are the services that s knows by links, which name their containers.
func linked(s compose.Service) []string {
	var out []string
	for _, link := range s.Config.Links {
		name, _, _ := strings.Cut(link, ":")
		out = append(out, name)
	}
	return out
}

// borrowers are the declared services that borrow from the one called owner.
func (p *planner) borrowers(owner string) []string {
	var out []string
	for _, s := range p.project.Services {
		if has(borrowed(s), owner) {
			out = append(out, s.Name)
		}
	}
	return out
}

// adrift says why c refers to a container that will not be there, or "". The fleets
// of the services that it borrows from are known.
func (p *planner) adrift(u *unit, c Container) string {
	from := borrowed(u.Service)
	for _, name := range sortedKeys(from) {
		o := p.units[name]
		if o == nil || u.completed(c) {
			continue
		}
		kept := slices.Concat(o.fleet.current, o.fleet.idle)
		known := slices.ContainsFunc(kept, func(k Container) bool { return slices.Contains(c.Borrows, k.ID) })
		if !known && len(kept)+o.fleet.missing > 0 {
			return fmt.Sprintf("shares the %s of %s, which is replaced", from[name], name)
		}
	}
	return ""
}

// outrun says which of the services that c is restarted with has been, or will be,
// replaced after c started, or "".
func (p *planner) outrun(u *unit, c Container) string {
	if u.OneShot {
		return ""
	}
	links := linked(u.Service)
	for _, d := range u.DependsOn {
		o := p.units[d.Service]
		if o == nil || has(borrowed(u.Service), d.Service) || !d.Restart && !slices.Contains(links, d.Service) {
			continue
		}
		if p.replacedSince(o, c) {
			return fmt.Sprintf("restarts with %s, which is replaced", d.Service)
		}
	}
	return ""
}

// replacedSince reports whether every container of o is, or will be, newer than
// the present run of c. One that the release before did not have was not replaced.
func (p *planner) replacedSince(o *unit, c Container) bool {
	if p.desired.Previous == nil {
		return false
	}
	if _, before := p.desired.Previous.Service(o.Name); !before {
		return false
	}
	f := o.fleet
	if slices.ContainsFunc(f.current, func(k Container) bool { return k.Release == 0 || !k.Created.After(c.Started) }) {
		return false
	}
	if len(f.current) > 0 {
		return !p.desired.Settled
	}
	return f.missing > 0 || len(f.idle) > 0 && len(f.old) > 0
}

// halt says why c, which is what is desired, has to be stopped and started again, or
// "": a network that it is in is made anew, or a namespace that it shares ends.
func (p *planner) halt(u *unit, c Container) string {
	if u.completed(c) {
		return ""
	}
	for _, key := range sortedKeys(u.Config.Networks) {
		if has(p.renewed, key) {
			return "network " + key + " is made anew"
		}
	}
	shared := namespaces(u.Service)
	for _, name := range sortedKeys(shared) {
		o := p.units[name]
		if o == nil {
			continue
		}
		restarts := func(k Container) bool { return slices.Contains(c.Borrows, k.ID) }
		if slices.ContainsFunc(o.fleet.idle, restarts) ||
			slices.ContainsFunc(o.fleet.current, func(k Container) bool { return restarts(k) && o.halted[k.ID] != "" }) {
			return fmt.Sprintf("shares the %s of %s, which starts again", shared[name], name)
		}
	}
	return ""
}

// peers are the containers, by service, that a new container of u refers to: those
// that will be in service, the lowest number first.
func (p *planner) peers(u *unit) map[string][]PeerReplica {
	names := slices.Concat(sortedKeys(borrowed(u.Service)), linked(u.Service))
	out := map[string][]PeerReplica{}
	for _, name := range names {
		o := p.units[name]
		if o == nil || out[name] != nil {
			continue
		}
		var list []PeerReplica
		for _, c := range slices.Concat(o.fleet.current, o.fleet.idle) {
			list = append(list, PeerReplica{Replica: replicaOf(c), Name: c.Name})
		}
		for _, s := range p.plan.Steps {
			if s.Kind == StepCreate && s.Service == name {
				list = append(list, PeerReplica{Replica: s.Replica, Name: cmp.Or(s.Create.Final, s.Create.Name)})
			}
		}
		slices.SortStableFunc(list, func(a, b PeerReplica) int { return cmp.Compare(a.Replica.Number, b.Replica.Number) })
		out[name] = list
	}
	return out
}

// made are the steps that create the peers that do not exist yet.
func (p *planner) made(peers map[string][]PeerReplica) []int {
	var out []int
	for _, s := range p.plan.Steps {
		if s.Kind == StepCreate && slices.ContainsFunc(peers[s.Service], func(r PeerReplica) bool { return r.Replica == s.Replica }) {
			out = append(out, s.ID)
		}
	}
	return out
}

// createBorrowers makes the containers of whoever borrows from u, before anything
// of either is stopped, and returns the steps.
func (p *planner) createBorrowers(u *unit, after []int) []int {
	var out []int
	for _, name := range p.borrowers(u.Name) {
		b := p.units[name]
		places := p.places(b)
		for i := range places {
			if s := &places[i]; s.create && s.made == 0 {
				s.made = p.create(b, *s, slices.Concat(p.base, after)...)
				out = append(out, s.made)
			}
		}
		out = append(out, p.createBorrowers(b, after)...)
	}
	return out
}

// stopBorrowers stops whoever borrows from u and has to go when u stops, the last in
// the chain first, and returns the steps.
func (p *planner) stopBorrowers(u *unit, after []int) []int {
	var out []int
	for _, name := range p.borrowers(u.Name) {
		b := p.units[name]
		before := slices.Concat(after, p.stopBorrowers(b, after))
		for _, c := range b.fleet.old {
			out = append(out, p.retire(b, c, before...))
		}
		for _, c := range b.fleet.current {
			if why := b.halted[c.ID]; why != "" {
				out = append(out, p.stop(c, why, before...))
			}
		}
	}
	return out
}
