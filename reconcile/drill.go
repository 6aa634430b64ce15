package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A drill rehearses the way back while nobody needs it: the stack goes to the good content
// before its own with that release's recorded images, through every gate, and comes back
// the same way. Both ways are releases of the kind drill.
//
// The way there is an order. The way back is not: it is read off the record, like
// everything else about a drill that has begun. Whatever ends the first half (a failure,
// an operator, the agent's death), a stack that a drill has left elsewhere comes back as
// soon as it would be left as it is. Since a drill is no good release, nothing that is
// decided later takes what it visited for the stack's own.

// DrillOrder is a drill that has not begun.
type DrillOrder struct {
	// Seq is the good release to go to.
	Seq     int64
	Actor   string
	Trigger Trigger
	// Ordered is when: the recovery time counts from there.
	Ordered time.Time
}

// drill sends a stack back that a drill has left elsewhere, and one there that is at rest
// and has an order to go.
func (v Verdict) drill(s Situation) Verdict {
	if v.Current == nil || v.Act != ActKeep && v.Sync != SyncOrphaned {
		return v // something else is wanted of it, or nothing at all
	}
	if away := visiting(s.History); away != nil {
		v.Act, v.Kind, v.Restore, v.Away = ActReturn, KindDrill, v.Current, away
		v.Reason = fmt.Sprintf("the drill ends: back from release #%d", away.Seq)
		return v
	}
	if !v.fitForDrill() || s.Drill == nil {
		return v
	}
	if to := bySeq(s.History, s.Drill.Seq); to != nil {
		v.Act, v.Kind, v.Restore = ActReturn, KindDrill, to
		v.Reason = fmt.Sprintf("the way back to release #%d is rehearsed", to.Seq)
	}
	return v
}

// fitForDrill reports whether nothing is to be done about the stack but to leave it as it is.
func (v Verdict) fitForDrill() bool { return v.Act == ActKeep && v.Sync == SyncSynced }

// visiting is the way there of a drill that has not come back, nil where none is away.
func visiting(history []Release) *Release {
	for i := range history {
		r := &history[i]
		switch {
		case r.Kind == KindNoop || r.Kind == KindDriftFix:
			continue
		case r.Kind != KindDrill, r.Outcome == Refused, r.comesBack(history) && r.Outcome == Succeeded:
			return nil
		case !r.comesBack(history):
			return r
		}
	}
	return nil
}

// comesBack reports whether r is the second half of a drill: what it leaves is the first.
func (r Release) comesBack(history []Release) bool {
	if r.Kind != KindDrill {
		return false
	}
	left := bySeq(history, r.RollbackOf)
	return left != nil && left.Kind == KindDrill
}

// since is r, the current release, with the containers that a drill has brought back since:
// those that it had before may be gone.
func (r *Release) since(history []Release) *Release {
	for _, d := range history {
		if d.Kind == KindDrill && d.Outcome == Succeeded && d.Spec == r.Spec && d.Hash == r.Hash {
			now := *r
			now.Services = d.Services
			return &now
		}
	}
	return r
}

// describeDrill fills in what a release of a drill says of itself.
func (a *attempt) describeDrill(r *Release) {
	v := a.verdict
	r.Revision, r.Commit = v.Restore.Revision, v.Restore.Commit
	r.Author, r.Subject = v.Restore.Author, v.Restore.Subject
	if v.Away != nil {
		r.Trigger, r.Actor, r.RollbackOf = v.Away.Trigger, v.Away.Actor, v.Away.Seq
		return
	}
	r.Trigger, r.Actor, r.Started = a.in.Drill.Trigger, a.in.Drill.Actor, a.in.Drill.Ordered
}

// goesOnDrill reports whether the attempt is the first half of a drill.
func (a *attempt) goesOnDrill() bool {
	return a.verdict.Act == ActReturn && a.verdict.Kind == KindDrill && a.verdict.Away == nil
}

// tellDrill says how a drill went that has come back.
func (a *attempt) tellDrill(back Release) {
	away := a.verdict.Away
	took := func(r Release) string { return brief(r.Recovery.Round(10 * time.Millisecond)) }
	text := fmt.Sprintf("drill: %s served %s after the order, and %s again after another %s", away.Version, took(*away), back.Version, took(back))
	severity := SeverityInfo
	if away.Outcome != Succeeded {
		severity, text = SeverityWarning, "the drill was cut short"
		if away.Outcome == Failed {
			severity, text = SeverityError, "the drill failed"
		}
		text += fmt.Sprintf(", and %s serves: release #%d %s %s: %s", back.Version, away.Seq, away.Version, away.Outcome, away.Failure)
	}
	a.loop.Emit(a.event(EventDrillEnded, severity, text))
}

// drillStatus is where a stack's drill is, nil where there is none.
func drillStatus(s *stack) *DrillStatus {
	if d := s.drill; d != nil {
		return &DrillStatus{Phase: "ordered", Seq: d.Seq, Since: d.Ordered.UTC()}
	}
	away := visiting(s.history)
	if away == nil {
		return nil
	}
	st := &DrillStatus{Phase: "returning", Seq: away.Restores, Since: away.Started.UTC()}
	if away.Running() {
		st.Phase = "going"
	}
	return st
}

// callOff drops the order to hold a drill that does not begin. One that ends with the agent
// is nobody's news. The caller holds l.mu.
func (l *Loop) callOff(s *stack, why error) {
	if s.drill == nil {
		return
	}
	if s.drill.Trigger == TriggerSchedule {
		s.agenda.Settled, s.agenda.unsaved = l.Now(), true
	}
	if s.drill = nil; !errors.Is(why, context.Canceled) {
		l.event(s, EventDrillSkipped, SeverityWarning, "the drill is called off: "+l.Scrub(Explanation(why)))
	}
}
