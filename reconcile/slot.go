package reconcile

import (
	"fmt"
	"slices"
)

// slot is one replica's way into service. Its flags say which steps are left,
// so that a rollout that was cut off anywhere goes on where it was.
type slot struct {
	replica Replica
	// from is the container that exists already; nil for one to be created.
	from *Container
	// takes is the container that it takes over from; nil for an additional replica.
	takes *Container

	create, leave, start, join, policy bool
	// halt is why it is stopped first, though it is what is desired; "" when it is not.
	halt string
	// made is the step that creates it, once there is one.
	made int
}

// places are the slots of u, laid out once.
func (p *planner) places(u *unit) []slot {
	if !u.laid {
		u.slots, u.laid = p.slots(u), true
	}
	return u.slots
}

// slots are the replicas of u that are not in service yet: first those that run
// already, then those that can be started, then those to be created.
func (p *planner) slots(u *unit) []slot {
	var out []slot
	for _, c := range u.fleet.current {
		if !p.settled(u, c) {
			why := u.halted[c.ID]
			out = append(out, slot{replica: replicaOf(c), from: &c, halt: why, start: why != ""})
		}
	}
	for _, c := range u.fleet.idle {
		out = append(out, slot{replica: replicaOf(c), from: &c, start: true})
	}
	for range u.fleet.missing {
		out = append(out, slot{
			replica: Replica{Service: u.Name, Number: u.fleet.number()},
			create:  true, start: true,
		})
	}
	from, open := p.predecessors(u), p.open(u)
	beside := len(u.fleet.old)+len(u.fleet.current) > 0
	for i := range out {
		s := &out[i]
		if n := i - open; n >= 0 && n < len(from) {
			s.takes = &from[n]
		}
		p.introduce(u, s, beside)
		s.policy = !u.OneShot && declaredRestart(u.Config) != s.bornWith()
	}
	return out
}

// open are the places that nobody has to leave first, where a budget has them filled
// before the others.
func (p *planner) open(u *unit) int {
	if u.rules.StartFirst || u.rules.Floor == 0 {
		return 0
	}
	return max(u.Replicas-len(u.fleet.parked)-p.inService(u)-len(u.fleet.old), 0)
}

// introduce decides how callers come to know s. A container is not to be found by
// its service's name before it is ready, as long as another one answers to it.
func (p *planner) introduce(u *unit, s *slot, beside bool) {
	switch {
	case u.OneShot:
	case s.from != nil && s.start && !p.plugged(u, *s.from):
		s.leave, s.join = true, true
	case s.from == nil:
		s.join = beside && u.rules.StartFirst
	case !p.joined(u, *s.from):
		s.join = true
	case s.start && beside && u.rules.StartFirst && u.Config.NetworkMode == "":
		s.leave, s.join = true, true
	}
}

// predecessors are the old containers whose place, and data, new ones take over: those
// that were in service, in the order in which they go.
func (p *planner) predecessors(u *unit) []Container {
	var out []Container
	for _, c := range u.fleet.old {
		if !p.failed(c) && !p.neverServed(c) {
			out = append(out, c)
		}
	}
	for _, c := range u.fleet.resting {
		if p.wayBack(u, c) { // what came between was never proven
			out = append(out, c)
		}
	}
	return out
}

// bornWith is the restart policy that the slot's container has before StepPolicy.
func (s slot) bornWith() string {
	if s.from != nil && s.halt == "" {
		return s.from.Restart
	}
	return "no"
}

// service plans everything for one declared service.
func (p *planner) service(u *unit) {
	p.relieve(u)
	if w := p.returns(u); w != nil {
		p.refusal = w
	}
	switch p.giveBack(u); {
	case p.cautious(u):
		p.canary(u)
	case p.atOnce(u):
		p.blueGreen(u)
	default:
		p.replace(u)
	}
	p.surplus(u)
	p.rename(u)
	p.monitor(u)
}

