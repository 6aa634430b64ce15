package reconcile

import (
	"fmt"

	"davit/compose"
)

// tolerated reports whether the plan corrects nothing but drift that the stack's
// file says is to be left alone. What a release itself has not finished is no
// drift.
func tolerated(p Plan, history []Release) bool {
	if p.Empty() || housekeeping(p) || p.Project.Settings.Drift == compose.DriftCorrect {
		return false
	}
	for _, r := range history {
		if r.Kind != KindDriftFix && r.Kind != KindNoop && r.Kind != KindRemove {
			return r.Outcome == Succeeded
		}
	}
	return false
}

// leave remembers the drift that is left alone and, where the file asks for it,
// reports it once. The caller holds l.mu.
func (l *Loop) leave(s *stack, p Plan, tolerated bool) {
	text := ""
	if tolerated && p.Project.Settings.Drift == compose.DriftWarn {
		text = "has drifted, and x-davit.drift is warn: " + wouldDo(p)
	}
	if text != "" && text != s.drifted {
		l.event(s, EventDrift, SeverityWarning, text)
	}
	s.drifted = text
}

// wouldDo names the first steps of a plan.
func wouldDo(p Plan) string {
	text := ""
	for i, step := range p.Steps {
		if i == 3 {
			return text + fmt.Sprintf(", and %d steps more", len(p.Steps)-i)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %s (%s)", step.Kind, step.Target(), step.Reason)
	}
	return text
}
