package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// ErrBudget is why something that davit would do of its own accord waits: too few
// replicas of the service would be left.
var ErrBudget = errors.New("it waits until enough replicas are")

// budgetPause is how soon a plan that the budget forbids is made again.
const budgetPause = 10 * time.Second

// Budget is what a step that takes replicas out of service has to leave of it. There
// is one for everything that davit does of its own accord: it knows no reasons. What a
// replica loses by itself counts as lost, and one that is not ready may always go.
type Budget struct {
	// Floor is how many replicas stay ready, Of how many are declared. A Floor of 0 is no
	// budget.
	Floor, Of int
	// Leaving are those that go.
	Leaving []Replica
	// Counted are all that count while they are ready.
	Counted []Counted
}

// Counted is a replica that counts once the step Since has succeeded; 0 for at once.
type Counted struct {
	Replica Replica
	Since   int
}

// Short says how far the budget is from allowing anything: "budget: 2 of 3 ready, needs 2".
func (b Budget) Short(ready int) string {
	return fmt.Sprintf("budget: %d of %d ready, needs %d", ready, b.Of, b.Floor)
}

// floorOf is how many of the service's replicas stay ready when they are replaced by
// these rules. A single one that is replaced stop-first is announced, and exempt; a
// floor that nobody asked for gives way to what the file asks for, and to data that is
// handed from one replica to the next.
func floorOf(s compose.Service, r Replacement, writes bool) int {
	n := s.Replicas
	switch {
	case s.OneShot || n == 0 || n == 1 && !r.StartFirst:
		return 0
	case s.Settings.MinAvailableSet:
		return min(s.Settings.MinAvailable.Up(n), n)
	case n == 1, writes, len(borrowed(s)) > 0:
		return 0 // its place in the plan protects it already, or it goes with whom it borrows from
	}
	return max(min(s.Settings.MinAvailable.Up(n), n-r.Unavailable), 0)
}

// within keeps the rules to what the budget leaves.
func (r *Replacement) within(s compose.Service, writes bool) error {
	if r.Floor = floorOf(s, *r, writes); r.Floor == 0 {
		return nil
	}
	for _, owner := range sortedKeys(borrowed(s)) {
		return WithHint(fmt.Errorf("min_available keeps %d of %d replicas, and all of them are replaced at once, together with %s", r.Floor, s.Replicas, owner), "take x-davit.min_available out")
	}
	r.Unavailable = min(r.Unavailable, s.Replicas-r.Floor)
	if r.Surge+r.Unavailable > 0 {
		return nil
	}
	return WithHint(fmt.Errorf("min_available keeps all %d replicas, so that none could ever be replaced (%s)", s.Replicas, r), "lower x-davit.min_available, or allow a surge")
}

// protect has the first of the steps from the one at index on that takes c out of
// service ask the budget first.
func (p *planner) protect(c Container, index int) {
	u := p.units[c.Service]
	if u == nil || u.rules.Floor == 0 || !p.counts(c) || u.charged[c.ID] || p.interrupted(u, c) {
		return
	}
	for i := range p.plan.Steps[index:] {
		s := &p.plan.Steps[index+i]
		if s.Kind == StepDelay {
			continue
		}
		p.charge(u, s, replicaOf(c))
		return
	}
}

// interrupted reports whether c stops because of what it is in, which interrupts all
// that are: where the file keeps some of them ready, that is refused.
func (p *planner) interrupted(u *unit, c Container) bool {
	renewed := p.inRenewed(c)
	if renewed && u.Settings.MinAvailableSet && p.refusal == nil {
		p.refusal = &Stalled{Reason: "service " + u.Name, Err: WithHint(
			fmt.Errorf("min_available keeps %d of %d replicas ready, and network %s is made anew, for which all of them stop", u.rules.Floor, u.Replicas, strings.Join(sortedKeys(p.renewed), ", ")),
			"take x-davit.min_available out for this release")}
	}
	return renewed || u.halted[c.ID] != ""
}