// replace plans the batches of u.
func (p *planner) replace(u *unit) {
	slots := p.places(u)
	old := u.fleet.old
	barrier := []int(nil)
	if slices.ContainsFunc(slots, func(s slot) bool { return s.start }) {
		old, barrier = p.withdraw(u, old, slices.Concat(p.barrier(u), u.back))
	}
	previous := p.resume(u, old)
	size := max(u.rules.Surge+u.rules.Unavailable, 1)
	if !slices.ContainsFunc(old, func(c Container) bool { return p.stopped[c.ID] == 0 }) {
		size = max(len(slots), 1) // nothing to protect: all at once
	}
	up := p.inService(u)
	for len(slots) > 0 {
		n := min(size, len(slots))
		b := batch{slots: slots[:n], barrier: barrier, previous: previous}
		slots = slots[n:]
		b.before, b.after = u.rules.leaving(len(old), up, n, u.Replicas-len(u.fleet.parked), len(slots) == 0)
		b.old = old[:b.before+b.after]
		old = old[b.before+b.after:]
		b.rest = old
		up += n
		previous = p.batch(u, b, len(slots) > 0)
	}
	for _, c := range old {
		previous = append(previous, p.retire(u, c, u.ready...))
	}
	u.last = append(u.last, previous...)
}

// withdraw stops what a rollout that was cut off left running where nobody can find
// it, or what failed in this one, before anything else starts: a storm of pushes, or of
// failures that are tolerated, would pile up a replica for each. It returns the other
// old containers and what the starts wait for.
func (p *planner) withdraw(u *unit, old []Container, barrier []int) ([]Container, []int) {
	var others []Container
	for _, c := range old {
		if (p.neverServed(c) || p.failed(c) && u.made(c)) && !c.Findable() && !p.needed(u, c) {
			barrier = append(barrier, p.retire(u, c))
			continue
		}
		others = append(others, c)
	}
	return others, barrier
}

// Findable reports whether c is known by its service's name anywhere, or needs no
// name to be reached.
func (c Container) Findable() bool {
	for _, e := range c.Endpoints {
		if slices.Contains(e.Aliases, c.Service) {
			return true
		}
	}
	return len(c.Endpoints) == 0
}

// inService counts the replicas that need nothing more.
func (p *planner) inService(u *unit) int {
	n := 0
	for _, c := range u.fleet.current {
		if p.settled(u, c) {
			n++
		}
	}
	return n
}

// batch is what is replaced together: some old replicas stop before the new ones
// start, the others after the new ones are in service.
type batch struct {
	slots         []slot
	old           []Container
	before, after int
	barrier       []int
	previous      []int
	// rest are the old replicas that are left when it is over.
	rest []Container
}

// batch plans one batch and returns the steps that end it.
func (p *planner) batch(u *unit, b batch, more bool) []int {
	stops := slices.Concat(b.barrier, b.previous, p.createAll(u, b))
	gone := p.clear(u, b, stops)
	gone = append(gone, p.letGo(u, b, slices.Concat(stops, gone))...)
	var ends []int
	for _, s := range b.slots {
		after := slices.Concat(b.barrier, b.previous, gone, p.evict(u, s, s.made, stops))
		if s.made > 0 {
			after = append(after, s.made)
		}
		ends = append(ends, p.serve(u, s, after))
	}
	served := p.handOver(u, b, slices.Concat(ends, gone))
	held := p.trial(u, b, slices.Concat(ends, served))
	for _, c := range b.old[b.before:] {
		ends = append(ends, p.retire(u, c, served...))
	}
	ends = slices.Concat(ends, served, held)
	if more && u.rules.Delay > 0 {
		return []int{p.add(Step{Kind: StepDelay, Service: u.Name, Wait: u.rules.Delay,
			Reason: brief(u.rules.Delay) + " between batches"}, ends...)}
	}
	return ends
}

