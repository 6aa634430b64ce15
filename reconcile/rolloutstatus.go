package reconcile

import (
	"fmt"
	"time"

	"davit/compose"
)

// RolloutStatus is where a service is that goes from one release to another.
type RolloutStatus struct {
	// Strategy is how: "rolling", "recreate", "canary" or "blue-green".
	Strategy string `json:"strategy"`
	// Phase of a canary is "starting" while replicas of the new release come up, "holding"
	// while its weight stays, "promoting" after the last hold, and "interrupted" while
	// nobody works on it: a suspension, say. Otherwise it is what is done: "waiting" for
	// others, "preparing", "hooks", "starting", "shifting", "delaying", "draining" or
	// "monitoring".
	Phase string `json:"phase"`
	// Step of Steps, counted from 1, is the one that it is at or goes to: a canary's, or
	// else the replica; 0 where it is interrupted and nobody knows.
	Step  int `json:"step"`
	Steps int `json:"steps"`
	// Batch is true where steps are replicas, which are judged batch by batch.
	Batch bool `json:"batch,omitempty"`
	// Weight is what the new release gets at the edge now, in percent.
	Weight int `json:"weight"`
	// WaitingFor is what it waits for, Since when the phase began.
	WaitingFor string    `json:"waiting_for"`
	Since      time.Time `json:"since"`
}

// String is the status in a line.
func (r RolloutStatus) String() string {
	text := fmt.Sprintf("%s, %d %%", r.Phase, r.Weight)
	switch {
	case r.Batch:
		text = fmt.Sprintf("%s, %d of %d replicas", r.Phase, r.Step, r.Steps)
	case r.Step > 0 && r.Strategy == compose.StrategyCanary.String():
		text = fmt.Sprintf("canary step %d of %d, %s", r.Step, r.Steps, text)
	case r.Step > 0:
		text = fmt.Sprintf("%s, replica %d of %d, %s", r.Strategy, r.Step, r.Steps, text)
	}
	if r.WaitingFor != "" {
		text += ", waits for " + r.WaitingFor
	}
	return text
}

// rolloutStatus is how a service that changes stands, nil for any other. The caller holds
// l.mu.
func (l *Loop) rolloutStatus(s *stack, service string, now *Release) *RolloutStatus {
	var route Route
	if l.observed.Edge != nil {
		route, _ = l.observed.Edge.Route(s.name, service)
	}
	out := &RolloutStatus{Strategy: compose.StrategyCanary.String(), Phase: "interrupted", Weight: route.share(func(m Member) bool { return !l.proven(m, service, now) })}
	var h *holding
	if s.work != nil {
		h = s.work.canaries[service]
	}
	if s.work != nil && s.work.course != nil && (h == nil || h.hold.Batch && !h.open) {
		if rolls := s.work.course.status(service); rolls != nil {
			rolls.Weight, rolls.Batch = s.work.course.weight(service, route, l.observed.ownedBy(s.name, l.Instance)), h != nil
			return rolls
		}
	}
	switch {
	case h == nil && len(route.Weights) == 0:
		return nil
	case h == nil:
		if st, known := s.canaries[service]; known {
			out.Since = st.Since
		}
		return out
	}
	out.Step, out.Steps, out.WaitingFor, out.Since, out.Batch = h.hold.Step, h.hold.Of, h.waits, h.since, h.hold.Batch
	declared, _ := s.work.course.plan.Project.Service(service)
	out.Strategy = declared.Settings.Strategy.String()
	switch {
	case h.open && h.hold.Batch:
		out.Phase, out.Weight = "holding", s.work.course.weight(service, route, l.observed.ownedBy(s.name, l.Instance))
	case h.open:
		out.Phase, out.Weight = "holding", h.hold.Weight
	case h.hold.Batch:
		return nil // all that is left is cleared away
	case h.left == 0:
		out.Phase, out.Step = "promoting", h.hold.Of
	default:
		out.Phase, out.Step = "starting", h.hold.Of-h.left
	}
	return out
}

// proven reports whether a member runs what the current release ran. The caller holds
// l.mu.
func (l *Loop) proven(m Member, service string, now *Release) bool {
	if now == nil {
		return false
	}
	rec, _ := now.Service(service)
	for _, c := range l.observed.Containers {
		if c.ID == m.Container {
			return c.Spec == rec.Spec && c.ImageID == rec.Image.ID
		}
	}
	return false
}
