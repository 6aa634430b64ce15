package reconcile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// away reports whether nobody knows what the edge serves.
func (p *planner) away() bool { return p.edge != nil && p.edge.Away != "" }

// serving reports whether c gets what is new at the edge, as far as that is its due.
func (p *planner) serving(u *unit, c Container) bool {
	if len(u.edge) == 0 || u.OneShot || p.away() {
		return true
	}
	r, _ := p.edge.Route(p.project.Name, u.Name)
	i := r.at(c.ID)
	if i < 0 {
		// Of what is in service the loop tells the edge by itself, once it is ready.
		return p.desired.Served[c.ID] && (p.desired.Settled || !c.fit() && p.untouched(u, c))
	}
	return r.Members[i].Draining.IsZero()
}

// handOver plans that the edge hands what is new to the replicas of a batch, and none
// of it to those that leave. It returns what their stops come after.
//
// A port that Docker publishes has to be free first: whoever has it stops before.
func (p *planner) handOver(u *unit, b batch, served []int) []int {
	if len(u.edge) == 0 || len(b.slots) == 0 {
		return served
	}
	for _, s := range b.slots {
		u.waiting = append(u.waiting, s.replica)
	}
	leaving := b.old[b.before:]
	for _, c := range leaving {
		if publishesAny(c, u.edge) {
			served = append(served, p.retire(u, c, served...))
		}
	}
	if p.heldByDocker(u) != nil {
		return served
	}
	return append(served, p.shift(u, leaving, p.shared(u, b.rest), served))
}

// shift plans one StepShift, to these ports, for all of u that waits for it.
func (p *planner) shift(u *unit, leaving []Container, ports []compose.PublishedPort, after []int) int {
	s := Shift{Ports: ports, To: u.waiting, Limits: u.Drain}
	for _, c := range leaving {
		if m, in := p.edge.Member(c.ID); in && m.Draining.IsZero() && p.stopped[c.ID] == 0 {
			s.From = append(s.From, replicaOf(c))
		}
	}
	u.waiting, u.shifted = nil, true
	id := p.add(Step{Kind: StepShift, Service: u.Name, Shift: s, Reason: s.text() + p.edge.at(u.edge)}, after...)
	if u.rules.Floor > 0 && len(s.From) > 0 {
		p.charge(u, &p.plan.Steps[id-1], s.From...)
	}
	u.last = append(u.last, id)
	return id
}

// text is "1 -> 3", by the numbers of replicas.
func (s Shift) text() string {
	if len(s.From) == 0 {
		return "to " + numbers(s.To)
	}
	return numbers(s.From) + " -> " + numbers(s.To)
}

func numbers(replicas []Replica) string {
	var out []string
	for _, r := range replicas {
		out = append(out, fmt.Sprint(r.Number))
	}
	return strings.Join(out, ", ")
}

// heldByDocker is a container of this stack that keeps the edge from one of the ports
// of u, and that no step stops yet.
func (p *planner) heldByDocker(u *unit) *Container {
	for i := range p.owned {
		if c := &p.owned[i]; p.stopped[c.ID] == 0 && publishesAny(*c, u.edge) {
			return c
		}
	}
	return nil
}

func publishesAny(c Container, ports []compose.PublishedPort) bool {
	return slices.ContainsFunc(ports, func(port compose.PublishedPort) bool { return publishes(c, HostPortOf(port)) })
}

func publishes(c Container, h HostPort) bool { return slices.ContainsFunc(c.Published, h.Overlaps) }

// drain plans that a container that the edge hands work to finishes it, before
// anything is done to stop it.
func (p *planner) drain(c Container, after []int) []int {
	if p.edge == nil || p.resting(c) {
		return after
	}
	_, in := p.edge.Member(c.ID)
	if p.away() {
		in = len(c.Edge) > 0
	}
	route, _ := p.edge.Route(c.Stack, c.Service)
	if !in || !c.Running() {
		return after
	}
	limits := p.limits(c)
	return []int{p.add(Step{Kind: StepDrain, Service: c.Service, Replica: replicaOf(c), Drain: limits,
		Reason: fmt.Sprintf("until idle%s, at most %s, streams %s", p.edge.at(route.Ports), brief(limits.Timeout), brief(limits.Streams))}, after...)}
}

// limits are those of the service that c belongs to, as it is declared now or was
// last.
func (p *planner) limits(c Container) compose.Drain {
	for _, project := range []*compose.Project{p.project, p.desired.PreviousProject} {
		if project == nil {
			continue
		}
		s, ok := project.Service(c.Service)
		switch {
		case ok && p.units == nil:
			return final(s.Drain)
		case ok:
			return p.hurried(c, s.Drain)
		}
	}
	return compose.DefaultDrain()
}

// hurried are the limits of a container that has to go before its successor starts:
// everybody waits for the connections that somebody keeps open, and so they get no
// longer than requests do.
func (p *planner) hurried(c Container, d compose.Drain) compose.Drain {
	if u := p.units[c.Service]; u != nil && !u.rules.StartFirst {
		d.Streams = min(d.Streams, d.Timeout)
	}
	return d
}

// letGo plans that the edge closes the ports that Docker is to publish for the
// containers of a batch, once those that it served there have stopped.
func (p *planner) letGo(u *unit, b batch, after []int) []int {
	if p.edge == nil || u.freed || !slices.ContainsFunc(b.slots, func(s slot) bool { return s.start }) {
		return nil
	}
	free := p.atEdge(u.dockerPorts())
	if len(free) == 0 {
		return nil
	}
	u.freed, u.shifted = true, true
	return []int{p.add(Step{Kind: StepShift, Service: u.Name, Shift: Shift{Ports: u.edge, Free: free, Limits: u.Drain},
		Reason: "the edge lets go of " + hostPortList(free) + ": a gap until Docker has it"}, after...)}
}

