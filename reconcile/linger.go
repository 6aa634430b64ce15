package reconcile

import (
	"fmt"
	"slices"
	"time"
)

// linger is how long a container goes on serving once others are known by its service's
// name, too. Docker's DNS knows of them from the moment at which they join, so that this
// is for callers who have asked before and dial just now, and know nobody else; and for
// those who asked while they joined: Docker names an address a moment before somebody is
// there, and what is sent in that moment is sent again after a second. Whoever gives up
// earlier than that calls here.
const linger = time.Second

// linger plans that c goes on serving for whoever has asked for its service before the
// others had its name, and returns what is to come before its end.
//
// Nobody knows when a container got its name, and so nothing here is measured: a plan
// that is made after a crash waits anew, which is never too short.
func (p *planner) linger(c Container, after []int) []int {
	u := p.units[c.Service]
	if u == nil || !u.rules.StartFirst || c.State != Running || !hasName(c) || !p.othersAnswer(u, c, after) {
		return nil
	}
	key := fmt.Sprint(slices.Sorted(slices.Values(after)))
	if u.lingers == nil {
		u.lingers = map[string]int{}
	}
	if _, planned := u.lingers[key]; !planned {
		u.lingers[key] = p.add(Step{Kind: StepDelay, Service: u.Name, Wait: linger,
			Reason: brief(linger) + " for callers who asked for " + u.Name + " before"}, after...)
	}
	return []int{u.lingers[key]}
}

// hasName reports whether c is found by its service's name anywhere.
func hasName(c Container) bool { return len(c.Endpoints) > 0 && c.Findable() }

// othersAnswer reports whether somebody else is found by the name of u when c is to go:
// one that is so now and stays, or one that joins before.
func (p *planner) othersAnswer(u *unit, c Container, after []int) bool {
	stays := func(x Container) bool {
		return x.ID != c.ID && x.State == Running && hasName(x) && u.halted[x.ID] == "" && p.stopped[x.ID] == 0
	}
	return slices.ContainsFunc(u.fleet.current, stays) || slices.ContainsFunc(p.plan.Steps, func(s Step) bool {
		return s.Kind == StepJoin && s.Service == u.Name && p.before(s.ID, after)
	})
}

// before reports whether the step id is one of steps, or comes before one of them.
func (p *planner) before(id int, steps []int) bool {
	return slices.ContainsFunc(steps, func(s int) bool { return s == id || p.implied[s][id] })
}
