package enginetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/reconcile"
)

// well reports whether the health check of c succeeds, or would if anybody ran it.
func (c *container) well(at time.Time) bool {
	untold := c.face.Health == reconcile.HealthStarting && c.behaviour.passes(at.Sub(c.face.Started))
	return !c.checked || c.face.Health == reconcile.Healthy || untold
}

// passes reports whether the health check succeeds in a container of that age.
func (b Behaviour) passes(age time.Duration) bool { return !b.Sick && age >= b.HealthyAfter }

// Examine runs the health check of a container once, ahead of the engine.
func (e *Engine) Examine(ctx context.Context, id string) error {
	return e.read(ctx, "examine container "+id, func(now time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		switch b := c.behaviour; {
		case !c.checked:
			return fmt.Errorf("container %s: it has no health check", id)
		case !c.face.Running():
			return errors.New("it is not running")
		case !b.passes(now.Sub(c.face.Started)):
			return &reconcile.HookFailure{ExitCode: 1, Output: b.Log}
		}
		c.examined = true
		return nil
	})
}

// ForgetExaminations is what the end of the process that examined containers does.
func (e *Engine) ForgetExaminations() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		c.examined = false
	}
}
