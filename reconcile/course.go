package reconcile

import (
	"fmt"
	"slices"
	"time"
)

// course is how far the plan that is carried out has come. It is what the status shows of
// a rollout, and nothing is decided by it.
type course struct {
	plan   Plan
	images map[string]Image
	begun  time.Time
	// under are the steps that are under way, done those that have succeeded.
	under map[int]leg
	done  map[int]bool
	// moved is when a step of a service ended last.
	moved map[string]time.Time
}

// leg is one step on its way.
type leg struct {
	since time.Time
	waits string
}

func newCourse(p Plan, images map[string]Image, now time.Time) *course {
	return &course{plan: p, images: images, begun: now, under: map[int]leg{}, done: map[int]bool{}, moved: map[string]time.Time{}}
}

// follow takes in what has happened to a step of the plan that a carries out.
func (a *attempt) follow(n StepNews) {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if w := a.stack.work; w != nil && w.course != nil {
		w.course.take(n, a.loop.Now())
	}
}

func (c *course) take(n StepNews, now time.Time) {
	id := n.Step.ID
	if !n.Ended {
		l := c.under[id]
		if l.since.IsZero() {
			l.since = now
		}
		l.waits = n.Waits
		c.under[id] = l
		return
	}
	delete(c.under, id)
	c.moved[n.Step.Service], c.done[id] = now, n.Done
}

// phase says what a rollout is at while a step of that kind is under way. Kinds that are
// not there pass in no time, or concern nobody.
func phase(k StepKind) string {
	switch k {
	case StepPull, StepBuild:
		return "preparing"
	case StepHook:
		return "hooks"
	case StepCreate, StepStart, StepGate:
		return "starting"
	case StepJoin, StepShift:
		return "shifting"
	case StepDelay:
		return "delaying"
	case StepDrain, StepStop:
		return "draining"
	case StepMonitor:
		return "monitoring"
	}
	return ""
}

// status is where a service is, nil where the plan has nothing more to do with it. The
// weight is not known here.
func (c *course) status(service string) *RolloutStatus {
	var left []Step
	gates := 0
	for _, s := range c.plan.Steps {
		if s.Service != service || c.done[s.ID] || phase(s.Kind) == "" || s.Gate.Bystander {
			continue
		}
		if left = append(left, s); s.Kind == StepGate {
			gates++
		}
	}
	if len(left) == 0 || c.plan.Changes[service] == 0 {
		return nil
	}
	declared, _ := c.plan.Project.Service(service)
	of := c.plan.Changes[service]
	out := &RolloutStatus{Strategy: declared.Settings.Strategy.String(), Phase: "waiting", Step: min(of-gates+1, of), Steps: of, Since: c.moved[service]}
	if out.Since.IsZero() {
		out.Since = c.begun
	}
	for _, s := range left {
		if l, under := c.under[s.ID]; under {
			out.Phase, out.Since = phase(s.Kind), l.since
			out.WaitingFor = fmt.Sprintf("%s: %s", s.Target(), s.Reason)
			if l.waits != "" {
				out.WaitingFor = l.waits
			}
			return out
		}
	}
	out.WaitingFor = c.obstacle(left[0])
	return out
}

// obstacle is what keeps a step from beginning: one before it, or its budget.
func (c *course) obstacle(s Step) string {
	for _, id := range s.After {
		if before := c.plan.Steps[id-1]; !c.done[id] {
			return fmt.Sprintf("%s %s: %s", before.Kind, before.Target(), before.Reason)
		}
	}
	if s.Budget.Floor > 0 {
		return fmt.Sprintf("%d of %d replicas to be ready without %s", s.Budget.Floor, s.Budget.Of, s.Target())
	}
	return "its turn"
}

// fresh reports whether a container is what the plan brings.
func (c *course) fresh(x Container, service string) bool {
	declared, ok := c.plan.Project.Service(service)
	image := c.images[service]
	return ok && x.Service == service && x.Spec == declared.Hash && (image.ID == "" || x.ImageID == image.ID)
}

// weight is the percentage of what is new that goes to what the plan brings: by the shares
// at the edge, or else by how many of those that have callers it is.
func (c *course) weight(service string, r Route, o []Container) int {
	mine := func(m Member) bool {
		return slices.ContainsFunc(o, func(x Container) bool { return x.ID == m.Container && c.fresh(x, service) })
	}
	if len(r.Weights) > 0 {
		return r.share(mine)
	}
	all, part := 0, 0
	for _, m := range r.Members {
		if m.Draining.IsZero() {
			if all++; mine(m) {
				part++
			}
		}
	}
	if len(r.Members) == 0 {
		for _, x := range o {
			if x.Service == service && x.Running() && x.Findable() {
				if all++; c.fresh(x, service) {
					part++
				}
			}
		}
	}
	return (100*part + all/2) / max(all, 1)
}
