package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// mournable is for how long after a release failed its on_failure hooks are begun. The
// journal forgets in the end, and old news helps nobody.
const mournable = time.Hour

// mourn has the on_failure hooks of releases that failed run, beside whatever else is
// done about the stack: no return waits for them. The caller holds l.mu.
func (l *Loop) mourn(ctx context.Context, s *stack, now time.Time) {
	if l.Journal == nil || now.Before(s.mourning.until) {
		return
	}
	for _, r := range l.bereaved(s, now) {
		if !s.mourned[r.Seq] {
			s.mourned[r.Seq] = true
			l.seeTo(ctx, s, r)
		}
	}
}

// bereaved are the failed releases whose on_failure hooks are to be seen to: the newest,
// while it is news, and all of which a container is left. Whatever has come since, a
// command that was begun does not outlive its timeout, and the rest of its list is run.
func (l *Loop) bereaved(s *stack, now time.Time) []*Release {
	var out []*Release
	if r := lastFailed(s.history); r != nil && now.Sub(r.Finished) <= mournable {
		out = append(out, r)
	}
	for _, c := range l.observed.hooksOf(s.name, l.Instance) {
		if r := bySeq(s.history, c.Release); r != nil && c.Hook.Phase == HookOnFailure && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// seeTo runs what is left of the on_failure hooks of r. The caller holds l.mu.
func (l *Loop) seeTo(ctx context.Context, s *stack, r *Release) {
	p := s.declaredBy(r)
	if p == nil || !slices.ContainsFunc(p.Services, func(x compose.Service) bool { return len(x.Settings.Hooks.OnFailure) > 0 }) {
		return
	}
	release, changed := *r, changedBy(s.history, r)
	l.workers.Go(func() {
		err := l.runFailureHooks(ctx, release, p, changed)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil || ctx.Err() != nil {
			s.mourning = backoff{}
			return
		}
		s.logger.Warn("hooks of a failed release not all run", "release", release.Seq, "error", err)
		delete(s.mourned, release.Seq)
		s.mourning.next(l.Now(), lastRetry)
	})
}

// lastFailed is the newest attempt at some content, if it failed.
func lastFailed(history []Release) *Release {
	for i := range history {
		switch r := &history[i]; r.Kind {
		case KindNoop, KindDriftFix, KindAutoRollback:
		default:
			if r.Outcome == Failed {
				return r
			}
			return nil
		}
	}
	return nil
}

// changedBy are the services that r ran with another image or content than the release
// that was current before it. Hooks belong to a change.
func changedBy(history []Release, r *Release) map[string]bool {
	older := slices.IndexFunc(history, func(h Release) bool { return h.Seq < r.Seq })
	var before Release
	if older >= 0 {
		if c := current(history[older:]); c != nil {
			before = *c
		}
	}
	out := map[string]bool{}
	for _, rec := range r.Services {
		was, ok := before.Service(rec.Name)
		out[rec.Name] = !ok || was.Spec != rec.Spec || !was.Image.Same(rec.Image)
	}
	return out
}

func (l *Loop) runFailureHooks(ctx context.Context, r Release, p *compose.Project, changed map[string]bool) error {
	entries, err := l.Journal.Journal(ctx, r.Stack, r.Seq)
	if err != nil {
		return err
	}
	observed, err := l.Engine.Observe(ctx)
	if err != nil {
		return err
	}
	var runs []HookRun
	for _, e := range entries {
		if run, ok := hookRun(e); ok {
			runs = append(runs, run)
		}
	}
	plan := failurePlan(p, r, changed, observed.hooksOf(r.Stack, l.Instance), runs)
	if plan.Empty() {
		return nil
	}
	return l.Executor.Execute(ctx, Job{Plan: plan, Release: r, Report: l.Emit}).Err
}

// failurePlan is what is run after r, a release of p, has failed: what of the services that
// it changed was not begun, as containers and the journal have it. Containers that have
// ended are removed.
func failurePlan(p *compose.Project, r Release, changed map[string]bool, containers []Container, runs []HookRun) Plan {
	plan := Plan{Stack: p.Name, To: r.Version, Project: p}
	add := func(s Step, after []int) []int {
		s.ID, s.After = len(plan.Steps)+1, after
		plan.Steps = append(plan.Steps, s)
		return []int{s.ID}
	}
	for _, s := range p.Services {
		var after []int
		rec, ok := r.Service(s.Name)
		for _, h := range releaseHooks(s, HookOnFailure) {
			if !ok || s.Replicas == 0 || r.Kind != KindDeploy && !h.onRollback {
				continue
			}
			step := Step{Kind: StepHook, Service: s.Name, Replica: Replica{Service: s.Name}, Image: rec.Image, Hook: h.Hook, Reason: h.text()}
			i := slices.IndexFunc(containers, func(c Container) bool {
				return c.Service == s.Name && c.Release == r.Seq && c.Hook.same(h.Mark()) && c.State != Removing
			})
			name := HookContainer(p.Name, s.Name, h.Hook, r.Seq)
			switch begun := slices.ContainsFunc(runs, func(x HookRun) bool { return x.Container == name }); {
			case i >= 0:
				step.Replica.ID = containers[i].ID
			case begun, !changed[s.Name]:
				continue
			}
			after = add(step, after)
			after = add(Step{Kind: StepRemove, Service: s.Name, Replica: step.Replica, Hook: Hook{Phase: h.Phase},
				Reason: fmt.Sprintf("%s %d of release #%d has ended", h.Phase, h.Index+1, r.Seq)}, after)
		}
	}
	return plan
}
