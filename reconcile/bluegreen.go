package reconcile

import (
	"slices"

	"davit/compose"
)

// atOnce reports whether all replicas of u are replaced together: as is declared, because
// they run already, or because at one of their ports the edge cannot serve two releases.
func (p *planner) atOnce(u *unit) bool {
	return u.rules.StartFirst && (u.Settings.Strategy == compose.StrategyBlueGreen || len(p.retargets(u)) > 0) || p.awake(u)
}

// blueGreen plans for u what replace plans for others: nobody finds any of the new
// containers before all of them are ready, and then everything goes to them by one table
// of the edge. It is the last step of a canary without those before it. Where there is an
// analysis, the set is judged when it has everything, with nothing beside it.
func (p *planner) blueGreen(u *unit) {
	p.announce(u)
	c := canary{planner: p, u: u, old: u.fleet.old, barrier: slices.Clone(u.back), own: map[Replica]int{}, crew: p.places(u), hurried: p.awake(u)}
	c.held = p.resume(u, nil)
	u.last = append(u.last, c.held...)
	c.begin()
	if len(c.crew) > 0 {
		served := c.takeOver()
		u.last = append(u.last, p.trial(u, batch{slots: c.crew}, served)...)
		return
	}
	for _, x := range c.old {
		u.last = append(u.last, p.retire(u, x, u.ready...))
	}
}

// set is the obstacle to a whole second set of s beside the first that none to a single
// container is: Docker deals out host ports by the container, and nothing could hand
// them over.
func set(s compose.Service, o obstacle) obstacle {
	if o.forbids || len(s.Config.Ports) == 0 {
		return o
	}
	return obstacle{"publishes a port at a host port of Docker's choice", true, "give the port a fixed host port, and leave it to the edge or a load balancer"}
}
