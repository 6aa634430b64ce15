package reconcile

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"davit/compose"
)

// CanaryHold is a canary at its weight, or the replicas of an update that are judged
// before the next batch.
type CanaryHold struct {
	// Step of Of, counted from 1; the last one, of 100 percent, is never held. Of a batch
	// they are how many replicas are new, of those that are declared.
	Step, Of int
	// Batch is true for what is judged between the batches of an update.
	Batch bool
	// Weight is what the canary gets now, in percent.
	Weight int
	// For is how long that stays at least. Since is when it began, zero where nobody
	// knows: then it begins when the step does.
	For   time.Duration
	Since time.Time
	// Manual is true where an operator is to say go on afterwards.
	Manual bool
	// Canary are the replicas of the new release, which are watched meanwhile, and Stable
	// the others.
	Canary, Stable []Replica
	// Content is what is tried: what was decided about another one means nothing here.
	Content string
	// Aborted is who put an end to it, "" while nobody has.
	Aborted string
}

// String names the step: "canary step 1 of 3".
func (h CanaryHold) String() string {
	if h.Batch {
		return fmt.Sprintf("%d of %d replicas", h.Step, h.Of)
	}
	return fmt.Sprintf("canary step %d of %d", h.Step, h.Of)
}

// text is what the plan says of the hold.
func (h CanaryHold) text(now time.Time) string {
	text := fmt.Sprintf("at %d %%", h.Weight)
	if h.Batch {
		text = "judged at " + h.String()
	}
	left := h.For
	if !h.Since.IsZero() {
		left = max(h.For-now.Sub(h.Since), 0).Round(time.Second)
	}
	switch {
	case h.Aborted != "":
		return h.String() + ": aborted by " + h.Aborted
	case left > 0 && !h.Since.IsZero():
		text += " for another " + brief(left)
	case left > 0:
		text += " for " + brief(left)
	}
	if h.Manual {
		text += " until it is promoted"
	}
	return text
}

// CanaryState is what is on record of a canary: where its weight is, the edge says.
type CanaryState struct {
	// Content is the Project.Hash that it is of.
	Content string `json:"content"`
	// Weight is the step's that is held, and Since when that began.
	Weight int       `json:"weight"`
	Since  time.Time `json:"since"`
	// Promoted is who let it go on from there, Aborted who put an end to it; "" for nobody.
	Promoted string `json:"promoted,omitempty"`
	Aborted  string `json:"aborted,omitempty"`
}

// weighable is the service of u as it is replaced: it refuses a canary of which the edge
// hands out nothing. What is not new content is replaced without one.
func (p *planner) weighable(u *unit) (compose.Service, error) {
	s := u.Service
	if s.Settings.Strategy == compose.StrategyBlueGreen && (p.desired.Returning || p.desired.Settled) && len(withoutPorts(s, u.edge).Config.Ports) > 0 {
		s.Settings.Strategy = compose.StrategyRolling // the edge is gone
	}
	if s.Settings.Strategy != compose.StrategyCanary {
		return s, nil
	}
	if len(u.edge) > 0 {
		return s, p.matchable(u)
	}
	if p.desired.Returning || p.desired.Settled {
		s.Settings.Strategy = compose.StrategyRolling
		return s, nil
	}
	why := "none of its ports has a fixed host port"
	if ports := u.dockerPorts(); len(ports) > 0 {
		why = "Docker publishes " + hostPortList(ports) + ", and only the edge can share out what comes there"
	}
	return s, &Stalled{Reason: "service " + u.Name, Err: WithHint(fmt.Errorf("strategy canary is not possible: %s", why),
		"start an edge and leave via to auto, or take strategy rolling")}
}

// matchable refuses a canary by header or cookie at ports where nobody reads them.
func (p *planner) matchable(u *unit) error {
	if p.desired.Returning || p.desired.Settled || u.Settings.Canary == nil || len(u.Settings.Canary.Match) == 0 {
		return nil
	}
	read := false
	for _, port := range u.edge {
		if b, found := p.edge.Balancer(port.Balancer); found {
			return &Stalled{Reason: "service " + u.Name, Err: WithHint(
				fmt.Errorf("canary.match is for the edge, and port %d is at %s", port.Target, b), "take match out, or give the port to the edge")}
		}
		read = read || port.Network == "tcp" && port.Speaks != compose.PortTCP
	}
	if !read {
		return &Stalled{Reason: "service " + u.Name, Err: WithHint(
			errors.New("canary.match looks at requests, and none of its ports is read as HTTP"), "leave protocol to auto, or take match out")}
	}
	return nil
}

