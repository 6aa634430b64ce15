package reconcile

import (
	"context"
	"fmt"
	"slices"
)

// settleDecisions ends the decisions that have run out and names what already
// runs. The caller holds l.mu.
func (l *Loop) settleDecisions(ctx context.Context, s *stack, v Verdict, in Situation) error {
	if v.EndPin {
		if err := l.Decisions.SetPin(ctx, s.name, nil); err != nil {
			return fmt.Errorf("end the pin of stack %s: %w", s.name, err)
		}
		l.event(s, EventReleased, SeverityInfo, fmt.Sprintf("the pin to release #%d ends: %s", s.controls.Pin.Seq, pinEnd(in)))
		s.controls.Pin = nil
	}
	if v.EndHold {
		if err := l.Decisions.SetHold(ctx, s.name, nil); err != nil {
			return fmt.Errorf("end the hold of stack %s: %w", s.name, err)
		}
		l.event(s, EventReleased, SeverityInfo, fmt.Sprintf("the hold of release #%d ends: %s", s.controls.Hold.Seq, holdEnd(in)))
		s.controls.Hold = nil
	}
	if sus := s.controls.Suspension; sus != nil && !sus.Active(in.Now) {
		if err := l.Decisions.SetSuspension(ctx, s.name, nil); err != nil {
			return fmt.Errorf("end the suspension of stack %s: %w", s.name, err)
		}
		s.controls.Suspension = nil
	}
	if v.Sync != SyncSynced || in.Declared == nil {
		return nil
	}
	switch {
	case v.Current.Spec == "":
		return l.recognise(ctx, s, v, in)
	case v.Name:
		return l.name(ctx, s, v, in)
	}
	return nil
}

// holdEnd says why a hold ends by itself.
func holdEnd(in Situation) string {
	if h := in.Controls.Hold; h.Paused && h.overtaken(in.History) {
		return "something else has begun since"
	}
	return "the stack's content changed in Git"
}

// pinEnd says why a pin ends by itself.
func pinEnd(in Situation) string {
	if disproven(in.History, *in.Controls.Pin) {
		return "it could not be brought back"
	}
	return "the stack's content changed in Git"
}

// name records that a version which arrived later names what already runs.
func (l *Loop) name(ctx context.Context, s *stack, v Verdict, in Situation) error {
	r := *v.Current
	r.Kind, r.Trigger, r.Reason = KindNoop, TriggerPoll, fmt.Sprintf("release #%d runs this content already", v.Current.Seq)
	r.Project = nil
	return l.record(ctx, s, r, in)
}

// recognise gives a release that was rebuilt from container labels the content
// that Git turns out to declare for it.
func (l *Loop) recognise(ctx context.Context, s *stack, v Verdict, in Situation) error {
	rendered, err := in.Declared.Marshal()
	if err != nil {
		return fmt.Errorf("render stack %s: %w", s.name, err)
	}
	r := *v.Current
	r.Kind, r.Trigger, r.Reason = KindAdopt, TriggerStartup, fmt.Sprintf("what release #%d was rebuilt from is what Git declares", v.Current.Seq)
	r.Spec, r.Project = in.Declared.Hash, rendered
	r.Services = slices.Clone(r.Services)
	for i := range r.Services {
		if declared, ok := in.Declared.Service(r.Services[i].Name); ok {
			r.Services[i].Image.Ref = declared.ImageRef()
		}
	}
	r.Hash = releaseHash(r.Spec, imagesOf(r))
	return l.record(ctx, s, r, in)
}

// record writes a release that changes nothing, begun and ended at once.
func (l *Loop) record(ctx context.Context, s *stack, r Release, in Situation) error {
	r.Seq, r.Outcome, r.Failure, r.Restores, r.RollbackOf = 0, OutcomeRunning, "", 0, 0
	r.Version, r.Revision, r.Commit = in.Revision.Version, in.Revision.String(), in.Revision.Commit
	r.Author, r.Subject, r.Actor = in.Revision.Author, in.Revision.Subject, in.Revision.Author
	r.Started = l.Now()
	begun, err := l.History.Begin(ctx, r)
	if err != nil {
		return fmt.Errorf("record a release of stack %s: %w", s.name, err)
	}
	begun.Outcome, begun.Finished = Succeeded, begun.Started
	s.history = append([]Release{begun}, s.history...)
	s.unfinished = &begun
	return l.settleEnd(ctx, s)
}

// settleEnd records the end of a release that is not on record yet. The caller
// holds l.mu.
func (l *Loop) settleEnd(ctx context.Context, s *stack) error {
	r := s.unfinished
	if r == nil {
		return nil
	}
	if err := l.History.Finish(ctx, *r); err != nil {
		// The store may have written it and lost only the answer.
		stored, unread := l.History.Releases(ctx, s.name, 1)
		if unread != nil || len(stored) == 0 || stored[0].Seq != r.Seq || stored[0].Running() {
			return fmt.Errorf("record the end of release #%d of stack %s: %w", r.Seq, s.name, err)
		}
	}
	s.unfinished = nil
	return nil
}