// atEdge are those of the ports that the edge has for this stack.
func (p *planner) atEdge(ports []HostPort) []HostPort {
	return slices.DeleteFunc(ports, func(h HostPort) bool {
		r, held := p.edge.Holder(h)
		return !held || r.Stack != p.project.Name
	})
}

// settleRoutes plans what is left to be said to the edge when everything else is
// planned: for replicas that could not be handed over before, and of ports that are
// served otherwise than before.
func (p *planner) settleRoutes() {
	for _, name := range p.sequence {
		u := p.units[name]
		if len(u.edge) == 0 || p.away() {
			continue
		}
		if c := p.heldByDocker(u); c != nil && len(u.waiting) > 0 {
			p.refusal = &Stalled{Reason: "service " + name, Err: fmt.Errorf("%s is published by %s, which this plan leaves running", portList(u.edge), c.Name)}
			return
		}
		route, _ := p.edge.Route(p.project.Name, name)
		after := slices.Concat(u.ready, u.last)
		for _, c := range p.owned {
			if publishesAny(c, u.edge) {
				after = append(after, p.stopped[c.ID])
			}
		}
		switch {
		case len(u.waiting) > 0:
			p.shift(u, nil, u.edge, after)
		case u.shifted || len(route.Members) == 0 || samePorts(route.Ports, u.edge):
		default:
			p.add(Step{Kind: StepShift, Service: name, Shift: Shift{Ports: u.edge, Limits: u.Drain}, Reason: p.otherwise(u)}, after...)
		}
	}
}

// otherwise says that ports of u are served otherwise than before.
func (p *planner) otherwise(u *unit) string {
	if at := p.edge.at(u.edge); at != "" {
		return "served" + at + " otherwise than before"
	}
	return portList(u.edge) + " served otherwise"
}

// samePorts reports whether an edge serves both alike, in whatever order.
func samePorts(a, b []compose.PublishedPort) bool {
	return reflect.DeepEqual(essence(a), essence(b))
}

// moves announces that a port of u changes its owner, which takes a gap; "" when none
// does.
func (p *planner) moves(u *unit) string {
	if given := p.givenUp(u); given != "" {
		return given
	}
	if p.edge.edgeless() && len(u.edge) == 0 && u.changesOwner() {
		return "there is no edge any more, and Docker publishes its ports"
	}
	if p.edge == nil {
		return ""
	}
	const change = "; clients' addresses and the firewall's path change"
	var to []HostPort
	for _, port := range u.edge {
		if slices.ContainsFunc(p.owned, func(c Container) bool { return publishes(c, HostPortOf(port)) }) {
			to = append(to, HostPortOf(port))
		}
	}
	if len(to) > 0 {
		return "one short gap: " + hostPortList(to) + " from Docker to the edge" + change
	}
	if from := p.atEdge(u.dockerPorts()); len(from) > 0 {
		return "one short gap: " + hostPortList(from) + " from the edge to Docker" + change
	}
	return ""
}

// changesOwner reports whether something runs just what is desired, and only the
// owners of its ports are others.
func (u *unit) changesOwner() bool {
	return slices.ContainsFunc(u.fleet.old, func(c Container) bool { return u.made(c) && !u.published(c) })
}

func hostPortList(ports []HostPort) string {
	var names []string
	for _, h := range ports {
		names = append(names, h.String())
	}
	if len(names) == 1 {
		return "host port " + names[0]
	}
	return "host ports " + strings.Join(names, ", ")
}

// claim finds out, before anything changes, which host ports this plan needs that
// nobody of the stack has, and refuses those that somebody else is known to have.
func (p *planner) claim(o Observed) error {
	if p.edge.edgeless() {
		return nil
	}
	declared := map[HostPort]string{}
	for _, name := range p.sequence {
		u := p.units[name]
		for _, port := range u.Ports {
			h := HostPortOf(port)
			if h.Balancer != "" {
				continue // who listens for it is there already
			}
			for other, by := range declared {
				if by != name && other.Overlaps(h) {
					return &Stalled{Reason: "service " + name, Err: fmt.Errorf("host port %s is declared by %s, too", h, by)}
				}
			}
			declared[h] = name
			if p.ours(h) || !p.starts(u) {
				continue
			}
			if holder := p.stranger(o, h); holder != "" {
				return &Waiting{Reason: fmt.Sprintf("host port %s of %s is taken by %s", h, name, holder), After: 10 * time.Second}
			}
			p.plan.Opens = append(p.plan.Opens, h)
		}
	}
	return nil
}

// starts reports whether a container of u is to start, or to be handed work.
func (p *planner) starts(u *unit) bool {
	unsettled := func(c Container) bool { return !p.settled(u, c) }
	return u.fleet.missing+len(u.fleet.idle) > 0 || slices.ContainsFunc(u.fleet.current, unsettled)
}

// ours reports whether something of this stack has the port already.
func (p *planner) ours(h HostPort) bool {
	if r, held := p.edge.Holder(h); held && r.Stack == p.project.Name {
		return true
	}
	return slices.ContainsFunc(p.owned, func(c Container) bool { return publishes(c, h) })
}

// stranger names who else has the port, "" when nobody is known to.
func (p *planner) stranger(o Observed, h HostPort) string {
	if r, held := p.edge.Holder(h); held && r.Stack != p.project.Name {
		return fmt.Sprintf("service %s of stack %s", r.Service, r.Stack)
	}
	for _, c := range o.Containers {
		own := slices.ContainsFunc(p.owned, func(x Container) bool { return x.ID == c.ID })
		if !own && publishes(c, h) {
			return "container " + c.Name
		}
	}
	return ""
}
