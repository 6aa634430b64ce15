package reconcile

import (
	"slices"

	"davit/compose"
)

// retargets names the host ports at which the edge dials another port of the containers
// from now on, nil where there are none. At such a port nobody can stand beside whoever
// served it before: an edge dials all members at one target, and theirs is another.
func (p *planner) retargets(u *unit) []compose.PublishedPort {
	if p.edge == nil || p.away() {
		return nil
	}
	r, _ := p.edge.Route(p.project.Name, u.Name)
	if !slices.ContainsFunc(r.Members, func(m Member) bool { return m.Draining.IsZero() }) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(u.edge), func(port compose.PublishedPort) bool {
		return !slices.ContainsFunc(r.Ports, func(o compose.PublishedPort) bool {
			return HostPortOf(o).Overlaps(HostPortOf(port)) && o.Target != port.Target
		})
	})
}

// shared are the ports of u that the edge can have while these containers, of whatever
// release, get something new, too. One that comes with this release, and that they do not
// serve, opens when none of them is left: the edge would pass them over at all ports.
func (p *planner) shared(u *unit, beside []Container) []compose.PublishedPort {
	r, _ := p.edge.Route(p.project.Name, u.Name)
	return slices.DeleteFunc(slices.Clone(u.edge), func(port compose.PublishedPort) bool {
		unserved := func(c Container) bool { return r.hands(c.ID) && !slices.Contains(c.Edge, port.Container()) }
		return port.Balancer == "" && !r.holds(HostPortOf(port)) && slices.ContainsFunc(beside, unserved)
	})
}

// announce says in the plan why u is replaced otherwise than its strategy has it.
func (p *planner) announce(u *unit) {
	moved, canary := p.retargets(u), u.Settings.Strategy == compose.StrategyCanary
	if len(moved) == 0 || len(p.places(u)) == 0 || !canary && u.Replicas < 2 || u.Settings.Strategy == compose.StrategyBlueGreen {
		return
	}
	p.note("%s: all of it is replaced at once: behind %s is another port of the container now, and the edge cannot serve two releases there", u.Name, portList(moved))
}