// stable are the containers of u that run something else and get what is new, but for
// those that serve nobody any more once the weight is back.
func (p *planner) stable(u *unit) []Container {
	if p.edge == nil || p.away() {
		return nil
	}
	r, _ := p.edge.Route(p.project.Name, u.Name)
	var out []Container
	for _, c := range u.fleet.old {
		if r.hands(c.ID) && c.Running() && !p.abandoned(u, r, c) {
			out = append(out, c)
		}
	}
	return out
}

// hands reports whether the container gets something new.
func (r Route) hands(container string) bool {
	i := r.at(container)
	return i >= 0 && r.Members[i].Draining.IsZero()
}

// abandoned reports whether c is a canary that does not go on. Of an attempt that was
// superseded nothing but its share tells what was new in it, where what it replaced was
// not proven either.
func (p *planner) abandoned(u *unit, r Route, c Container) bool {
	switch {
	case p.failed(c):
		return true
	case len(r.Weights) == 0, !p.neverServed(c), p.fresh(u, c.ID):
		return false
	case p.desired.Settled, p.desired.Returning:
		return true
	case slices.ContainsFunc(r.Members, func(m Member) bool { return m.Draining.IsZero() && p.fresh(u, m.Container) }):
		return false // it is what the canary is held against
	}
	return slices.ContainsFunc(r.Members, func(m Member) bool {
		i := slices.IndexFunc(p.owned, func(x Container) bool { return x.ID == m.Container })
		proven := i >= 0 && !p.failed(p.owned[i]) && !p.neverServed(p.owned[i])
		return m.Draining.IsZero() && (proven || r.Weights[m.Release] > r.Weights[c.Release])
	})
}

// cautious reports whether the traffic of u goes to what is desired a share at a time. A
// rollback does not: what it brings back is proven, and whoever waits for it is in
// trouble now. Nor does what nobody serves yet, or what is reached at other ports.
func (p *planner) cautious(u *unit) bool {
	return p.weighs(u) && len(p.stable(u)) > 0 && len(p.retargets(u)) == 0
}

// weighs reports whether the traffic of u would be shared out if somebody had it.
func (p *planner) weighs(u *unit) bool {
	return u.Settings.Strategy == compose.StrategyCanary && !p.desired.Settled && !p.desired.Returning && u.Replicas > 0
}

// returns is that a canary of u waits for what served before and was started anew, with
// the host or its engine: the edge hands it nothing before it is ready again, and without
// anybody beside it all would go to what nobody has seen yet. What has not come back after
// the time of a start is not waited for.
func (p *planner) returns(u *unit) *Waiting {
	if !p.weighs(u) || p.edge == nil || p.away() {
		return nil
	}
	r, _ := p.edge.Route(p.project.Name, u.Name)
	if slices.ContainsFunc(u.fleet.current, func(c Container) bool { return r.hands(c.ID) }) {
		return nil
	}
	for _, c := range u.fleet.old {
		served := len(c.Edge) > 0 && c.State == Running && c.Findable() && !p.failed(c) && !p.neverServed(c)
		late := c.Health == Unhealthy || c.Health != HealthStarting && p.now.Sub(c.Started) >= u.Settings.StartTimeout
		if served && !late && r.at(c.ID) < 0 {
			return &Waiting{Reason: replicaOf(c).String() + " to be ready again, beside which the canary begins", After: 2 * time.Second}
		}
	}
	return nil
}

// fresh reports whether the container runs what is desired.
func (p *planner) fresh(u *unit, container string) bool {
	return slices.ContainsFunc(u.fleet.current, func(c Container) bool { return c.ID == container })
}

// given is the percentage that the edge hands to what is desired.
func (p *planner) given(u *unit, r Route) int {
	return r.share(func(m Member) bool { return p.fresh(u, m.Container) })
}

// giveBack plans, before anything else of u, that what a canary got goes to the others
// again, where it does not go on: it failed, or something newer is wanted.
func (p *planner) giveBack(u *unit) {
	if p.edge == nil || p.away() {
		return
	}
	r, _ := p.edge.Route(p.project.Name, u.Name)
	if len(r.Weights) == 0 || p.cautious(u) && p.given(u, r) > 0 {
		return
	}
	var back []Replica
	var to []int64
	for _, c := range p.owned {
		ready := c.State == Running && (c.Health == Healthy || c.Health == HealthNone)
		switch {
		case !r.hands(c.ID):
		case p.abandoned(u, r, c):
			back = append(back, replicaOf(c))
		case ready:
			to = append(to, c.Release)
		}
	}
	if len(to) == 0 || len(back) == 0 && len(p.places(u)) > 0 {
		return // there is nobody to give it to, or whoever joins ends the weighing
	}
	u.back = append(u.back, p.add(Step{Kind: StepShift, Service: u.Name, Shift: Shift{Ports: r.Ports, From: back, Limits: u.Drain},
		Reason: "all weight back to " + releasesOf(to) + p.edge.at(r.Ports)}))
}

