package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// errAborted ends work that an operator put an end to.
var errAborted = errors.New("aborted by an operator")

// Promote lets the canaries of a stack that are held go on to their next step, whatever
// is left of the hold and whatever an analysis doubts.
func (l *Loop) Promote(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, stack)
	if err != nil {
		return err
	}
	held := s.canariesThat(func(h *holding) bool { return h.open })
	if len(held) == 0 {
		return WithHint(fmt.Errorf("promote stack %s: %w: no canary of it is held", stack, ErrNotApplicable), "`davit status %s` says what it waits for", stack)
	}
	for _, service := range held {
		h, st := s.work.canaries[service], s.canaries[service]
		st.Promoted = actor
		if err := l.rememberCanary(ctx, s, service, st); err != nil {
			return err
		}
		l.event(s, EventPromoted, SeverityInfo, fmt.Sprintf("%s promoted by %s, from %s, %d %%", service, actor, h.hold, h.hold.Weight))
		close(h.changed)
		h.changed = make(chan struct{})
	}
	return nil
}

// Abort puts an end to what is under way. New content goes back, the weight of canaries
// first, and is held like any that failed; a drill comes back. Where nobody works on what
// was begun, since the stack is suspended, the weight goes back at once, and the rest when
// somebody may act again.
func (l *Loop) Abort(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	s, err := l.known(ctx, stack)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	if r := l.abroad(s); r != nil && !r.Running() && r.Outcome != Failed {
		project, canaries := s.declaredBy(r), l.weighted(s)
		err := l.abandoned(ctx, s, *r, actor)
		l.mu.Unlock()
		if err == nil && project != nil {
			err = l.retreat(ctx, project, canaries)
		}
		return err
	}
	defer l.mu.Unlock()
	under := s.canariesThat(func(h *holding) bool { return h.left > 0 })
	if len(under) == 0 {
		return l.abortRelease(ctx, s, actor)
	}
	for _, service := range under {
		h, st := s.work.canaries[service], s.canaries[service]
		if st.Content != h.hold.Content {
			st = CanaryState{Content: h.hold.Content}
		}
		st.Aborted = actor
		if err := l.rememberCanary(ctx, s, service, st); err != nil {
			return err
		}
		l.event(s, EventAborted, SeverityWarning, fmt.Sprintf("%s aborted by %s, at %s", service, actor, h.hold))
	}
	s.work.cancel(errAborted)
	return nil
}

// abortRelease puts an end to a release without canaries that are not promoted. The caller
// holds l.mu.
func (l *Loop) abortRelease(ctx context.Context, s *stack, actor string) error {
	refuse := func(why, hint string) error {
		return WithHint(fmt.Errorf("abort stack %s: %w: %s", s.name, ErrNotApplicable, why), "%s", hint)
	}
	if s.work == nil || len(s.history) == 0 || !s.history[0].Running() {
		return refuse("no release of it is under way", fmt.Sprintf("`davit rollback %s` brings the release before back", s.name))
	}
	r := s.history[0]
	switch {
	case r.Kind == KindDeploy, r.Kind == KindRollback:
		if err := l.abandoned(ctx, s, r, actor); err != nil {
			return err
		}
		s.work.cancel(errAborted)
	case r.Kind == KindDrill && !r.comesBack(s.history):
		l.tellAbort(s, r, actor)
		s.work.cancel(errCancelled)
	default:
		return refuse(fmt.Sprintf("release #%d is a %s, which brings back what is good", r.Seq, r.Kind), fmt.Sprintf("`davit suspend %s` stops every action", s.name))
	}
	return nil
}

// abandoned writes down that an operator has put an end to the content of r, under the
// name of no service: that comes before anything else happens. The caller holds l.mu.
func (l *Loop) abandoned(ctx context.Context, s *stack, r Release, actor string) error {
	if err := l.rememberCanary(ctx, s, "", CanaryState{Content: r.Spec, Aborted: actor}); err != nil {
		return err
	}
	l.tellAbort(s, r, actor)
	return nil
}

func (l *Loop) tellAbort(s *stack, r Release, actor string) {
	l.event(s, EventAborted, SeverityWarning, fmt.Sprintf("release #%d %s aborted by %s", r.Seq, r.Version, actor))
}

// weighted are the replicas that get a share at the edge and that the current release of s
// did not run, by service. The caller holds l.mu.
func (l *Loop) weighted(s *stack) map[string][]Replica {
	out := map[string][]Replica{}
	if l.observed.Edge == nil {
		return out
	}
	now := current(s.history)
	for _, r := range l.observed.Edge.Routes {
		if r.Stack != s.name || len(r.Weights) == 0 {
			continue
		}
		for _, m := range r.Members {
			if !l.proven(m, r.Service, now) {
				out[r.Service] = append(out[r.Service], Replica{Service: r.Service, ID: m.Container})
			}
		}
	}
	return out
}

// canariesThat are the services whose canaries a plan of s carries out now, and that fit.
func (s *stack) canariesThat(fit func(*holding) bool) []string {
	if s.work == nil {
		return nil
	}
	var out []string
	for _, service := range sortedKeys(s.work.canaries) {
		if fit(s.work.canaries[service]) {
			out = append(out, service)
		}
	}
	return out
}

// aborted is the failure of a release that an operator put an end to, nil where nobody
// has. Its step is the hold that was next.
func (a *attempt) aborted() *Failure {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if st := a.stack.canaries[""]; st.Aborted != "" && st.Content == a.release.Spec {
		return &Failure{Reason: "aborted by " + st.Aborted}
	}
	i := slices.IndexFunc(a.plan.Steps, func(s Step) bool {
		st := a.stack.canaries[s.Service]
		return s.Kind == StepHold && st.Content == s.Hold.Content && st.Aborted != ""
	})
	if i < 0 {
		return nil
	}
	step := a.plan.Steps[i]
	h := step.Hold
	if w := a.stack.work; w != nil && w.canaries[step.Service] != nil {
		h = w.canaries[step.Service].hold
	}
	return &Failure{Step: step, Reason: fmt.Sprintf("aborted by %s, at %s", a.stack.canaries[step.Service].Aborted, h)}
}
