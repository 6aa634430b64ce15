package main

import (
	"context"
	"fmt"
	"slices"

	"davit/compose"
	"davit/reconcile"
)

// balancersCheck looks whether the load balancers of this host can be steered, and have
// a place for what stacks want them to serve.
func (d *doctor) balancersCheck(ctx context.Context) []finding {
	const name = "balancers"
	if len(d.config.Balancers) == 0 {
		return nil
	}
	// Without a record nothing is wanted yet; its own check says what is wrong with one.
	declared, _ := lastDeclared(ctx, d.config)
	var found []finding
	for _, b := range d.config.Balancers {
		wanted := backendsWanted(declared, b.Name)
		has, err := b.check(ctx)
		say := func(l level, seen, advice string) {
			found = append(found, finding{Check: name, Level: l, Seen: fmt.Sprintf("%s %s: %s", b.kind(), b.Name, seen), Advice: advice})
		}
		if err != nil {
			say(levelFail, err.Error(), b.advice())
			continue
		}
		missing := slices.DeleteFunc(slices.Clone(wanted), func(w string) bool { return has == nil || slices.Contains(has, w) })
		for _, w := range missing {
			say(levelFail, "it has no backend "+w, "write it into its configuration, without servers, and reload it; docs/balancers.md has an example")
		}
		if len(missing) == 0 {
			say(levelOK, fmt.Sprintf("can be steered, for %d ports of stacks", len(wanted)), "")
		}
	}
	return found
}

// advice is what to look at when it cannot be steered.
func (b BalancerConfig) advice() string {
	if b.HAProxy != nil {
		return fmt.Sprintf("HAProxy must run with `stats socket %s level admin`, writable for davit's user", b.HAProxy.Socket)
	}
	return fmt.Sprintf("nginx must run with its process number in %s, and davit's user write %s, test and reload", b.Nginx.PID, b.Nginx.File)
}

// backendsWanted are those that the stacks want of the balancer of that name.
func backendsWanted(projects []*compose.Project, name string) (out []string) {
	for _, p := range projects {
		for _, s := range p.Services {
			for _, port := range s.Ports {
				if port.Balancer == name {
					out = append(out, reconcile.BackendName(p.Name, s.Name, port.Target))
				}
			}
		}
	}
	return out
}

// balancers says which ports are via a load balancer that the configuration does not
// have: a mistake where it is known, and something to know where there is none, as in
// a pipeline.
func (v *validation) balancers(config Config, known bool) {
	for _, p := range v.projects {
		for _, s := range p.Services {
			for _, port := range s.Ports {
				_, has := config.balancer(port.Balancer)
				if port.Balancer == "" || has {
					continue
				}
				m := mistake{File: p.Files[0], Key: fmt.Sprintf("services.%s.x-davit.ports.%d.via", s.Name, port.Target)}
				if m.Text = fmt.Sprintf("the configuration has no load balancer called %s", port.Balancer); known {
					v.Mistakes = append(v.Mistakes, m)
					continue
				}
				m.Text = fmt.Sprintf("%s is for the host's configuration to name, as a load balancer; without it the stack is stalled", port.Balancer)
				v.Notes = append(v.Notes, m)
			}
		}
	}
	v.Valid = len(v.Mistakes) == 0
}
