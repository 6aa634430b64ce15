package reconcile

import (
	"context"
	"slices"
	"time"

	"davit/compose"
)

// edgeGlance is how often the edge is looked at between passes: one that was
// restarted without its table is not to wait for the next event.
const edgeGlance = 2 * time.Second

// atEdge adds what the edge serves to a snapshot.
func (l *Loop) atEdge(ctx context.Context, o *Observed) {
	if l.Edge == nil {
		return
	}
	t, err := l.Edge.Look(ctx)
	if err != nil {
		t = EdgeTable{Away: err.Error()}
	}
	o.Edge = &t
}

// resting are the stacks on which nobody works. What a pass observes of them after
// this holds until it starts something.
func (l *Loop) resting() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]bool{}
	for name, s := range l.stacks {
		out[name] = s.work == nil
	}
	return out
}

// mend makes the edge serve what follows from the record and from what runs, where it
// does not: it lost its table, or containers were started anew and have other
// addresses. Nothing of this is drift, since it changes no container.
func (l *Loop) mend(ctx context.Context, o Observed, resting map[string]bool) Observed {
	if o.Edge == nil {
		return o
	}
	l.noteEdge(*o.Edge)
	if o.Edge.Away != "" || l.ObserveOnly || o.Edge.Generation > 0 && l.mended(*o.Edge, o, resting).same(*o.Edge) {
		return o
	}
	after, err := l.Edge.Change(ctx, func(t EdgeTable) EdgeTable { return l.mended(t, o, resting) })
	if err != nil {
		l.Logger.Warn("the edge does not serve what it should", "error", err)
		return o
	}
	l.Logger.Info("the edge serves what it should again", "generation", after.Generation)
	o.Edge = &after
	return o
}

// noteEdge tells what a look at the edge has shown.
func (l *Loop) noteEdge(t EdgeTable) {
	l.mu.Lock()
	items := l.edgeNews.look(t, l.Now())
	l.mu.Unlock()
	for _, item := range items {
		if item.port != nil && l.PortHolder != nil {
			if who := l.PortHolder(*item.port); who != "" {
				item.event.Message += ", which " + who + " has"
			}
		}
		l.Emit(item.event)
	}
}

// mended is t as it should be.
func (l *Loop) mended(t EdgeTable, o Observed, resting map[string]bool) EdgeTable {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := t
	for _, r := range t.Routes {
		s := l.stacks[r.Stack]
		still := s == nil || resting[r.Stack] && s.work == nil
		if !still && l.Edge.newer(r.Stack, o.At) {
			// A replica that was between two networks when the snapshot was taken serves by now.
			continue
		}
		if r = r.refreshed(o, still); still && len(r.Members) == 0 && (s == nil || current(s.history) == nil) {
			r.Ports = nil
		}
		out = out.with(r)
	}
	for _, name := range l.inOrder() {
		if s := l.stacks[name]; s.work == nil && resting[name] {
			out = l.completed(out, s, o)
		}
	}
	return out
}

// refreshed is r with its members as they are by now: without those that do not run
// any more, and with new identities for those that were started anew. Of a stack that
// is worked on, the snapshot may be older than what r says; and whoever ended there and is
// not ready again stays, since nobody would put it back before the work is over, which a
// canary can hold up for days. The edge sees for itself that it is not there.
func (r Route) refreshed(o Observed, still bool) Route {
	members := r.Members
	r.Members = nil
	for _, m := range members {
		i := slices.IndexFunc(o.Containers, func(c Container) bool { return c.ID == m.Container })
		switch {
		case i < 0 && !still, i >= 0 && !still && m.Started.After(o.Containers[i].Started):
			r.Members = append(r.Members, m)
		case i < 0:
		case still && m.Idle(o.At) && o.Containers[i].aside():
		default:
			again, ok := m.again(o, o.Containers[i])
			if !ok && !still && m.Draining.IsZero() {
				again, ok = m, true
			}
			if ok {
				r.Members = append(r.Members, again)
			}
		}
	}
	return r
}

// aside reports whether nobody finds c and nothing brings it back, as with a running
// standby: it is told apart from a replica that is about to serve by its restart policy.
func (c Container) aside() bool { return !c.Findable() && c.Restart == "no" }

// again is m as c is by now, unless c is in no state to be handed anything. One that
// was started anew has to become ready anew.
func (m Member) again(o Observed, c Container) (Member, bool) {
	fresh := !c.Started.Equal(m.Started)
	if !c.Running() || fresh && !c.fit() {
		return m, false
	}
	m.Started, m.Address, m.Process = c.Started, m.addressIn(o, c), c.Process
	if fresh || o.At.After(m.Seen) {
		m.Seen = o.At
	}
	return m, m.Address.IsValid()
}

