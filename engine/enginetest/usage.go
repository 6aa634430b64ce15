package enginetest

import (
	"context"
	"time"

	"davit/reconcile"
)

// Usage is what the container uses: since its start, by its Behaviour.
func (e *Engine) Usage(ctx context.Context, id string) (reconcile.Usage, error) {
	var u reconcile.Usage
	err := e.read(ctx, "read usage of container "+id, func(now time.Time) error {
		c, err := e.get(id)
		if err != nil || !c.face.Running() {
			return err
		}
		ran := now.Sub(c.face.Started)
		u = reconcile.Usage{
			At: now, CPU: cpuOfAStart + time.Duration(c.behaviour.Cores*float64(ran)),
			Memory: c.behaviour.Memory + memoryOfAny,
		}
		return nil
	})
	return u, err
}

// What every container uses.
const (
	cpuOfAStart = 10 * time.Millisecond
	memoryOfAny = 1 << 20
)
