package reconcile

import (
	"context"
	"fmt"
	"slices"
)

// What is paused stays as it is, and so does what has begun a hook that cannot be undone:
// the current release may not work with what that has left. Neither is taken back for want
// of anything else to do, while Git is away, say, or while what came since cannot begin. An
// operator ends it, or what Git declares since, and that only by beginning.

// paused is the hold that forbids to go back, nil where there is none or it is over.
func (s Situation) paused() *Hold {
	h := s.Controls.Hold
	if h == nil || !h.Paused || h.overtaken(s.History) || s.reverted(h.Spec) {
		return nil
	}
	return h
}

// pausedAt reports whether the content is what is paused, and nobody wants it tried again. The
// hold says so also where the agent died before it could write that the release failed.
func (s Situation) pausedAt(spec string) bool {
	h := s.paused()
	return h != nil && h.Spec == spec && s.Retry != spec
}

// reverted reports whether Git declares again what ran before content that is another.
func (s Situation) reverted(spec string) bool {
	now := current(s.History)
	return s.Declared != nil && s.Declared.Hash != spec && now != nil && same(*now, s.Declared)
}

// overtaken reports whether something has begun since that is more than another attempt at
// the same content which was cut off.
func (h Hold) overtaken(history []Release) bool {
	return slices.ContainsFunc(history, func(r Release) bool {
		switch {
		case r.Seq <= h.Seq || r.Outcome == Refused || r.Kind == KindNoop:
			return false
		case r.Kind == KindDriftFix:
			return r.Good()
		}
		return r.Spec != h.Spec || r.Outcome == Succeeded || r.Outcome == Failed
	})
}

// ended reports whether the stack's hold has run out: Git declares something else by now
// or, of what is paused, something else has taken its place.
func (s Situation) ended() bool {
	h := s.Controls.Hold
	switch {
	case h == nil:
		return false
	case h.Paused:
		return s.paused() == nil
	}
	return s.Declared != nil && s.Declared.Hash != h.Spec
}

// stays says why what runs is not taken back to the current release; "" where it may be.
func (s Situation) stays() string {
	if h := s.paused(); h != nil {
		return fmt.Sprintf("release #%d is paused, and what runs is let be", h.Seq)
	}
	if s.Burnt > 0 {
		return fmt.Sprintf("release #%d has begun an irreversible hook, and what runs is let be", s.Burnt)
	}
	return ""
}

// halfRenewed reports whether what is declared stays half-way to other images of its own.
func (s Situation) halfRenewed() bool {
	r := bySeq(s.History, s.Burnt)
	return s.paused() != nil || r != nil && s.Declared != nil && r.Spec == s.Declared.Hash
}

// burnt is the newest release after the current one that began an irreversible hook, 0 for
// none. The caller holds l.mu.
func (l *Loop) burnt(s *stack) int64 {
	now := current(s.history)
	if now == nil || len(since(s.history, now)) == 0 {
		return 0
	}
	last := s.burnt
	for _, c := range l.observed.hooksOf(s.name, l.Instance) {
		if c.Hook.Irreversible && !c.Started.IsZero() {
			last = max(last, c.Release)
		}
	}
	if last <= now.Seq {
		return 0
	}
	return last
}

// recallBurnt reads from the journal which release began an irreversible hook last: the
// hook's container may be gone.
func (l *Loop) recallBurnt(ctx context.Context, s *stack, history []Release) error {
	if l.Journal == nil {
		return nil
	}
	for _, seq := range since(history, current(history)) {
		entries, err := l.Journal.Journal(ctx, s.name, seq)
		if err != nil {
			return fmt.Errorf("look for hooks that were begun: %w", err)
		}
		for _, e := range entries {
			if run, ok := hookRun(e); ok && run.Irreversible {
				s.burnt = seq
				return nil
			}
		}
	}
	return nil
}

// rememberBurnt notes that the attempt, or one before it, began an irreversible hook.
func (a *attempt) rememberBurnt(result Result) {
	if !a.irreversible(result) {
		return
	}
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	a.stack.burnt = a.release.Seq
}
