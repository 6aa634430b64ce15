package reconcile

import (
	"fmt"
	"math"
	"slices"

	"davit/compose"
)

// judges reports whether the batches of u are judged, each before the next. What brings
// earlier content back, or corrects drift, is proven, and what comes for the first time is
// worse than nothing.
func (p *planner) judges(u *unit) bool {
	if u.Settings.Analysis == nil || p.desired.Previous == nil || p.desired.Returning || u.OneShot {
		return false
	}
	_, known := p.desired.Previous.Service(u.Name)
	return known && p.deploys(u)
}

// uncounted refuses a release that would be judged by requests which nobody counts: it
// would end in doubt, whatever it is like, and wait for somebody.
func (p *planner) uncounted(u *unit) error {
	a, key := u.Settings.Analysis, "analysis"
	if c := u.Settings.Canary; u.Settings.Strategy == compose.StrategyCanary && c != nil {
		a, key = c.Analysis, "canary.analysis"
	}
	counts := func(port compose.PublishedPort) bool { return port.Balancer == "" && port.Network == "tcp" }
	if a == nil || u.OneShot || p.desired.Returning || p.desired.Settled || slices.ContainsFunc(u.edge, counts) {
		return nil
	}
	i := slices.IndexFunc(a.Metrics, compose.Metric.Starves)
	if i < 0 {
		return nil
	}
	return &Stalled{Reason: "service " + u.Name, Err: WithHint(
		fmt.Errorf("%s by %s is not possible: the edge counts requests, and it has no TCP port of this service", key, a.Metrics[i].Name),
		"name other metrics, such as restarts, oom_kills or prometheus, or give it a port that is via: edge")}
}

// resume plans that what a rollout which was cut off had put into service is judged
// before anything else of u changes: nobody knows that it was.
func (p *planner) resume(u *unit, old []Container) []int {
	if !p.judges(u) {
		return nil
	}
	var crew []Replica
	for _, c := range u.fleet.current {
		if c.Release > p.desired.Previous.Seq && p.settled(u, c) && !u.completed(c) {
			crew = append(crew, replicaOf(c))
		}
	}
	if u.crew = crew; len(crew) == 0 {
		return nil
	}
	return p.hold(u, old, u.back)
}

// trial plans that all replicas of u that are new by now are judged after these steps,
// beside the old ones that are left, while those that leave still drain.
func (p *planner) trial(u *unit, b batch, after []int) []int {
	if !p.judges(u) {
		return nil
	}
	for _, s := range b.slots {
		u.crew = append(u.crew, s.replica)
	}
	return p.hold(u, b.rest, after)
}

// hold plans that the new replicas of u are judged for as long as others are watched.
func (p *planner) hold(u *unit, old []Container, after []int) []int {
	h := CanaryHold{
		Batch: true, Step: len(u.crew), Of: max(u.Replicas, len(u.crew)), For: u.rules.Monitor,
		Canary: slices.Clone(u.crew), Content: p.project.Hash,
	}
	h.Weight = 100 * h.Step / h.Of
	for _, c := range old {
		if p.stopped[c.ID] == 0 && p.counts(c) && readyByItself(c) {
			h.Stable = append(h.Stable, replicaOf(c))
		}
	}
	st := p.desired.Canaries[u.Name]
	if st.Content == h.Content && st.Weight == h.Weight && !st.Since.After(p.now) {
		h.Since = st.Since
	}
	if st.Content == h.Content {
		h.Aborted = st.Aborted
	}
	return []int{p.add(Step{Kind: StepHold, Service: u.Name, Hold: h, Reason: h.text(p.now),
		Gate: u.probed(Gate{Kind: GateMonitor, StableFor: math.MaxInt64, MayComplete: u.mayComplete()})}, after...)}
}
