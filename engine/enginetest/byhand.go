package enginetest

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"davit/engine"
	"davit/reconcile"
)

// Kill ends the container's process as a crash or the kernel would; its restart
// policy applies.
func (e *Engine) Kill(id string) {
	e.byHand(id, func(c *container, now time.Time) {
		if c.face.Running() {
			e.exit(c, due{at: now, code: 137})
		}
	})
}

// StopByHand is somebody's `docker stop`, done at once whatever the container
// would like.
func (e *Engine) StopByHand(id string) {
	e.byHand(id, func(c *container, now time.Time) {
		c.stopped = true
		if c.face.Running() {
			c.byHand = true
			e.tell(c, "kill", true)
			e.exit(c, due{at: now})
		}
		e.tell(c, "stop", true)
	})
}

// StartByHand is somebody's `docker start`; it panics when the engine refuses.
func (e *Engine) StartByHand(id string) {
	e.byHand(id, func(c *container, now time.Time) {
		if c.face.Running() {
			return
		}
		if err := e.launch(c, now); err != nil {
			panic("start by hand: " + err.Error())
		}
	})
}

// RemoveByHand is somebody's `docker rm -f`.
func (e *Engine) RemoveByHand(id string) {
	e.byHand(id, e.remove)
}

// ReplaceByHand is somebody's `docker compose up`: a container that looks like c is there in
// the place of another. Nobody sees the moment in between.
func (e *Engine) ReplaceByHand(id string, c reconcile.Container) (made string) {
	e.byHand(id, func(old *container, now time.Time) {
		e.remove(old, now)
		made = e.add(c)
	})
	return made
}

func (e *Engine) remove(c *container, now time.Time) {
	if c.face.Running() {
		c.stopped = true
		e.tell(c, "kill", true)
		e.exit(c, due{at: now, code: 137})
	}
	e.destroy(c)
}

func (e *Engine) byHand(id string, f func(*container, time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	e.settle(now)
	if c, ok := e.containers[id]; ok {
		f(c, now)
		e.writers.record(e.containers)
	}
}

// StopDaemon ends every container and makes every call fail with
// reconcile.ErrEngineUnavailable.
func (e *Engine) StopDaemon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	e.settle(now)
	e.broadcast(engine.Change{Kind: engine.EngineLost, Err: errors.New("the daemon was stopped")})
	e.down = true
	for _, c := range e.containers {
		if !c.face.Running() && c.face.State != reconcile.Restarting {
			continue
		}
		asked := c.stopped
		c.stopped = true // the daemon does not restart while it goes down
		c.due = nil
		e.exit(c, due{at: now, code: 143})
		c.stopped = asked
	}
	e.writers.record(e.containers)
}

// StartDaemon brings the daemon back. What had a policy that says so starts
// again, in another order than before: an `always` container that was stopped
// does too, an `unless-stopped` one that was stopped and one that was never
// started do not. Addresses are dealt anew.
func (e *Engine) StartDaemon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	e.settle(now)
	e.down = false
	var again []*container
	for _, c := range e.containers {
		if c.ever && !c.face.Running() && c.revivesWithDaemon() {
			again = append(again, c)
		}
	}
	// Newest first: the reverse of how they got their addresses.
	sortNewestFirst(again)
	for _, c := range again {
		if err := e.launch(c, now); err != nil {
			c.face.State = reconcile.Exited
		}
	}
	e.writers.record(e.containers)
	e.broadcast(engine.Change{Kind: engine.EngineRecovered})
}

// RestartDaemon is StopDaemon and StartDaemon.
func (e *Engine) RestartDaemon() {
	e.StopDaemon()
	e.StartDaemon()
}

func (c *container) revivesWithDaemon() bool {
	if c.stopped {
		return c.face.Restart == "always"
	}
	return c.revives(c.face.ExitCode)
}

var _ interface {
	Events(context.Context, func(engine.Change)) error
} = (*Engine)(nil)

// Relabel makes every container somebody else's: another davit's, or for "" one
// that no davit made.
func (e *Engine) Relabel(instance string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.face.Instance = instance; instance == "" {
			c.face.Spec, c.face.Version, c.face.Release = "", "", 0
		}
	}
	for _, n := range e.networks {
		n.Instance = instance
	}
}

// InTheNameOf has whatever is made during act be another davit's, or for "" nobody's.
func (e *Engine) InTheNameOf(instance string, act func()) {
	change := func(to string) (from string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		from, e.instance = e.instance, to
		return from
	}
	defer change(change(instance))
	act()
}

// ForgetStops forgets who stopped what, as an agent's process does that ends.
func (e *Engine) ForgetStops() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		c.byHand = false
	}
}

// UpdateByHand is somebody's `docker update` of limits.
func (e *Engine) UpdateByHand(id string, l reconcile.Limits) {
	e.byHand(id, func(c *container, _ time.Time) {
		c.face.Limits = l
		e.tell(c, "update", true)
	})
}

// RenameByHand is somebody's `docker rename`.
func (e *Engine) RenameByHand(id, name string) {
	e.byHand(id, func(c *container, _ time.Time) {
		c.face.Name = name
		e.tell(c, "rename", true)
	})
}

// MountFrom has every container mount what it mounts from below one directory, from
// the same name in another, as if somebody else had made it.
func (e *Engine) MountFrom(below, dir string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		for i, m := range c.face.Mounts {
			if strings.HasPrefix(m.Source, below) {
				c.face.Mounts[i].Source = filepath.Join(dir, filepath.Base(m.Source))
			}
		}
	}
}
