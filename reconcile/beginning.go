package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// begin records the start of the release.
func (a *attempt) begin(ctx context.Context) error {
	rendered, err := a.project.Marshal()
	if err != nil {
		return fmt.Errorf("render stack %s: %w", a.stack.name, err)
	}
	v := a.verdict
	r := Release{
		Stack: a.stack.name, Kind: v.Kind, Version: versionOf(v, a.in),
		Revision: a.in.Revision.String(), Commit: a.in.Revision.Commit,
		Author: a.in.Revision.Author, Subject: a.in.Revision.Subject,
		Spec: a.project.Hash, Hash: releaseHash(a.project.Hash, a.images), Project: rendered,
		Reason: v.Reason, Trigger: a.trigger, Actor: cmp.Or(a.actor, a.in.Revision.Author), Started: a.loop.Now(),
	}
	for _, s := range a.project.Services {
		r.Services = append(r.Services, ServiceRecord{Name: s.Name, Spec: s.Hash, Image: a.images[s.Name]})
	}
	a.describe(&r)
	a.before = a.goesOn(r)
	if before := a.before; before.Seq > 0 {
		r.Seq, r.Started, r.Trigger, r.Actor = before.Seq, before.Started, before.Trigger, before.Actor
		for i := range r.Services {
			rec, _ := before.Service(r.Services[i].Name)
			r.Services[i].Failed = rec.Failed
		}
	}
	if r, err = a.loop.History.Begin(ctx, r); err != nil {
		return fmt.Errorf("record the start of a release of stack %s: %w", a.stack.name, err)
	}
	a.release = r
	if a.before.Seq > 0 {
		a.resume(r)
		return nil
	}
	a.remember(r)
	a.loop.Emit(a.event(EventReleaseStarted, SeverityInfo, fmt.Sprintf("release #%d %s, %s: %s", r.Seq, r.Version, r.Kind, r.Reason)))
	return nil
}

// describe fills in what depends on the kind of release.
func (a *attempt) describe(r *Release) {
	v := a.verdict
	if v.Act == ActKeep {
		r.Kind, r.Trigger, r.Actor = KindDriftFix, TriggerDrift, "davit"
		r.Reason = "what ran had drifted from release #" + fmt.Sprint(v.Current.Seq)
		if healed := a.first.healed(); len(healed) > 0 {
			r.Reason, r.Trigger = "healed "+ailments(healed), TriggerHealing
		}
		r.Revision, r.Commit = v.Current.Revision, v.Current.Commit
		r.Author, r.Subject = v.Current.Author, v.Current.Subject
		if a.errand != nil {
			r.Reason, r.Trigger, r.Actor = a.errand.reason, TriggerCLI, a.errand.actor
		}
	}
	if v.Act != ActReturn {
		return
	}
	r.Restores = origin(a.in.History, v.Restore).Seq
	if v.Current != nil {
		r.RollbackOf = v.Current.Seq
	}
	switch v.Kind {
	case KindAutoRollback:
		r.Trigger, r.Actor, r.RollbackOf = TriggerFailure, "davit", v.Failed.Seq
		r.Revision, r.Commit = v.Restore.Revision, v.Restore.Commit
		r.Author, r.Subject = v.Restore.Author, v.Restore.Subject
	case KindDrill:
		a.describeDrill(r)
	case KindManualRollback:
		r.Trigger = TriggerCLI
		r.Revision, r.Commit = v.Restore.Revision, v.Restore.Commit
		r.Author, r.Subject = v.Restore.Author, v.Restore.Subject
		if a.in.Controls.Pin != nil {
			r.Actor = a.in.Controls.Pin.Actor
		}
	}
}

// remember puts the release into the loop's mirror of the history.
func (a *attempt) remember(r Release) {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	s := a.stack
	if r.Kind == KindDeploy && (r.Outcome == Succeeded || r.Outcome == Failed) {
		s.renewal.images = nil
	}
	if a.errand != nil && !r.Running() && r.Outcome != Interrupted {
		s.errand, s.restarts = nil, nil
	}
	if len(s.history) > 0 && s.history[0].Seq == r.Seq {
		s.history = slices.Clone(s.history)
		s.history[0] = r
		return
	}
	s.history = append([]Release{r}, s.history...)
	if r.Spec == s.retry && (r.Kind == KindDeploy || r.Kind == KindRollback) {
		s.retry = ""
	}
	if s.override != nil && r.Spec == s.override.spec && r.Kind == KindDeploy {
		s.override = nil
	}
	s.work.quiet = false
	if a.errand != nil {
		a.errand.seq = r.Seq
	}
	if r.Kind == KindDriftFix && a.first.drifts() {
		s.fixes = append(s.fixes, r.Started)
	}
	if r.Kind == KindDrill {
		s.drill = nil
	}
	if a.verdict.Act == ActKeep && s.barred {
		return // what is declared is waited for still
	}
	s.trigger, s.barred = TriggerPoll, false
	s.show(SyncProgressing, r.underWay(), a.loop.Now())
}

func (a *attempt) event(kind EventKind, severity Severity, message string) Event {
	r := a.release
	return Event{At: a.loop.Now(), Stack: r.Stack, Kind: kind, Severity: severity, Message: message,
		Seq: r.Seq, Version: r.Version, Commit: r.Commit}
}
