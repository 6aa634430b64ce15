package reconcile

import (
	"context"
	"fmt"
	"slices"
)

// recallHooks asks the journal for the hooks that were begun since the last good
// release, by this one too. Their containers may be gone.
func (a *attempt) recallHooks(ctx context.Context) error {
	if a.loop.Journal == nil || a.verdict.Act == ActKeep {
		return nil
	}
	releases := since(a.in.History, a.verdict.Current)
	if seq := a.release.Seq; seq > 0 && !slices.Contains(releases, seq) {
		releases = append(releases, seq)
	}
	a.hookRuns = nil
	for _, seq := range releases {
		entries, err := a.loop.Journal.Journal(ctx, a.stack.name, seq)
		if err != nil {
			return fmt.Errorf("look for hooks that were begun: %w", err)
		}
		for _, e := range entries {
			if run, ok := hookRun(e); ok {
				run.Release = seq
				a.hookRuns = append(a.hookRuns, run)
				a.burnt = a.burnt || run.Irreversible
			}
		}
	}
	return nil
}

// irreversible reports whether an irreversible hook was begun since the last good
// release, by this attempt or before.
func (a *attempt) irreversible(result Result) bool {
	return a.burnt || a.plan.Irreversible || slices.ContainsFunc(a.plan.Steps, func(s Step) bool {
		return s.Kind == StepHook && s.Hook.Irreversible && slices.Contains(result.Begun, s.ID)
	})
}

// hooked reports whether the attempt began a hook of the release.
func (a *attempt) hooked(result Result) bool {
	before := slices.ContainsFunc(a.hookRuns, func(r HookRun) bool { return r.Release == a.release.Seq })
	return before || slices.ContainsFunc(a.plan.Steps, func(s Step) bool {
		return s.Kind == StepHook && s.Hook.Phase.OfRelease() && slices.Contains(result.Begun, s.ID)
	})
}
