package reconcile

import (
	"context"
	"fmt"
)

// leftover waits for a hook that an earlier release began, and stops it at its timeout.
func leftover(c Container) Step {
	h := Hook{Phase: c.Hook.Phase, Index: c.Hook.Index, Timeout: c.Hook.Timeout, Leftover: true}
	return Step{Kind: StepHook, Service: c.Service, Replica: Replica{Service: c.Service, ID: c.ID}, Hook: h,
		Reason: fmt.Sprintf("%s %d of release #%d runs still: until it ends, within %s", h.Phase, h.Index+1, c.Release, brief(h.Timeout))}
}

// seeOut sees hooks to their end for which no work on the stack waits, so that none
// outlives its timeout: while an earlier release comes back, which waits for nobody, and
// while the stack is paused, suspended or declared by nobody. They are not stopped sooner:
// what served before was beside them all the time, and half a migration is worse than a
// late one. The caller holds l.mu.
func (l *Loop) seeOut(ctx context.Context, s *stack) {
	if l.Now().Before(s.overseeing.until) {
		return
	}
	for _, c := range l.observed.hooksOf(s.name, l.Instance) {
		if c.Running() && !s.overseen[c.ID] && !s.attends(c) {
			s.overseen[c.ID] = true
			l.oversee(ctx, s, c)
		}
	}
}

// attends reports whether what is under way waits for the hook in c, or is about to.
func (s *stack) attends(c Container) bool {
	switch {
	case c.Hook.Phase == HookOnFailure:
		return s.mourned[c.Release]
	case s.work == nil:
		return false
	}
	return s.work.awaitsHooks || len(s.history) > 0 && s.history[0].Running() && s.history[0].Seq == c.Release
}

// oversee waits for the hook in c. The caller holds l.mu.
func (l *Loop) oversee(ctx context.Context, s *stack, c Container) {
	step := leftover(c)
	step.ID = 1
	job := Job{Plan: Plan{Stack: s.name, Steps: []Step{step}}, Release: Release{Stack: s.name, Seq: c.Release}, Report: l.Emit}
	l.workers.Go(func() {
		err := l.Executor.Execute(ctx, job).Err
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(s.overseen, c.ID)
		if err == nil || ctx.Err() != nil {
			s.overseeing = backoff{}
			l.poke()
			return
		}
		s.logger.Warn("hook not seen to its end", "release", c.Release, "container", c.Name, "error", err)
		s.overseeing.next(l.Now(), lastRetry)
	})
}
