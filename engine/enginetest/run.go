package enginetest

import (
	"context"
	"fmt"
	"time"

	"davit/reconcile"
)

// Run runs a hook's command, which does what the container's behaviour says of its
// phase: it ends at once and well, or fails.
func (e *Engine) Run(ctx context.Context, id string, h reconcile.Hook) error {
	var failed error
	err := e.mutate(ctx, Op{Kind: OpRun, Target: e.nameOf(id), Detail: h.Phase.String()}, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		if !c.face.Running() {
			return fmt.Errorf("container %s is not running", id)
		}
		if code := c.behaviour.Hooks[h.Phase]; code != 0 {
			failed = &reconcile.HookFailure{ExitCode: code, Output: c.behaviour.Log}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return failed
}

// RunFirst runs a pre_start hook, which does what the behaviour of the container that
// is to start after it says.
func (e *Engine) RunFirst(ctx context.Context, id string, _ reconcile.CreateRequest, h reconcile.Hook) error {
	var failed error
	err := e.mutate(ctx, Op{Kind: OpRun, Target: e.nameOf(id), Detail: h.Phase.String()}, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		if code := c.behaviour.Hooks[h.Phase]; code != 0 {
			failed = &reconcile.HookFailure{ExitCode: code, Output: c.behaviour.Log}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return failed
}
