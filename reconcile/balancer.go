package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// Balancer is a load balancer of the host's own that serves ports in the place of the
// edge.
type Balancer struct {
	// Name is that of the host's configuration, and Kind the program's: "haproxy".
	Name, Kind string
	// Away is why it cannot be told anything at the moment, "" while it can.
	Away string
	// Backends are those that its own configuration has, nil where it needs none.
	Backends []string
}

// String is "haproxy front".
func (b Balancer) String() string { return b.Kind + " " + b.Name }

// BackendName is what load balancers call a port of a service. No two services share
// one: a stack's name has no dot in it, and neither has a port.
func BackendName(stack, service string, port uint16) string {
	return fmt.Sprintf("davit.%s.%s.%d", stack, service, port)
}

// edgeless reports whether nobody but Docker and load balancers can have a port.
func (t *EdgeTable) edgeless() bool { return t == nil || t.Absent }

// Balancer is the load balancer of that name.
func (t *EdgeTable) Balancer(name string) (b Balancer, found bool) {
	if t == nil {
		return b, false
	}
	i := slices.IndexFunc(t.Balancers, func(b Balancer) bool { return b.Name == name })
	if i < 0 {
		return b, false
	}
	return t.Balancers[i], true
}

// served are those of the ports that somebody of this host can serve.
func (t *EdgeTable) served(ports []compose.PublishedPort) []compose.PublishedPort {
	return slices.DeleteFunc(slices.Clone(ports), func(p compose.PublishedPort) bool {
		_, found := t.Balancer(p.Balancer)
		return p.Balancer != "" && !found
	})
}

// hands are who has the ports, for people: "the edge and haproxy front".
func (t *EdgeTable) hands(ports []compose.PublishedPort) string {
	var names []string
	for _, p := range ports {
		name := "the edge"
		if b, found := t.Balancer(p.Balancer); found {
			name = b.String()
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " and ")
}

// at is " at haproxy front", and "" where only the edge has the ports.
func (t *EdgeTable) at(ports []compose.PublishedPort) string {
	if !slices.ContainsFunc(ports, func(p compose.PublishedPort) bool { return p.Balancer != "" }) {
		return ""
	}
	return " at " + t.hands(ports)
}

// balanced obeys that a load balancer is to have a port of u; bar is why the host does
// not reach its containers.
func (p *planner) balanced(u *unit, port compose.PublishedPort, bar string) error {
	b, found := p.edge.Balancer(port.Balancer)
	refuse := func(hint, format string, args ...any) error {
		why := fmt.Errorf("port %d is via: %s, and %s", port.Target, port.Balancer, fmt.Sprintf(format, args...))
		return &Stalled{Reason: "service " + u.Name, Err: WithHint(why, "%s", hint)}
	}
	switch {
	case !found:
		return refuse("name one under balancers in the configuration of davit on this host; "+p.edge.choice(), "this host has no load balancer of that name")
	case bar != "":
		return refuse("put the service into a network of driver bridge", "it cannot be reached: %s", bar)
	case b.Kind == "haproxy" && port.Affinity == compose.AffinitySource:
		return refuse("write `balance source` and `hash-type consistent` into the backend "+BackendName(p.project.Name, u.Name, port.Target)+", and leave affinity out here",
			"%s has its affinity in its own configuration", b)
	}
	u.edge = append(u.edge, port)
	return nil
}

// choice says what via could be.
func (t *EdgeTable) choice() string {
	if t == nil || len(t.Balancers) == 0 {
		return "there is none yet"
	}
	var names []string
	for _, b := range t.Balancers {
		names = append(names, b.Name)
	}
	return "there is " + strings.Join(names, ", ")
}

// awaited is why what the plan would tell load balancers could not be told at the
// moment, nil where it can.
func (p *planner) awaited() *Waiting {
	for _, s := range p.plan.Steps {
		if s.Kind != StepShift {
			continue
		}
		for _, port := range s.Shift.Ports {
			b, found := p.edge.Balancer(port.Balancer)
			name := BackendName(p.project.Name, s.Service, port.Target)
			switch {
			case !found:
			case b.Away != "":
				return &Waiting{Reason: b.Away, After: 2 * time.Second}
			case b.Backends != nil && !slices.Contains(b.Backends, name):
				return &Waiting{Reason: fmt.Sprintf("%s has no backend %s in its configuration", b, name), After: 10 * time.Second}
			}
		}
	}
	return nil
}

// givenUp are the host ports that Docker publishes for containers of u, and that
// clients are to reach by a load balancer from now on.
func (p *planner) givenUp(u *unit) string {
	var ports []HostPort
	var to []compose.PublishedPort
	for _, declared := range u.Config.Ports {
		fixed, ok := compose.FixedPort(declared)
		i := slices.IndexFunc(u.edge, func(e compose.PublishedPort) bool { return e.Balancer != "" && e.Container() == fixed.Container() })
		if ok && i >= 0 && slices.ContainsFunc(p.owned, func(c Container) bool { return publishes(c, HostPortOf(fixed)) }) {
			ports, to = append(ports, HostPortOf(fixed)), append(to, u.edge[i])
		}
	}
	if len(ports) == 0 {
		return ""
	}
	return "Docker gives " + hostPortList(ports) + " up; clients come by " + p.edge.hands(to)
}

// BalancerError is why a load balancer did not take what it was told.
type BalancerError struct {
	Balancer Balancer
	// Away is true where it could not be asked at all.
	Away bool
	Err  error
}

func (e *BalancerError) Error() string { return fmt.Sprintf("%s: %v", e.Balancer, e.Err) }
func (e *BalancerError) Unwrap() error { return e.Err }

// Is makes one that is away an edge that does not answer.
func (e *BalancerError) Is(target error) bool { return e.Away && target == ErrEdgeUnavailable }
