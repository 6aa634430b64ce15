package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"davit/compose"
)

// reach finds the networks in which davit reaches the containers of u to probe them.
// What was good once goes back, or stays, all the same where there are none.
func (p *planner) reach(u *unit) error {
	if !u.Settings.Probes.Dialled() {
		return nil
	}
	why := p.apart
	switch {
	case why != "":
	case u.Config.NetworkMode != "":
		u.networks = []string{u.Config.NetworkMode} // Docker calls these networks so
	default:
		why = "it is in no network"
		for _, key := range sortedKeys(u.Config.Networks) {
			if bar := p.unreachable(key); bar != "" {
				why = "it " + bar
				continue
			}
			u.networks = append(u.networks, p.project.Model.Networks[key].Name)
		}
	}
	if len(u.networks) > 0 {
		return nil
	}
	if p.desired.Returning || p.desired.Settled {
		p.note("%s is not probed over the network: %s", u.Name, why)
		u.Settings.Probes = executed(u.Settings.Probes)
		return nil
	}
	return &Stalled{Reason: fmt.Sprintf("service %s", u.Name), Err: WithHint(
		errors.New("it cannot be probed over the network: "+why), "probe it with exec, or by its health check")}
}

// executed are those of the probes that need no network.
func executed(p compose.Probes) compose.Probes {
	for _, one := range []**compose.Probe{&p.Startup, &p.Readiness, &p.Liveness} {
		if *one != nil && len((*one).Exec) == 0 {
			*one = nil
		}
	}
	return p
}

// reachable is u with those of its probes that can be made of s. A join that was cut off,
// which is after a gate that was passed, has left its container in no network.
func (u *unit) reachable(s slot) *unit {
	if s.from == nil || s.start || u.Config.NetworkMode != "" || slices.ContainsFunc(u.networks, s.from.isIn) {
		return u
	}
	out := *u
	out.Settings.Probes = executed(out.Settings.Probes)
	return &out
}

// proven is u as it is asked of a running standby: whether it is ready now. For how long it
// has been, and how often in a row it says so, was seen before it served, and others wait.
func (u *unit) proven() *unit {
	if u.checks() == "" {
		return u // its age says it
	}
	out := *u
	out.Settings.StableFor, out.Settings.StableForSet = 0, true
	for _, one := range []**compose.Probe{&out.Settings.Probes.Startup, &out.Settings.Probes.Readiness} {
		if *one != nil {
			once := **one
			once.Success, *one = 1, &once
		}
	}
	return &out
}

func (c Container) isIn(network string) bool {
	_, in := c.Endpoints[network]
	return in
}

// probed is g with those of the probes of u that say whether a container can serve.
func (u *unit) probed(g Gate) Gate {
	g.Probes, g.Networks = u.Settings.Probes, u.networks
	g.Probes.Liveness = nil
	return g
}

// checks are what says that a container of u is ready, as a plan names it; "" where
// nothing does.
func (u *unit) checks() string {
	var all []string
	if s := u.Settings.Probes.Startup; s != nil {
		all = append(all, "startup "+s.String())
	}
	if u.hasHealthcheck() {
		all = append(all, "healthcheck")
	}
	if r := u.Settings.Probes.Readiness; r != nil {
		all = append(all, r.String())
	}
	return strings.Join(all, " and ")
}
