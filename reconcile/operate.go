package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RollbackRequest asks for an earlier release of a stack by hand.
type RollbackRequest struct {
	Stack string
	// To is a sequence number or a version; "" means what was proven last, of a release
	// that is not, or else the good release before the current one.
	To string
	// Hold keeps the pin even when the stack's content changes in Git.
	Hold  bool
	Actor string
}

// SuspendRequest asks for a pause of a stack.
type SuspendRequest struct {
	Stack, Reason, Actor string
	// For is how long; 0 means until resumed.
	For time.Duration
}

// What the operator's verbs refuse.
var (
	// ErrNoSuchStack: no stack has this name.
	ErrNoSuchStack = errors.New("no such stack")
	// ErrNoSuchRelease: no good release fits.
	ErrNoSuchRelease = errors.New("no such release")
	// ErrNotApplicable: the verb makes no sense in the stack's present state.
	ErrNotApplicable = errors.New("not applicable")
)

// The operator's verbs record a decision and wake the stack. What is under way
// and contradicts the decision is cancelled at its next safe point.

// Rollback pins a stack to an earlier good release, which it returns.
func (l *Loop) Rollback(ctx context.Context, r RollbackRequest) (Release, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, r.Stack)
	if err != nil {
		return Release{}, err
	}
	target, err := l.target(s, r.To)
	if err != nil {
		return Release{}, err
	}
	pin := &Pin{Stack: s.name, Seq: target.Seq, Spec: s.declared, Hold: r.Hold, Actor: r.Actor, Since: l.Now()}
	if err := l.Decisions.SetPin(ctx, s.name, pin); err != nil {
		return Release{}, err
	}
	s.controls.Pin = pin
	l.event(s, EventPinned, SeverityInfo, fmt.Sprintf("pinned to release #%d %s by %s", target.Seq, target.Version, r.Actor))
	l.interrupt(s)
	return *target, nil
}

// target finds the release that an operator means: a sequence number, a version,
// or nothing for the good content before that which came last, however far that has come.
// The caller holds l.mu.
func (l *Loop) target(s *stack, to string) (*Release, error) {
	now := current(s.history)
	if to == "" && now != nil && l.abroad(s) != nil {
		return now, nil
	}
	seq, err := strconv.ParseInt(strings.TrimPrefix(to, "#"), 10, 64)
	for i := range s.history {
		r := &s.history[i]
		switch {
		case !r.Good():
		case to == "" && now != nil && r.Spec != now.Spec,
			to != "" && err == nil && r.Seq == seq,
			to != "" && strings.TrimPrefix(r.Version, "v") == strings.TrimPrefix(to, "v"):
			return r, nil
		}
	}
	if to == "" {
		return nil, WithHint(fmt.Errorf("stack %s: %w before the current one", s.name, ErrNoSuchRelease), "see `davit history %s`", s.name)
	}
	return nil, WithHint(fmt.Errorf("stack %s: %w: no good release is %q", s.name, ErrNoSuchRelease, to), "see `davit history %s`", s.name)
}

// unproven is the release of new content that came last and has not succeeded, nil where
// nothing came after what is current.
func unproven(history []Release) *Release {
	r := newest(history)
	if r == nil || r.Kind != KindDeploy && r.Kind != KindRollback || r.Outcome == Succeeded || r.Outcome == Refused {
		return nil
	}
	return r
}

// abroad is the unproven release of s, if it is under way or still asked for, or something
// of it runs: one that was taken back before it changed anything is past, and what is
// current is what runs. The caller holds l.mu.
func (l *Loop) abroad(s *stack) *Release {
	r, now := unproven(s.history), current(s.history)
	if r == nil {
		return nil
	}
	asked := r.Spec == s.declared && (now == nil || now.Spec != r.Spec)
	stays := l.situation(s, l.Now()).stays() != ""
	runs := slices.ContainsFunc(l.observed.Containers, func(c Container) bool {
		made := bySeq(s.history, c.Release)
		return c.Stack == s.name && c.Instance == l.Instance && c.Running() && made != nil && (now == nil || made.Seq > now.Seq) && made.Spec == r.Spec
	})
	if r.Running() || asked || stays || runs {
		return r
	}
	return nil
}

// Unpin lets a stack follow Git again.
func (l *Loop) Unpin(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, stack)
	if err != nil {
		return err
	}
	if s.controls.Pin == nil {
		return fmt.Errorf("unpin stack %s: %w: it is not pinned", stack, ErrNotApplicable)
	}
	if err := l.Decisions.SetPin(ctx, stack, nil); err != nil {
		return err
	}
	s.controls.Pin = nil
	l.event(s, EventReleased, SeverityInfo, "unpinned by "+actor)
	l.interrupt(s)
	return nil
}

