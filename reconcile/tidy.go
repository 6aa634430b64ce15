package reconcile

import (
	"fmt"
	"slices"
	"time"
)

// DefaultStandby is how long the containers of a service that is no longer
// declared are kept, stopped.
const DefaultStandby = 30 * time.Minute

// settling is how long a container that somebody else made and has not started
// yet counts as one that is about to be: Compose makes it, stops the one that it
// replaces, and only then starts it.
const settling = time.Minute

// noLonger is why a service that the project does not name stops.
func noLonger() string { return "no longer declared; standby for " + brief(DefaultStandby) }

// retireUndeclared stops services that the project no longer names. It comes
// after everything else, so that nobody loses a neighbour before the new order
// stands.
func (p *planner) retireUndeclared() {
	after := p.end()
	for _, c := range p.owned {
		if p.units[c.Service] != nil || !c.Running() && c.State != Restarting {
			continue
		}
		// What a failed release found there, having served, is not what it has brought.
		failed := (p.failed(c) || p.neverServed(c)) && !p.desired.Served[c.ID]
		if !p.project.Settings.Prune && !failed {
			p.note("%s is no longer declared; left running because prune is false", replicaOf(c))
			continue
		}
		why := noLonger()
		if failed {
			why = "left over from a release that did not succeed"
		}
		p.stop(c, why, after...)
	}
}

// end are the steps after which every service is as it is to be.
func (p *planner) end() []int {
	after := slices.Clone(p.hooked)
	for _, name := range p.sequence {
		after = append(after, p.units[name].ready...)
		after = append(after, p.units[name].last...)
	}
	return after
}

// tidy removes stopped containers that serve nobody, after the rollout that may
// still need them.
func (p *planner) tidy() {
	services := map[string][]Container{}
	for _, c := range p.owned {
		switch u := p.units[c.Service]; {
		case u != nil && !slices.ContainsFunc(u.fleet.spare, func(s Container) bool { return s.ID == c.ID }):
		case c.Running() || c.State == Restarting || c.State == Removing:
		default:
			services[c.Service] = append(services[c.Service], c)
		}
	}
	for _, name := range sortedKeys(services) {
		keep, after := DefaultStandby, []int(nil)
		if u := p.units[name]; u != nil {
			keep, after = u.Settings.StandbyFor, slices.Concat(u.ready, u.last)
		} else if !p.project.Settings.Prune {
			continue
		}
		p.sweep(services[name], keep, after)
	}
}

// sweep removes all of a service's spare containers but the standby and what is
// kept for inspection.
func (p *planner) sweep(spare []Container, keep time.Duration, after []int) {
	standby := p.standby(spare)
	// The oldest first: of several that hold the same data the last one stays.
	slices.SortStableFunc(spare, func(a, b Container) int { return a.Finished.Compare(b.Finished) })
	for _, c := range spare {
		kept := p.desired.Failed[c.ID]
		until := p.outOfService(c).Add(keep)
		reason := "standby of " + brief(keep) + " is over"
		switch {
		case kept:
			continue
		case p.soleHolder(c):
			continue
		case c.Foreign && c.State == Created && p.now.Before(c.Created.Add(settling)):
			p.again(c.Created.Add(settling))
			continue
		case p.failed(c):
			reason = "failed, and a later release succeeded"
		case c.State == Created:
			reason = "left over, never started"
		case p.neverServed(c):
			reason = fmt.Sprintf("left over from release #%d", c.Release)
		case c.State == Dead:
			reason = "dead"
		case standby == nil || c.Spec != standby.Spec || c.ImageID != standby.ImageID:
			reason = "older than the standby"
		case p.now.Before(until):
			p.again(until)
			continue
		}
		p.removed[c.ID] = true
		p.add(Step{Kind: StepRemove, Service: c.Service, Replica: replicaOf(c), Reason: reason}, after...)
	}
}

// outOfService is since when c, which has stopped, serves nobody: a running standby did
// so long before it stopped.
func (p *planner) outOfService(c Container) time.Time {
	if left := p.desired.Left[c.ID]; !left.IsZero() && left.Before(c.Finished) {
		return left
	}
	return c.Finished
}

// standby is the container that stopped last without having failed: it and its
// likes are the previous release.
func (p *planner) standby(spare []Container) *Container {
	var last *Container
	for i := range spare {
		c := &spare[i]
		if p.failed(*c) || c.State != Exited || p.neverServed(*c) {
			continue
		}
		if last == nil || c.Finished.After(last.Finished) {
			last = c
		}
	}
	return last
}

// neverServed reports whether c comes from an attempt that was cut short before
// anybody relied on it.
func (p *planner) neverServed(c Container) bool {
	return p.desired.Unproven[c.Release] && !p.desired.Served[c.ID]
}

// pruneNetworks removes this stack's networks that are no longer declared and
// that no container is in. Somebody else's may be, which must not end a release.
func (p *planner) pruneNetworks() {
	if !p.project.Settings.Prune || !p.desired.Settled {
		return
	}
	removed := map[string]int{}
	for _, s := range p.plan.Steps {
		if s.Kind == StepRemove {
			removed[s.Replica.ID] = s.ID
		}
	}
	for _, n := range p.networks {
		if n.Stack != p.project.Name || n.Instance != p.desired.Instance || has(p.project.Model.Networks, n.Key) {
			continue
		}
		if after, free := p.vacated(n, removed); free {
			p.add(Step{Kind: StepPrune, Resource: n.Name, Network: n.ID, Reason: "no longer declared, no container in it"}, after...)
		}
	}
}

// vacated reports whether every container in n is removed by this plan, and by
// which steps.
func (p *planner) vacated(n Network, removed map[string]int) (after []int, free bool) {
	for _, c := range p.owned {
		if _, in := c.Endpoints[n.Name]; !in {
			continue
		}
		step, gone := removed[c.ID]
		if !gone {
			return nil, false
		}
		after = append(after, step)
	}
	return after, true
}
