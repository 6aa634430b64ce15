package reconcile

import (
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// standsBy reports whether c, which has been replaced, may go on running where nobody
// finds it, for an instant return. What cannot be told from a replica in service by its
// name and by what the edge hands it stops.
func (p *planner) standsBy(u *unit, c Container) bool {
	switch {
	case u.Settings.Standby != compose.StandbyRunning || u.Settings.StandbyFor == 0 || !u.rules.StartFirst || u.OneShot:
		return false
	case c.State != Running || p.failed(c) || p.neverServed(c) || u.made(c):
		return false
	}
	return len(c.Published) == 0 && !p.inRenewed(c) && p.nameable(u, c)
}

// nameable reports whether c is in just the networks of u, where it can be given the name
// of its service, and that name be taken from it.
func (p *planner) nameable(u *unit, c Container) bool {
	if u.Config.NetworkMode != "" || len(c.Endpoints) != len(u.Config.Networks) || !p.plugged(u, c) {
		return false
	}
	return slices.ContainsFunc(sortedKeys(u.Config.Networks), func(key string) bool {
		return u.Config.Networks[key].ServiceNameAliasEnabled()
	})
}

// rests reports whether c is a running standby: nobody finds it, and the edge hands it
// nothing new.
func (p *planner) rests(u *unit, c Container) bool {
	return p.standsBy(u, c) && !c.Findable() && !p.handed(c)
}

// handed reports whether the edge is known to hand something new to c.
func (p *planner) handed(c Container) bool {
	if p.edge == nil || p.away() {
		return false
	}
	m, in := p.edge.Member(c.ID)
	return in && m.Draining.IsZero()
}

// resting reports whether c is a running standby of one of the services.
func (p *planner) resting(c Container) bool {
	u := p.units[c.Service]
	return u != nil && slices.ContainsFunc(u.fleet.resting, func(r Container) bool { return r.ID == c.ID })
}

// wornOut reports whether c, a standby of what is desired again, is no use to a return.
func (p *planner) wornOut(c Container) bool {
	return p.desired.Returning && p.desired.Served[c.ID] && c.State == Running && c.Health == Unhealthy && !c.Findable() && !p.handed(c)
}

// lie plans that c, which has been replaced, becomes a running standby, and returns the
// last step of it. Its name goes when nothing comes from the edge any more: for that it
// leaves its networks for a moment.
func (p *planner) lie(u *unit, c Container, after ...int) int {
	if id, planned := p.lain[c.ID]; planned {
		return id
	}
	first := len(p.plan.Steps)
	after = p.dismiss(c, "restart no, for a standby that is not to come back by itself", after)
	if c.Findable() {
		// Two that are out of a network at once may come back with each other's address.
		after = slices.Concat(after, u.leaves)
		after = []int{p.add(Step{Kind: StepLeave, Service: u.Name, Replica: replicaOf(c),
			Reason: fmt.Sprintf("replaced; running standby for %s%s", brief(u.Settings.StandbyFor), c.Limits.cost())}, after...)}
		u.leaves = after
	}
	p.protect(c, first)
	p.lain[c.ID] = after[len(after)-1]
	return p.lain[c.ID]
}

// cost is what a container that does no work may take all the same.
func (l Limits) cost() string {
	memory, cpus := bytes(l.Memory)+" of memory", fmt.Sprintf("%.2f CPUs", float64(l.NanoCPUs)/1e9)
	switch {
	case l.Memory == 0 && l.NanoCPUs == 0:
		return ", which no limit of memory or CPUs bounds"
	case l.NanoCPUs == 0:
		return ", up to " + memory
	case l.Memory == 0:
		return ", up to " + cpus
	}
	return ", up to " + memory + " and " + cpus
}

// relieve plans the end of running standbys: when their time is over, and before
// the containers of a third release start beside them.
func (p *planner) relieve(u *unit) {
	crowded := !p.desired.Settled && !p.desired.Returning &&
		slices.ContainsFunc(p.places(u), func(s slot) bool { return s.start })
	after := slices.Concat(p.base, u.before)
	for _, c := range u.fleet.resting {
		why, over := p.relieved(u, c, crowded)
		if !over {
			continue
		}
		first := len(p.plan.Steps)
		last := p.stop(c, why, after...)
		if c.Health != Unhealthy && !p.soleHolder(c) {
			p.removed[c.ID] = true
			p.add(Step{Kind: StepRemove, Service: u.Name, Replica: replicaOf(c), Reason: why}, last)
		}
		for i := range p.plan.Steps[first:] {
			p.plan.Steps[first+i].Clears = true
		}
		if crowded {
			u.before = append(u.before, last)
		}
	}
}

// relieved says why c, a running standby, stops now. What the release before ran is kept,
// however long this one takes: it is what a failure goes back to.
func (p *planner) relieved(u *unit, c Container, crowded bool) (why string, over bool) {
	until := p.desired.Left[c.ID].Add(u.Settings.StandbyFor)
	newest := slices.MaxFunc(u.fleet.resting, func(a, b Container) int { return p.desired.Left[a.ID].Compare(p.desired.Left[b.ID]) })
	switch {
	case c.Health == Unhealthy:
		return "running standby became unhealthy", true
	case p.wayBack(u, c):
		return "", false
	case crowded, c.Spec != newest.Spec, c.ImageID != newest.ImageID:
		return "older than the standby", true
	case p.now.Before(until):
		p.again(until)
		return "", false
	}
	return "running standby of " + brief(u.Settings.StandbyFor) + " is over", true
}

// wayBack reports whether c ran in the release that a failure of this one goes back to.
func (p *planner) wayBack(u *unit, c Container) bool {
	if p.desired.Settled || p.desired.Previous == nil {
		return false
	}
	rec, ok := p.desired.Previous.Service(u.Name)
	return ok && c.Spec == rec.Spec && c.ImageID == rec.Image.ID
}

// awake reports whether everything that u still needs runs already and was in service
// before: a running standby returns at once, all of it.
func (p *planner) awake(u *unit) bool {
	slots := p.places(u)
	return u.rules.StartFirst && len(slots) > 0 && !slices.ContainsFunc(slots, func(s slot) bool {
		return s.from == nil || s.start || !p.desired.Served[s.from.ID]
	})
}

// lives are, by container, the end of the last good release that ran it, and the end of
// the first one after it, since when it is out of service.
func lives(history []Release) (ran, left map[string]time.Time) {
	ran, left = map[string]time.Time{}, map[string]time.Time{}
	for _, r := range slices.Backward(history) {
		if !r.Good() {
			continue
		}
		runs := map[string]bool{}
		for _, s := range r.Services {
			for _, id := range s.Containers {
				runs[id], ran[id] = true, r.Finished
				delete(left, id)
			}
		}
		for id := range ran {
			if !runs[id] && left[id].IsZero() {
				left[id] = r.Finished
			}
		}
	}
	return ran, left
}

// unable refuses running standbys of what is replaced stop-first: they would be in the
// way of what the order keeps apart. What was good once is kept up, or goes back, without.
func (p *planner) unable(u *unit) error {
	if u.Settings.Standby != compose.StandbyRunning || u.rules.StartFirst || u.OneShot || p.desired.Returning || p.desired.Settled {
		return nil
	}
	return &Stalled{Reason: "service " + u.Name, Err: WithHint(
		fmt.Errorf("a running standby is not possible: it is replaced %s", u.rules), "take x-davit.standby.mode: running out")}
}
