package rollout

import (
	"context"

	"davit/reconcile"
)

// hook runs a step's command. A container that cannot say goodbye is stopped all the
// same: the failure of a pre_stop command is only remarked on.
func (e *Executor) hook(ctx context.Context, job reconcile.Job, t task) outcome {
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