// needed reports whether the edge hands something to c, a canary that does not go on, since
// there is nobody whom its weight could be given back to.
func (p *planner) needed(u *unit, c Container) bool {
	if p.edge == nil || p.away() || len(u.back) > 0 {
		return false
	}
	r, _ := p.edge.Route(p.project.Name, u.Name)
	return r.hands(c.ID)
}

// canary is the plan for a service that is replaced a share of its traffic at a time.
type canary struct {
	*planner
	u     *unit
	route Route
	// crew are all replicas of the new release, those that run first. The first up of them
	// are ready by the steps that own names, or without any.
	crew []slot
	up   int
	own  map[Replica]int
	// old are the containers that leave in the end, and barrier what the starts wait for.
	old     []Container
	barrier []int
	// reached is the index of the step that the edge is at, -1 before the first; exact
	// says that it is at just that weight.
	reached int
	exact   bool
	// hurried is true for a crew that runs already, and for which others wait: what is
	// done to it besides comes when it serves.
	hurried bool
	// held is the hold that everything after it waits for.
	held []int
}

// canary plans for u what replace plans for others.
func (p *planner) canary(u *unit) {
	c := canary{planner: p, u: u, old: u.fleet.old, barrier: slices.Clone(u.back), own: map[Replica]int{}}
	c.route, _ = p.edge.Route(p.project.Name, u.Name)
	c.locate()
	if c.aborted() {
		return
	}
	for _, x := range u.fleet.current {
		if p.settled(u, x) {
			c.crew = append(c.crew, slot{replica: replicaOf(x), from: &x})
		}
	}
	c.up = len(c.crew)
	c.crew = append(c.crew, p.places(u)...)
	c.begin()
	c.clear()
	for i, step := range c.steps() {
		if i >= c.reached {
			c.take(i, step)
		}
	}
	c.promote()
}

// begin plans what comes before the first start.
func (c *canary) begin() {
	if slices.ContainsFunc(c.crew, func(s slot) bool { return s.start }) {
		c.old, c.barrier = c.withdraw(c.u, c.old, slices.Concat(c.planner.barrier(c.u), c.u.back))
	}
}

// aborted plans nothing but the end of a canary that an operator put an end to.
func (c *canary) aborted() bool {
	st := c.desired.Canaries[c.u.Name]
	if st.Content != c.project.Hash || st.Aborted == "" {
		return false
	}
	h := c.hold(max(c.reached, 0), nil)
	h.Aborted = st.Aborted
	c.u.shifted = true
	c.add(Step{Kind: StepHold, Service: c.u.Name, Hold: h, Reason: h.text(c.now)})
	return true
}

// clear retires what an earlier attempt left, first: the release before stays as it is,
// and there are to be no more than two of them.
func (c *canary) clear() {
	stable := c.stable(c.u)
	left := func(x Container) bool {
		return (c.failed(x) || c.neverServed(x)) && !slices.ContainsFunc(stable, func(s Container) bool { return s.ID == x.ID })
	}
	for _, x := range c.old {
		if left(x) {
			c.barrier = append(c.barrier, c.retire(c.u, x, c.u.back...))
		}
	}
	c.old = slices.DeleteFunc(slices.Clone(c.old), left)
}

// steps are those before the last one.
func (c *canary) steps() []compose.CanaryStep {
	return slices.DeleteFunc(slices.Clone(c.u.Settings.Canary.Steps), func(s compose.CanaryStep) bool { return s.Weight == 100 })
}

// locate finds the step that the edge is at. Between two steps it counts as at the lower
// one, the weight of which it gets first.
func (c *canary) locate() {
	weight := c.given(c.u, c.route)
	c.reached = -1
	for i, s := range c.steps() {
		if s.Weight <= weight {
			c.reached, c.exact = i, s.Weight == weight
		}
	}
}

// hold is that of the step at index i, in which the crew is watched. Without any step
// but the last one it is of nothing.
func (c *canary) hold(i int, crew []Replica) CanaryHold {
	steps := c.steps()
	h := CanaryHold{Step: i + 1, Of: len(steps) + 1, Content: c.project.Hash, Canary: crew}
	if i >= len(steps) {
		return h
	}
	h.Weight, h.For = steps[i].Weight, steps[i].Hold
	h.Manual = i == len(steps)-1 && c.u.Settings.Canary.Promotion == compose.PromotionManual
	for _, x := range c.stable(c.u) {
		h.Stable = append(h.Stable, replicaOf(x))
	}
	if st := c.desired.Canaries[c.u.Name]; st.Content == h.Content && st.Weight == h.Weight && i == c.reached && c.exact && !st.Since.After(c.now) {
		h.Since = st.Since
	}
	return h
}

