package reconcile

import (
	"fmt"
	"time"
)

// noticeForeign reports what somebody else did to the stacks: containers of others
// among their own, and a standby that was started. Both are put right like any
// drift. The caller holds l.mu.
func (l *Loop) noticeForeign(o Observed) {
	was := map[string]Container{}
	for _, c := range l.observed.Containers {
		was[c.ID] = c
	}
	for _, c := range o.Containers {
		s := l.stacks[c.Stack]
		if s == nil || c.Instance != l.Instance || c.OneOff {
			continue
		}
		before, seen := was[c.ID]
		woken := seen && s.work == nil && s.idle && before.State == Exited && c.Running() && l.retired(s, c)
		switch {
		case c.Foreign && !s.noticed[c.ID]:
			if s.noticed == nil {
				s.noticed = map[string]bool{}
			}
			s.noticed[c.ID] = true
			what := "it is to be replaced"
			if c.Spec != "" {
				what = "it is as declared, and taken over"
			}
			l.event(s, EventForeignChange, SeverityWarning, fmt.Sprintf("container %s of service %s was not made by davit: %s", c.Name, c.Service, what))
		case woken:
			l.event(s, EventForeignChange, SeverityWarning, fmt.Sprintf("container %s of service %s, which was replaced, was started by somebody", c.Name, c.Service))
		}
	}
	for _, s := range l.stacks {
		s.idle = s.work == nil
	}
}

// retired reports whether c is not what the current release runs.
func (l *Loop) retired(s *stack, c Container) bool {
	now := current(s.history)
	if now == nil {
		return false
	}
	rec, ok := now.Service(c.Service)
	return !ok || rec.Spec != c.Spec || rec.Image.ID != c.ImageID
}

// watch reports what there would be to do, and does nothing.
func (l *Loop) watch(s *stack, in Situation, v Verdict, now time.Time) time.Time {
	const only = "mode is observe: "
	switch v.Act {
	case ActNothing:
		l.announce(s, v, now)
		return v.Opens
	case ActKeep:
		plan, err := l.correction(s, in, v, now)
		if err != nil {
			return l.trouble(s, err, now)
		}
		if plan.Empty() {
			l.announce(s, v, now)
			return sooner(plan.Next, v.Opens)
		}
		v.Reason = fmt.Sprintf("what runs has drifted; %d steps would correct it", len(plan.Steps))
		if s.show(SyncOutOfSync, only+v.Reason, now) {
			l.event(s, EventDrift, SeverityWarning, only+v.Reason)
		}
		return plan.Next
	}
	s.show(SyncOutOfSync, only+v.Reason, now)
	return time.Time{}
}