// createAll plans the new containers of a batch, and of whoever is made of them.
func (p *planner) createAll(u *unit, b batch) []int {
	var creates []int
	for i := range b.slots {
		if s := &b.slots[i]; s.create && s.made == 0 {
			s.made = p.create(u, *s, slices.Concat(p.base, u.before, b.previous)...)
		}
		if b.slots[i].made > 0 {
			creates = append(creates, b.slots[i].made)
		}
	}
	return append(creates, p.createBorrowers(u, b.previous)...)
}

// clear plans the stops that come before the starts of a batch, those of whoever
// borrows from its containers first.
func (p *planner) clear(u *unit, b batch, after []int) []int {
	var gone []int
	if slices.ContainsFunc(b.slots, func(s slot) bool { return s.start }) {
		gone = p.stopBorrowers(u, after)
		after = slices.Concat(after, gone)
	}
	for _, c := range b.old[:b.before] {
		gone = append(gone, p.retire(u, c, after...))
	}
	for _, s := range b.slots {
		if s.halt != "" {
			gone = append(gone, p.stop(*s.from, s.halt, after...))
		}
	}
	return gone
}

// create plans a new container for s.
func (p *planner) create(u *unit, s slot, after ...int) int {
	name, final := p.names(u, s.replica)
	peers := p.peers(u)
	after = append(after, p.made(peers)...)
	return p.add(Step{
		Kind: StepCreate, Service: u.Name, Replica: s.replica, Image: u.image, Reason: p.createReason(u, s),
		Create: Create{Name: name, Final: final, Alias: !s.join, Ports: true, Edge: u.edgePorts(), Carry: p.carry(u, s), Peers: peers},
	}, after...)
}

// serve plans what leads s from created to in service and returns the last step.
func (p *planner) serve(u *unit, s slot, after []int) int {
	last := p.introduced(u, s, p.rise(u, s, after))
	u.ready = append(u.ready, last)
	return p.keepUp(u, s, last)
}

// rise plans what leads s from created to ready and returns its gate.
func (p *planner) rise(u *unit, s slot, after []int) int {
	if s.leave {
		reason := "not to be found before it is ready"
		if !p.plugged(u, *s.from) {
			reason = "into its networks again, " + reason
		}
		after = []int{p.add(Step{Kind: StepLeave, Service: u.Name, Replica: s.replica, Reason: reason}, after...)}
	}
	after = p.preStart(u, s, after)
	if s.start {
		after = []int{p.add(Step{Kind: StepStart, Service: u.Name, Replica: s.replica, Reason: p.startReason(u, s)}, after...)}
	}
	after = p.postStart(u, s, after)
	if s.start {
		u.started = append(u.started, after...)
	}
	asked := u.reachable(s)
	if p.awake(u) {
		asked = asked.proven()
	}
	return p.add(Step{Kind: StepGate, Service: u.Name, Replica: s.replica, Gate: p.gate(asked), Reason: p.gateText(asked)}, after...)
}

// introduced plans that s, which is ready, is found by its service's name, where it is
// not, and returns the step after which it is.
func (p *planner) introduced(u *unit, s slot, after ...int) int {
	if !s.join {
		return after[len(after)-1]
	}
	return p.add(Step{Kind: StepJoin, Service: u.Name, Replica: s.replica, Reason: "ready: takes the name " + u.Name}, after...)
}

// keepUp plans that s, which has passed its gate, comes back by itself as it is declared.
func (p *planner) keepUp(u *unit, s slot, after ...int) int {
	if !s.policy {
		return after[len(after)-1]
	}
	policy := declaredRestart(u.Config)
	return p.add(Step{Kind: StepPolicy, Service: u.Name, Replica: s.replica, Restart: policy, Reason: "restart " + policy + " as declared"}, after...)
}

