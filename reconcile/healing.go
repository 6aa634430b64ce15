package reconcile

import (
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// Ailment is what is wrong with a replica of itself, and what follows from that.
type Ailment struct {
	Replica Replica
	// Reason is what is wrong: "liveness failed 3 times: connection refused".
	Reason string
	// Healed is true where the plan does something about it, and Replaced where another
	// container takes its place.
	Healed, Replaced bool
	// Next is when something may be done that may not be now; zero for not any more.
	Next time.Time
}

func (a Ailment) String() string { return a.Replica.String() + ": " + a.Reason }

// HealingState is what is on record of a service that fails by itself. The zero value is
// that of one which is well.
type HealingState struct {
	// Content is what ran, a compose.Project's hash: other content begins anew.
	Content string `json:"content"`
	// Attempts are when it was healed, oldest first.
	Attempts []time.Time `json:"attempts"`
	// Reason is what was wrong last.
	Reason string `json:"reason"`
	// Well is since when nothing is wrong, zero while something is.
	Well time.Time `json:"well"`
	// GivenUp is since when nothing is done any more, zero while something may be.
	GivenUp time.Time `json:"given_up"`
}

// recent are the attempts that count at now.
func (h HealingState) recent(now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(h.Attempts), func(t time.Time) bool { return now.Sub(t) >= compose.HealingWindow })
}

// next is when the service may be healed again; false for not any more.
func (h HealingState) next(by compose.Healing, now time.Time) (time.Time, bool) {
	recent := h.recent(now)
	switch {
	case by.Off, !h.GivenUp.IsZero(), len(recent) >= by.Enough():
		return time.Time{}, false
	case len(recent) == 0:
		return now, true
	}
	return recent[len(recent)-1].Add(by.Pause(len(recent))), true
}

// healing is what is on record of a service's healing while it runs what is desired.
func (d Desired) healing(service string) HealingState {
	if h := d.Healing[service]; h.Content == d.Project.Hash {
		return h
	}
	return HealingState{}
}

// ails says what is wrong of itself with c, which was made from what is desired, or "".
// What a release has not finished is none of this, and what an operator stopped neither.
func (p *planner) ails(u *unit, c Container) string {
	if !p.desired.Settled || u.OneShot || c.StopsByHand || p.desired.stops(u.Name, "") || p.desired.stops(u.Name, c.ID) {
		return ""
	}
	switch {
	case c.State == Exited:
		return p.ended(u, c)
	case c.State == Running && c.Probed.Doomed != "":
		return c.Probed.Doomed
	case c.looping():
		return fmt.Sprintf("restarted by itself %d times within %s", c.Crashes, brief(crashWindow))
	case c.State != Running || c.Health != Unhealthy || c.Unwell.IsZero():
		return ""
	case p.now.Sub(c.Unwell) < unwellFor:
		p.again(c.Unwell.Add(unwellFor))
		return ""
	}
	return "unhealthy for " + brief(unwellFor)
}

// ended says how c, which was in service, came to its end by itself, or "". What went
// down with the engine, or while nobody was there to see, is no fault of its own; what was
// given up as it is now stays so.
func (p *planner) ended(u *unit, c Container) string {
	if u.completed(c) || c.StopByHand || p.desired.Previous == nil {
		return ""
	}
	stopped := p.dismissed(c) || c.Restart != declaredRestart(u.Config)
	given := p.desired.healing(u.Name).GivenUp
	seen := c.Finished.After(p.answering) || !given.IsZero() && !c.Finished.After(given)
	if stopped || !seen || p.neverServed(c) {
		return ""
	}
	return c.End()
}

// dismissed reports whether an attempt may have stopped c, which has ended: the last one
// that was about more than ailments, or one that was to heal and began while c ran. What
// was to be replaced goes on where the replacement fails.
func (p *planner) dismissed(c Container) bool {
	for _, r := range p.desired.History {
		switch {
		case r.Kind == KindNoop:
		case r.Trigger != TriggerHealing:
			return !c.Finished.After(r.Finished)
		case c.endedIn(r):
			return true
		}
	}
	return false
}

// endedIn reports whether c, which has ended, ran when the attempt began, and ended before
// it had.
func (c Container) endedIn(r Release) bool {
	return c.Started.Before(r.Started) && !c.Finished.Before(r.Started) && (r.Running() || !c.Finished.After(r.Finished))
}

// treat finds out what is wrong with c, if anything is, and whether something is done
// about it now.
func (p *planner) treat(u *unit, c Container) *Ailment {
	why := p.ails(u, c)
	if why == "" {
		return nil
	}
	a := Ailment{Replica: replicaOf(c), Reason: why}
	next, more := p.desired.healing(u.Name).next(u.Settings.Healing, p.now)
	switch {
	case more && slices.Contains(p.short, u.Name):
		a.Next = p.now.Add(budgetPause)
	case more && !next.After(p.now):
		a.Healed, a.Replaced = true, c.State != Exited
	case more:
		a.Next = next
		p.again(next)
	}
	p.plan.Ailments = append(p.plan.Ailments, a)
	if a.Replaced {
		u.because = why
	}
	return &a
}

// ailing are the ailments of a service.
func (p Plan) ailing(service string) []Ailment {
	return slices.DeleteFunc(slices.Clone(p.Ailments), func(a Ailment) bool { return a.Replica.Service != service })
}

// healed are the ailments about which the plan does something.
func (p Plan) healed() []Ailment {
	return slices.DeleteFunc(slices.Clone(p.Ailments), func(a Ailment) bool { return !a.Healed })
}

// discards reports whether c is replaced because something is wrong with it.
func (p *planner) discards(c Container) bool {
	return slices.ContainsFunc(p.plan.Ailments, func(a Ailment) bool { return a.Replaced && a.Replica.ID == c.ID })
}

// heals reports whether the plan is about ailments of the service.
func (p Plan) heals(service string) bool {
	return slices.ContainsFunc(p.healed(), func(a Ailment) bool { return a.Replica.Service == service })
}

// drifts reports whether the plan puts something right that did not go wrong by itself.
func (p Plan) drifts() bool {
	return !housekeeping(p) && slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Service == "" || !p.heals(s.Service) })
}

// End says how an ended container came to its end.
func (c Container) End() string {
	switch {
	case c.OOMKilled:
		return "was killed for lack of memory"
	case c.State == Dead:
		return "is dead"
	}
	return fmt.Sprintf("exited with code %d", c.ExitCode)
}
