package rollout

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"davit/reconcile"
)

// relenting refuses to start a container once.
type relenting struct {
	*scripted
	asked atomic.Int32
}

func (r *relenting) Start(ctx context.Context, id string) error {
	if r.asked.Add(1) == 1 {
		return errExecFormat
	}
	return r.scripted.Start(ctx, id)
}

func TestWhatTheEngineRefusesOnceOnlyIsNoFault(t *testing.T) {
	s := newScripted()
	r := New(Options{Engine: &relenting{scripted: s}, Journal: s}).Execute(t.Context(), job(plan(on(reconcile.StepStart, "web/1"))))
	if r.Failure != nil || r.Err != nil {
		t.Fatalf("failure %+v, error %v", r.Failure, r.Err)
	}
	equal(t, "done", r.Done, []int{1})
}

func TestAnEngineThatDoesNotAnswerAnewIsToBlameForWhatItRefuses(t *testing.T) {
	start, hook := on(reconcile.StepStart, "web/1"), on(reconcile.StepHook, "web/1")
	hook.Hook.Phase = reconcile.HookPostStart
	for call, step := range map[string]reconcile.Step{"start web/1": start, "hook web/1 post_start": hook} {
		t.Run(call, func(t *testing.T) {
			s := newScripted()
			s.fails[call], s.fails["answer"] = &reconcile.HookFailure{ExitCode: 137}, errors.New("connection refused")
			r := executor(s).Execute(t.Context(), job(plan(step)))
			if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrEngineUnavailable) {
				t.Fatalf("failure %+v, error %v", r.Failure, r.Err)
			}
			equal(t, "calls", s.did(), []string{call})
		})
	}
}