// completed is t with everything that the current release of a stack at rest has in
// service, and without the routes of services that it does not declare any more.
func (l *Loop) completed(t EdgeTable, s *stack, o Observed) EdgeTable {
	now := current(s.history)
	project := s.declaredBy(now)
	if project == nil {
		return t
	}
	p := recorded(s, project)
	for _, r := range t.Routes {
		if _, declared := project.Service(r.Service); r.Stack == s.name && !declared && len(r.Members) == 0 {
			t = t.with(Route{Stack: r.Stack, Service: r.Service})
		}
	}
	for _, declared := range project.Services {
		rec, _ := now.Service(declared.Name)
		u := &unit{Service: declared, image: rec.Image}
		r, _ := t.Route(s.name, u.Name)
		var ports []string
		var missing []Member
		for _, c := range o.ownedBy(s.name, l.Instance) {
			if c.Service != u.Name || !p.inServiceAtEdge(u, c) {
				continue
			}
			ports = append(ports, c.Edge...)
			if m, err := MemberOf(c, project, o.At); err == nil && r.at(c.ID) < 0 {
				missing = append(missing, m)
			}
		}
		if !u.whole() || !r.handsOthers(u, o) {
			r.Members = append(r.Members, missing...)
		}
		r = r.relieved(o, u.made)
		switch of := t.served(portsOf(u.Ports, ports)); {
		case len(r.Members) == 0: // what comes there waits, unless the port is gone
			r.Ports = slices.DeleteFunc(slices.Clone(r.Ports), func(x compose.PublishedPort) bool {
				return !slices.ContainsFunc(u.Ports, func(y compose.PublishedPort) bool { return HostPortOf(x) == HostPortOf(y) })
			})
		case len(of) > 0 && !samePorts(of, r.Ports) && !heldBeside(t, r, of):
			r.Ports = of
		}
		t = t.with(r)
	}
	return t
}

// whole reports whether what is new goes to the replicas of u together.
func (u *unit) whole() bool {
	return u.Settings.Strategy == compose.StrategyBlueGreen || u.Settings.Standby == compose.StandbyRunning
}

// handsOthers reports whether r hands something new to containers that are not what u is.
// A set that is on its way back does not join those one by one.
func (r Route) handsOthers(u *unit, o Observed) bool {
	return slices.ContainsFunc(o.Containers, func(c Container) bool { return r.hands(c.ID) && !u.made(c) })
}

// relieved is r without the members that are known not to be ready, as long as another
// one is: they come back with their readiness. Where releases have weights, another one of
// its release has to be, and only those go that the record has in service: nobody else
// would come back.
func (r Route) relieved(o Observed, recorded func(Container) bool) Route {
	weighs := len(r.Weights) > 0
	unfit := func(m Member) bool {
		i := slices.IndexFunc(o.Containers, func(c Container) bool { return c.ID == m.Container })
		return i >= 0 && m.Draining.IsZero() && o.Containers[i].unfit() && (!weighs || recorded(o.Containers[i]))
	}
	spared := func(m Member) bool {
		return slices.ContainsFunc(r.Members, func(x Member) bool {
			return x.Draining.IsZero() && !unfit(x) && (!weighs || x.Release == m.Release)
		})
	}
	r.Members = slices.DeleteFunc(slices.Clone(r.Members), func(m Member) bool { return unfit(m) && spared(m) })
	return r
}

// recorded is a planner that only tells what the record of a stack says of containers.
func recorded(s *stack, project *compose.Project) *planner {
	p := &planner{project: project, desired: Desired{Project: project, Settled: true, Failed: failedContainers(s.history), History: s.history}}
	p.desired.Unproven, p.desired.Served = service(s.history)
	return p
}

// inServiceAtEdge reports whether c is one that the record has in service, and that is
// fit to be handed something.
func (p *planner) inServiceAtEdge(u *unit, c Container) bool {
	return len(c.Edge) > 0 && c.fit() && p.reliedOn(u, c)
}

// reliedOn reports whether c runs and is one that the record has in service.
func (p *planner) reliedOn(u *unit, c Container) bool {
	named := c.State == Running && p.joined(u, c) && c.Findable()
	return named && (u.made(c) || u.image.ID == "" && c.Spec == u.Hash) && c.Restart == declaredRestart(u.Config) && !p.failed(c) && !p.neverServed(c)
}

// portsOf are those of the ports that the edge has for containers.
func portsOf(all []compose.PublishedPort, edge []string) []compose.PublishedPort {
	return slices.DeleteFunc(slices.Clone(all), func(p compose.PublishedPort) bool { return !slices.Contains(edge, p.Container()) })
}

// heldBeside reports whether another route of t has one of the ports: whose it is then
// is for a plan to say.
func heldBeside(t EdgeTable, r Route, ports []compose.PublishedPort) bool {
	return slices.ContainsFunc(ports, func(p compose.PublishedPort) bool {
		h, held := t.Holder(HostPortOf(p))
		return held && (h.Stack != r.Stack || h.Service != r.Service)
	})
}

// watchEdge tells how the edge stands, and asks for a pass when it has come, or has
// lost what it served. It returns when ctx ends.
func (l *Loop) watchEdge(ctx context.Context) {
	last := int64(-1)
	for {
		if sleep(ctx, edgeGlance) != nil {
			return
		}
		t, err := l.Edge.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t = EdgeTable{Away: err.Error()}
		}
		l.noteEdge(t)
		switch {
		case err != nil:
			last = -1
			continue
		case last < 0 || t.Generation < last:
			l.poke()
		}
		last = t.Generation
	}
}
