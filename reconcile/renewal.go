package reconcile

import (
	"fmt"
	"slices"
	"strings"
)

// renewals finds the networks of this stack whose definition has changed. The engine
// cannot change a network, so it is made anew, for which everything in it has to
// stop: an interruption that the plan announces. Somebody else's networks are left
// as they are.
func (p *planner) renewals(o Observed) error {
	p.renewed = map[string]Network{}
	for _, key := range sortedKeys(p.project.Model.Networks) {
		n, ok := p.changedNetwork(key)
		if !ok {
			continue
		}
		if other := p.strangerIn(o, n); other != nil {
			if p.desired.Returning || p.desired.Settled {
				p.note("network %s has another definition than declared; it is left as it is because %s is in it", n.Name, other.Name)
				continue
			}
			return &Stalled{Reason: "network " + key, Err: WithHint(
				fmt.Errorf("network %s has to be made anew for its new definition, and container %s, which this stack may not stop, is in it", n.Name, other.Name),
				"disconnect it: docker network disconnect %s %s", n.Name, other.Name)}
		}
		p.renewed[key] = n
	}
	return nil
}

// changedNetwork is the stack's own network of that key, if it was made from another
// definition. Of one that Compose made, whose hash may be of another version, that
// is certain only when the definition differs from the release before.
func (p *planner) changedNetwork(key string) (Network, bool) {
	declared := p.project.Model.Networks[key]
	i := slices.IndexFunc(p.networks, func(n Network) bool { return n.Name == declared.Name && n.Stack == p.project.Name })
	if bool(declared.External) || i < 0 {
		return Network{}, false
	}
	n, now := p.networks[i], p.project.NetworkHash(key)
	switch before := p.desired.PreviousProject; {
	case n.ConfigHash == "" || n.ConfigHash == now:
		return n, false
	case n.Instance == p.desired.Instance:
		return n, true
	case n.Instance != "" || before == nil || p.desired.Settled:
		return n, false
	default:
		return n, before.NetworkHash(key) != now
	}
}

// strangerIn is a running container in n that is not this plan's to stop.
func (p *planner) strangerIn(o Observed, n Network) *Container {
	for _, c := range o.Containers {
		ours := slices.ContainsFunc(p.owned, func(own Container) bool { return own.ID == c.ID }) &&
			(p.units[c.Service] != nil || p.project.Settings.Prune)
		if _, in := c.Endpoints[n.Name]; in && !ours && (c.Running() || c.State == Restarting) {
			return &c
		}
	}
	return nil
}

// renew plans the networks that are made anew. What is created later waits for it.
func (p *planner) renew() {
	if len(p.renewed) == 0 {
		return
	}
	stops := p.empty()
	var made []int
	for _, key := range sortedKeys(p.renewed) {
		n := p.renewed[key]
		after := slices.Clone(stops)
		for _, c := range p.owned {
			if _, in := c.Endpoints[n.Name]; in && c.State != Removing {
				after = append(after, p.add(Step{Kind: StepUnplug, Service: c.Service, Replica: replicaOf(c), Resource: n.Name,
					Reason: "out of network " + key}, slices.Concat(p.base, stops)...))
			}
		}
		gone := p.add(Step{Kind: StepUnmake, Resource: n.Name, Network: n.ID, Reason: "its definition changed"}, slices.Concat(p.base, after)...)
		made = append(made, p.add(Step{Kind: StepNetwork, Resource: key, Network: n.ID, Reason: "as it is declared now"}, gone))
	}
	p.base = append(p.base, made...)
}

// empty stops every container in a network that is made anew, whoever borrows from
// it first, and says who is interrupted.
func (p *planner) empty() []int {
	var stops []int
	var who []string
	for _, name := range slices.Backward(p.sequence) {
		u := p.units[name]
		for _, c := range slices.Concat(u.fleet.current, u.fleet.old, u.fleet.surplus) {
			if why := u.halted[c.ID]; why != "" {
				stops = append(stops, p.stop(c, why, slices.Concat(p.base, p.stopBorrowers(u, p.base))...))
				who = append(who, name)
			}
		}
	}
	for _, c := range p.owned {
		if !p.inRenewed(c) || !c.Running() && c.State != Restarting {
			continue
		}
		if p.units[c.Service] == nil {
			stops = append(stops, p.stop(c, noLonger(), p.base...))
			continue
		}
		stops = append(stops, p.stop(c, "replaced, and its network is made anew", p.base...))
		who = append(who, c.Service)
	}
	if slices.Sort(who); len(who) > 0 {
		p.note("interruption: %s stopped while network %s is made anew", areStopped(slices.Compact(who)), strings.Join(sortedKeys(p.renewed), ", "))
	}
	return stops
}

func areStopped(who []string) string {
	if len(who) == 1 {
		return who[0] + " is"
	}
	return strings.Join(who, ", ") + " are"
}

func (p *planner) inRenewed(c Container) bool {
	for _, n := range p.renewed {
		if _, in := c.Endpoints[n.Name]; in {
			return true
		}
	}
	return false
}

// plugged reports whether c is in every network of its service.
func (p *planner) plugged(u *unit, c Container) bool {
	if u.Config.NetworkMode != "" {
		return true
	}
	for key := range u.Config.Networks {
		if _, ok := c.Endpoints[p.project.Model.Networks[key].Name]; !ok || has(p.renewed, key) {
			return false
		}
	}
	return true
}
