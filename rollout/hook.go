package rollout

import (
	"context"

	"davit/reconcile"
)

// hook runs a step's command. A container that cannot say goodbye is stopped all the
// same: the failure of a pre_stop command is only remarked on.
func (e *Executor) hook(ctx context.Context, t task) outcome {
	err := e.engine.Run(ctx, t.id, t.step.Hook)
	if t.step.Hook.Phase == reconcile.HookPreStop {
		return outcome{remark: err}
	}
	return outcome{err: err}
}
