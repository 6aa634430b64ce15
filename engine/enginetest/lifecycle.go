package enginetest

import (
	"context"
	"errors"
	"time"

	"davit/reconcile"
)

// Start starts a container; one that runs is left alone.
func (e *Engine) Start(ctx context.Context, id string) error {
	return e.mutate(ctx, Op{Kind: OpStart, Target: e.nameOf(id)}, func(now time.Time) error {
		c, err := e.get(id)
		if err != nil || c.face.Running() || c.face.State == reconcile.Restarting {
			return err
		}
		c.face.Restarts, c.backoff = 0, 0
		return e.launch(c, now)
	})
}

// Stop asks the container to end and waits until it has, at most for its grace
// period. The engine goes on stopping it when ctx ends.
func (e *Engine) Stop(ctx context.Context, id string) error {
	op := Op{Kind: OpStop, Target: e.nameOf(id)}
	if err := e.interrupted(op, Before); err != nil {
		return err
	}
	err := e.stop(ctx, op, id, false)
	if err := e.interrupted(op, After); err != nil {
		return err
	}
	return err
}

func (e *Engine) stop(ctx context.Context, op Op, id string, byHand bool) error {
	var end time.Time
	err := e.read(ctx, op.String(), func(now time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		e.log = append(e.log, op)
		end = e.terminate(c, now, byHand)
		e.writers.record(e.containers)
		return nil
	})
	if err != nil {
		return err
	}
	for {
		e.mu.Lock()
		left := end.Sub(e.now())
		e.mu.Unlock()
		if left <= 0 {
			break
		}
		if err := e.sleep(ctx, left); err != nil {
			return err
		}
	}
	return e.read(ctx, op.String(), func(time.Time) error {
		if c, err := e.get(id); err == nil {
			e.tell(c, "stop", byHand)
		}
		return nil
	})
}

// terminate plans the end of the process and returns when it will be.
func (e *Engine) terminate(c *container, now time.Time, byHand bool) time.Time {
	c.stopped = true
	switch {
	case c.face.State == reconcile.Restarting:
		c.face.State, c.due = reconcile.Exited, nil
		return now
	case !c.face.Running():
		return now
	}
	if e.edge != nil && !byHand {
		e.edge.stopping(c, now)
	}
	e.tell(c, "kill", byHand)
	d := due{at: now.Add(c.behaviour.StopTakes), what: exits}
	if c.behaviour.IgnoresTERM || c.behaviour.StopTakes > c.grace {
		d.at, d.code = now.Add(c.grace), 137
	}
	if !d.at.After(now) {
		e.exit(c, d)
		return now
	}
	c.plan(d)
	return d.at
}

// Remove removes a stopped container and keeps its volumes. One that is gone is
// a success.
func (e *Engine) Remove(ctx context.Context, id string) error {
	return e.mutate(ctx, Op{Kind: OpRemove, Target: e.nameOf(id)}, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return nil
		}
		if c.face.Running() || c.face.State == reconcile.Restarting {
			return errors.New("the container is running")
		}
		e.destroy(c)
		return nil
	})
}

func (e *Engine) destroy(c *container) {
	delete(e.containers, c.face.ID)
	e.tell(c, "destroy", false)
}

func (e *Engine) get(id string) (*container, error) {
	c, ok := e.containers[id]
	if !ok {
		return nil, reconcile.ErrContainerMissing
	}
	return c, nil
}

func (e *Engine) nameOf(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.containers[id]; ok {
		return c.face.Name
	}
	return id
}