// Retry tries content again that failed, or that is waited for, now. What is under way has
// not failed yet, and is not tried again beforehand.
func (l *Loop) Retry(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, stack)
	if err != nil {
		return err
	}
	if visiting(s.history) != nil {
		return fmt.Errorf("retry stack %s: %w: a drill is under way", stack, ErrNotApplicable)
	}
	if r := s.trying(); r != nil {
		return WithHint(fmt.Errorf("retry stack %s: %w: release #%d of it is under way", stack, ErrNotApplicable, r.Seq), "`davit abort %s` puts an end to it", stack)
	}
	// What is paused stays so until that begins: nothing is gone back to before.
	if s.controls.Hold != nil && l.situation(s, l.Now()).paused() == nil {
		if err := l.Decisions.SetHold(ctx, stack, nil); err != nil {
			return err
		}
		s.controls.Hold = nil
	}
	l.forgetCanaries(ctx, s)
	l.rememberHealing(ctx, s, nil)
	s.retry, s.backoff, s.trigger = s.declared, backoff{}, TriggerCLI
	s.override = &override{s.declared, actor}
	l.event(s, EventReleased, SeverityInfo, "to be tried again, by "+actor)
	l.poke()
	return nil
}

// trying is the release that tries what is declared at the moment, nil for none.
func (s *stack) trying() *Release {
	if s.work == nil || len(s.history) == 0 {
		return nil
	}
	r := &s.history[0]
	if !r.Running() || r.Spec != s.declared || r.Kind != KindDeploy && r.Kind != KindRollback {
		return nil
	}
	return r
}

// Suspend stops every action on a stack.
func (l *Loop) Suspend(ctx context.Context, r SuspendRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, r.Stack)
	if err != nil {
		return err
	}
	sus := &Suspension{Stack: s.name, Reason: r.Reason, Actor: r.Actor, Since: l.Now()}
	if r.For > 0 {
		sus.Until = sus.Since.Add(r.For)
	}
	if err := l.Decisions.SetSuspension(ctx, s.name, sus); err != nil {
		return err
	}
	s.controls.Suspension = sus
	l.event(s, EventSuspended, SeverityInfo, suspensionText(*sus))
	l.interrupt(s)
	return nil
}

// Resume ends a suspension.
func (l *Loop) Resume(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, stack)
	if err != nil {
		return err
	}
	if s.controls.Suspension == nil {
		return fmt.Errorf("resume stack %s: %w: it is not suspended", stack, ErrNotApplicable)
	}
	if err := l.Decisions.SetSuspension(ctx, stack, nil); err != nil {
		return err
	}
	s.controls.Suspension = nil
	l.event(s, EventReleased, SeverityInfo, "resumed by "+actor)
	l.poke()
	return nil
}

// Remove takes an orphaned stack's containers and networks away, never its
// volumes. It returns when they are gone.
func (l *Loop) Remove(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	s, err := l.known(ctx, stack)
	if err == nil {
		err = l.removable(s)
	}
	if err != nil {
		l.mu.Unlock()
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.work = &work{declared: s.declared, cancel: cancel, what: "remove"}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		s.work = nil
		l.mu.Unlock()
		l.poke()
	}()
	return l.takeDown(ctx, s.name, Release{Reason: "by " + actor, Trigger: TriggerCLI, Actor: actor})
}

// removable refuses to remove what Git still declares, or what Git was not asked
// about.
func (l *Loop) removable(s *stack) error {
	in := l.situation(s, l.Now())
	switch {
	case s.work != nil:
		return fmt.Errorf("remove stack %s: %w: %s is under way", s.name, ErrNotApplicable, s.work.what)
	case !in.Known:
		return fmt.Errorf("remove stack %s: %w: no revision has been fetched yet, so it may still be declared", s.name, ErrNotApplicable)
	case in.Declared != nil || in.Broken != nil:
		return WithHint(fmt.Errorf("remove stack %s: %w: the newest revision declares it", s.name, ErrNotApplicable),
			"take it out of the repository first")
	case !in.Ours:
		return fmt.Errorf("remove stack %s: %w: nothing of it was made by this davit", s.name, ErrNotApplicable)
	}
	return nil
}

// known returns a stack that exists, with its record. The caller holds l.mu.
func (l *Loop) known(ctx context.Context, name string) (*stack, error) {
	s, ok := l.stacks[name]
	if !ok {
		return nil, WithHint(fmt.Errorf("%w: %q", ErrNoSuchStack, name), "see `davit status`")
	}
	l.load(ctx, s)
	return s, s.unreadable
}

// interrupt cancels what is under way on a stack and wakes it. The caller holds
// l.mu.
func (l *Loop) interrupt(s *stack) {
	s.backoff = backoff{}
	if s.work != nil {
		s.work.cancel(errCancelled)
	}
	l.poke()
}
