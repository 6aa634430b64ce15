package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// errAborted ends work whose canary an operator put an end to.
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

// Abort puts an end to a release whose canaries are not promoted: all traffic goes back
// first, and the content is held like any that failed.
func (l *Loop) Abort(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, stack)
	if err != nil {
		return err
	}
	under := s.canariesThat(func(h *holding) bool { return h.left > 0 })
	if len(under) == 0 {
		return WithHint(fmt.Errorf("abort stack %s: %w: no canary of it is under way", stack, ErrNotApplicable), "`davit rollback %s` brings the release before back", stack)
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
