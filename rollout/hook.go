package rollout

import (
	"context"

	"davit/reconcile"
)

// ofRelease reports whether the step is a hook with a container of its own.
func ofRelease(step reconcile.Step) bool {
	return step.Kind == reconcile.StepHook && step.Hook.Phase.OfRelease()
}

// hooked runs a hook: of a container, or of the release.
func (e *Executor) hooked(abortable context.Context, job reconcile.Job, t task) outcome {
	if ofRelease(t.step) {
		return e.releaseHook(abortable, job, t)
	}
	return e.change(abortable, job, t)
}

// hook runs a step's command. A container that cannot say goodbye is stopped all the
// same: the failure of a pre_stop command is only remarked on.
func (e *Executor) hook(ctx context.Context, job reconcile.Job, t task) outcome {
	if ofRelease(t.step) {
		return e.createHook(ctx, job, t)
	}
	if t.step.Hook.Phase == reconcile.HookPreStart {
		r, err := request(job, t)
		if err != nil {
			return outcome{err: err}
		}
		return outcome{err: e.engine.RunFirst(ctx, t.id, r, t.step.Hook)}
	}
	err := e.engine.Run(ctx, t.id, t.step.Hook)
	if t.step.Hook.Phase == reconcile.HookPreStop {
		return outcome{remark: err}
	}
	return outcome{err: err}
}