// charge has s ask the budget of u before these replicas leave.
func (p *planner) charge(u *unit, s *Step, leaving ...Replica) {
	s.Budget = Budget{Floor: u.rules.Floor, Of: u.Replicas, Leaving: leaving}
	for _, r := range leaving {
		u.charged[r.ID] = true
	}
	if u.Settings.MinAvailableSet {
		s.Reason += fmt.Sprintf("; keeps %d of %d ready", u.rules.Floor, u.Replicas)
	}
}

// counts reports whether callers may be relying on c. One that has to be replaced, or is
// because something is wrong with it, is not ready whatever the engine says of it.
func (p *planner) counts(c Container) bool {
	return c.Findable() && !p.failed(c) && c.State != Removing && c.Probed.Doomed == "" && !p.discards(c)
}

// fund tells every budget of the plan which replicas count. Its error is a Waiting for
// a plan that would come to a halt at one of them whatever goes well before.
func (p *planner) fund() error {
	for _, name := range p.sequence {
		u := p.units[name]
		if u.rules.Floor == 0 {
			continue
		}
		counted := p.counted(u)
		left := map[string]bool{}
		for i := range p.plan.Steps {
			s := &p.plan.Steps[i]
			if s.Budget.Floor == 0 || s.Service != name {
				continue
			}
			s.Budget.Counted = counted
			if !p.affords(u, s.ID, s.Budget, left) {
				p.lacking = name
				return &Waiting{Reason: name + ": " + s.Budget.Short(p.readyNow(u)), Err: ErrBudget, After: budgetPause}
			}
		}
	}
	return nil
}

// leaveAlone has all containers of u stay as they are for now, since the budget forbids what
// would be done about them.
func (p *planner) leaveAlone(u *unit) {
	u.fleet.taken = map[int]bool{}
	for _, c := range p.owned {
		if c.Service != u.Name {
			continue
		}
		if u.fleet.taken[c.Number] = true; u.made(c) && !p.failed(c) {
			p.treat(u, c)
		}
		if c.Running() || c.State == Restarting {
			u.fleet.current = append(u.fleet.current, c)
		} else {
			u.fleet.parked = append(u.fleet.parked, c)
		}
	}
	p.again(p.now.Add(budgetPause))
}

// counted are the replicas of u that count, now or from some step on.
func (p *planner) counted(u *unit) []Counted {
	since := map[Replica]int{}
	for _, id := range u.ready {
		since[p.plan.Steps[id-1].Replica] = id
	}
	var out []Counted
	for _, c := range p.owned {
		if c.Service == u.Name && since[replicaOf(c)] == 0 && p.counts(c) {
			out = append(out, Counted{Replica: replicaOf(c)})
		}
	}
	for _, id := range u.ready {
		r := p.plan.Steps[id-1].Replica
		if since[r] == id && u.halted[r.ID] == "" {
			out = append(out, Counted{Replica: r, Since: id})
		} else if since[r] == id {
			out = append(out, Counted{Replica: r})
		}
	}
	return out
}

// affords reports whether the step may ever begin, if all that comes before it goes
// well. left are the replicas that earlier steps took away.
func (p *planner) affords(u *unit, step int, b Budget, left map[string]bool) bool {
	free := true
	for _, r := range b.Leaving {
		i := slices.IndexFunc(p.owned, func(c Container) bool { return c.ID == r.ID })
		free = free && (left[r.ID] || i >= 0 && !readyByItself(p.owned[i]))
		left[r.ID] = true
	}
	stay := 0
	for _, k := range b.Counted {
		i := slices.IndexFunc(p.owned, func(c Container) bool { return c.ID == k.Replica.ID })
		runs := i >= 0 && p.owned[i].Running()
		if k.Since > 0 && k.Since < step || k.Since == 0 && runs && !left[k.Replica.ID] {
			stay++
		}
	}
	return free || stay >= b.Floor
}

// readyByItself is what the engine says of c, whatever the plan is about to do.
func readyByItself(c Container) bool {
	return c.State == Running && (c.Health == Healthy || c.Health == HealthNone)
}

// readyNow counts the replicas of u that callers can rely on at this moment.
func (p *planner) readyNow(u *unit) int {
	n := 0
	for _, c := range p.owned {
		if c.Service == u.Name && p.counts(c) && readyByItself(c) {
			n++
		}
	}
	return n
}