// take plans one step: its replicas, its weight, its hold.
func (c *canary) take(i int, step compose.CanaryStep) {
	crew := c.raise(max(c.u.Settings.Canary.Crew(step.Weight, c.u.Replicas), c.at()))
	h, after := c.hold(i, crew), c.risen()
	if i != c.reached || !c.exact || c.at() < len(crew) {
		reason := fmt.Sprintf("%d %% to %s, %s", step.Weight, c.releases(crew), h)
		if n := len(c.matches(step)); n > 0 {
			reason = fmt.Sprintf("%d %% and whoever asks for it to %s, %s", step.Weight, c.releases(crew), h)
		}
		if step.Hold > 0 {
			reason += ", hold " + brief(step.Hold)
		}
		after = []int{c.add(Step{Kind: StepShift, Service: c.u.Name, Reason: reason + c.edge.at(c.u.edge),
			Shift: Shift{Ports: c.shared(c.u, c.old), To: crew, Limits: c.u.Drain, Weight: step.Weight, Match: c.matches(step)}}, after...)}
	}
	c.held = []int{c.add(Step{Kind: StepHold, Service: c.u.Name, Hold: h, Reason: h.text(c.now),
		Gate: c.u.probed(Gate{Kind: GateMonitor, StableFor: math.MaxInt64, MayComplete: c.u.mayComplete()})}, after...)}
}

// matches are the requests that get the canary whatever its weight; at the last step all do.
func (c *canary) matches(step compose.CanaryStep) []compose.Match {
	if step.Weight == 100 {
		return nil
	}
	return c.u.Settings.Canary.Match
}

// risen are the steps after which all of the crew so far are ready, and may go on.
func (c *canary) risen() []int {
	out := slices.Concat(c.barrier, c.held)
	for _, s := range c.crew[:c.up] {
		if own := c.own[s.replica]; own > 0 {
			out = append(out, own)
		}
	}
	return out
}

// raise plans that the first n of the crew run and are ready, and returns them.
func (c *canary) raise(n int) []Replica {
	for ; c.up < min(n, len(c.crew)); c.up++ {
		s := &c.crew[c.up]
		after := slices.Concat(c.barrier, c.held)
		if s.create && s.made == 0 {
			s.made = c.create(c.u, *s, slices.Concat(c.base, after)...)
		}
		if s.made > 0 {
			after = append(after, s.made)
		}
		if c.own[s.replica] = c.rise(c.u, *s, after); !c.hurried {
			c.own[s.replica] = c.keepUp(c.u, *s, c.own[s.replica])
		}
	}
	var out []Replica
	for _, s := range c.crew[:c.up] {
		out = append(out, s.replica)
	}
	return out
}

// promote plans the last step.
func (c *canary) promote() {
	served := c.takeOver()
	n := len(c.steps()) + 1
	if s := &c.plan.Steps[served[len(served)-1]-1]; s.Kind == StepShift {
		s.Reason = fmt.Sprintf("100 %% to %s, canary step %d of %d: %s", c.releases(s.Shift.To), n, n, s.Reason)
	}
}

// takeOver plans that there are as many replicas as are declared, that they get all of
// what is new, and the end of the release before. It returns the steps after which they
// do. Callers inside the stack find the new ones only now: nobody could weigh them.
func (c *canary) takeOver() []int {
	c.raise(len(c.crew))
	after := c.risen()
	ends := slices.Clone(after)
	for _, s := range c.crew {
		if own := c.own[s.replica]; own > 0 {
			end := c.introduced(c.u, s, append(slices.Clone(after), own)...)
			c.u.ready, ends = append(c.u.ready, end), append(ends, end)
		}
	}
	served := c.handOver(c.u, batch{slots: c.crew, old: c.old}, ends)
	for i := range c.crew {
		if c.hurried {
			c.u.last = append(c.u.last, c.keepUp(c.u, c.crew[i], served...))
		}
	}
	for _, x := range c.old {
		c.u.last = append(c.u.last, c.retire(c.u, x, served...))
	}
	return served
}

// at is how many of the crew the edge hands something already.
func (c *canary) at() int {
	n := 0
	for _, m := range c.route.Members {
		if m.Draining.IsZero() && c.fresh(c.u, m.Container) {
			n++
		}
	}
	return n
}

// releases names the releases that made the crew: this one, or one that was cut off.
func (c *canary) releases(crew []Replica) string {
	var seqs []int64
	for _, r := range crew {
		seq := c.desired.Release
		if i := slices.IndexFunc(c.u.fleet.current, func(x Container) bool { return x.ID == r.ID }); i >= 0 {
			seq = c.u.fleet.current[i].Release
		}
		seqs = append(seqs, seq)
	}
	return releasesOf(seqs)
}