// retire plans the end of c's service, which is a lasting stop unless it is a running
// standby from then on, and returns its last step.
func (p *planner) retire(u *unit, c Container, after ...int) int {
	if p.standsBy(u, c) {
		return p.lie(u, c, after...)
	}
	reason := "replaced; standby for " + brief(u.Settings.StandbyFor)
	switch {
	case p.failed(c):
		reason = "failed; kept for inspection"
	case p.discards(c):
		reason = "failed by itself; kept for inspection"
	case p.neverServed(c):
		reason = fmt.Sprintf("left over from release #%d", c.Release)
	case u.Settings.StandbyFor == 0:
		reason = "replaced"
	}
	return p.stop(c, reason, after...)
}

// stop plans a lasting stop once, however often it is asked for.
func (p *planner) stop(c Container, reason string, after ...int) int {
	if id, planned := p.stopped[c.ID]; planned {
		return id
	}
	first := len(p.plan.Steps)
	after = p.dismiss(c, "restart no, before a stop that is meant to last", after)
	after = p.preStop(c, after)
	p.stopped[c.ID] = p.add(Step{Kind: StepStop, Service: c.Service, Replica: replicaOf(c), Reason: reason}, after...)
	for i := range p.plan.Steps[first:] {
		p.plan.Steps[first+i].Clears = p.failed(c) && !c.Findable()
	}
	p.protect(c, first)
	return p.stopped[c.ID]
}

// dismiss plans that c finishes what it has begun and does not come back by itself: an
// engine that restarts brings a stopped container with policy `always` back to life,
// beside its successor and on the same volumes.
func (p *planner) dismiss(c Container, why string, after []int) []int {
	if u := p.units[c.Service]; u != nil {
		after = slices.Concat(after, u.back)
	}
	after = slices.Concat(p.drain(c, after), p.linger(c, after))
	if c.Restart != "no" {
		after = []int{p.add(Step{Kind: StepPolicy, Service: c.Service, Replica: replicaOf(c), Restart: "no", Reason: why}, after...)}
	}
	return after
}

// surplus takes replicas above the declared number away.
func (p *planner) surplus(u *unit) {
	for _, c := range u.fleet.surplus {
		why := fmt.Sprintf("scaled %d -> %d", len(u.fleet.current)+len(u.fleet.surplus), u.Replicas)
		last := p.stop(c, why, slices.Concat(u.ready, u.before, p.hooked)...)
		if u.last = append(u.last, last); p.soleHolder(c) {
			continue
		}
		p.removed[c.ID] = true
		u.last = append(u.last, p.add(Step{Kind: StepRemove, Service: u.Name, Replica: replicaOf(c), Reason: why}, last))
	}
}

// monitor watches what a release has put into service before the release counts
// as good. What serves already is not delayed by it.
func (p *planner) monitor(u *unit) {
	if p.desired.Settled || u.OneShot || u.rules.Monitor == 0 || p.judges(u) {
		return
	}
	if doubt := u.Doubt(); doubt != "" && len(u.ready) > 0 {
		p.note("%s: %s", u.Name, doubt)
	}
	watched := map[Replica]bool{}
	for _, id := range u.ready {
		r := p.plan.Steps[id-1].Replica
		if !watched[r] {
			watched[r] = true
			p.add(Step{Kind: StepMonitor, Service: u.Name, Replica: r, Reason: "watched for " + brief(u.rules.Monitor),
				Gate: u.probed(Gate{Kind: GateMonitor, StableFor: u.rules.Monitor, MayComplete: u.mayComplete()})}, id)
		}
	}
	// A release that was cut off in this window is watched to its end.
	for _, c := range u.fleet.current {
		left := u.rules.Monitor - p.now.Sub(c.Started)
		young := p.desired.Previous == nil || c.Release > p.desired.Previous.Seq
		if young && left > 0 && p.settled(u, c) && !u.completed(c) {
			p.add(Step{Kind: StepMonitor, Service: u.Name, Replica: replicaOf(c), Reason: "watched for another " + brief(left),
				Gate: u.probed(Gate{Kind: GateMonitor, StableFor: left, MayComplete: u.mayComplete()})})
		}
	}
}
