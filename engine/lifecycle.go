package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"davit/reconcile"
)

// defaultGrace is how long the engine waits between the stop signal and SIGKILL
// unless the container says otherwise.
const defaultGrace = 10 * time.Second

// How long an engine may take to clear up what was before, and how often it is asked. What
// a container of which it does not know that it runs has left is ended from here (orphans.go);
// containerd then needs a few seconds more to have noticed.
const (
	leftoverLasts     = 20 * time.Second
	betweenLivesLasts = time.Minute
	clearingAgain     = 500 * time.Millisecond
)

// portsAgain is how often a port of a range is asked for again.
const portsAgain = 10

// Start starts a container; one that runs is left alone.
func (e *Engine) Start(ctx context.Context, id string) error {
	if err := e.clearUp(ctx); err != nil {
		return fmt.Errorf("start container %s: %w", id, err)
	}
	e.ours.start(id)
	defer e.seen.forget(id)
	err := e.startOnceCleared(ctx, id)
	for again := 0; again < portsAgain && err != nil && strings.Contains(err.Error(), "port is already allocated") && e.choosesPort(ctx, id); again++ {
		err = e.start(ctx, id)
	}
	if err != nil && (strings.Contains(err.Error(), "port is already allocated") || strings.Contains(err.Error(), "address already in use")) {
		return reconcile.WithHint(err, "another container or process owns that host port (docker ps, ss -ltnp)")
	}
	return err
}

// startOnceCleared starts a container that may have lived before. A life that goes on is
// nothing that the content could help.
func (e *Engine) startOnceCleared(ctx context.Context, id string) error {
	leftover := func(err error) bool {
		return mentions(err, "id already in use", "given id already exists", id+": file exists", id+": already exists")
	}
	err := whileClearing(ctx, leftover, leftoverLasts, func() error {
		err := e.start(ctx, id)
		if leftover(err) {
			err = errors.Join(err, e.endOrphans(ctx, []string{id}))
		}
		return err
	})
	if !leftover(err) {
		return err
	}
	return lost(err, id)
}

// choosesPort reports whether the container leaves it to the engine which port of
// a range it publishes. The engine may give two containers that start at once the
// same one; the later of them gets another when it asks again.
func (e *Engine) choosesPort(ctx context.Context, id string) bool {
	found, err := e.inspect(ctx, id)
	if err != nil {
		return false
	}
	for _, bindings := range found.HostConfig.PortBindings {
		for _, b := range bindings {
			if strings.Contains(b.HostPort, "-") {
				return true
			}
		}
	}
	return false
}

// whileClearing repeats f for as long as its error says that the engine has not
// yet cleared up what was before.
func whileClearing(ctx context.Context, symptom func(error) bool, limit time.Duration, f func() error) error {
	deadline := time.Now().Add(limit)
	err := f()
	for symptom(err) && time.Now().Before(deadline) {
		select {
		case <-time.After(clearingAgain):
			err = f()
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return err
}

func mentions(err error, phrases ...string) bool {
	return err != nil && slices.ContainsFunc(phrases, func(phrase string) bool {
		return strings.Contains(strings.ToLower(err.Error()), phrase)
	})
}

func (e *Engine) start(ctx context.Context, id string) error {
	return e.do(ctx, "start container "+id, func(ctx context.Context, c *client.Client) error {
		return c.ContainerStart(ctx, id, container.StartOptions{})
	})
}

// Stop sends the container's stop signal and waits its grace period; the engine
// goes on stopping it when ctx ends. A stopped container is left alone.
func (e *Engine) Stop(ctx context.Context, id string) error {
	found, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	grace := graceOf(found.Config)
	limit := grace + e.timeout
	if grace < 0 { // wait for ever, says the container; nobody does
		limit = e.pull
	}
	e.ours.stop(found.ID)
	defer e.seen.forget(found.ID)
	return e.doWithin(ctx, limit, "stop container "+id, func(ctx context.Context, c *client.Client) error {
		return c.ContainerStop(ctx, id, container.StopOptions{})
	})
}

// graceOf is how long the engine waits between a stop's signal and the kill; negative for
// ever.
func graceOf(c *container.Config) time.Duration {
	if t := c.StopTimeout; t != nil {
		return time.Duration(*t) * time.Second
	}
	return defaultGrace
}

// Remove removes a stopped container and never its volumes. One that is gone, or
// about to be, is a success.
func (e *Engine) Remove(ctx context.Context, id string) error {
	if err := e.clearUp(ctx); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	defer e.seen.forget(id)
	err := e.do(ctx, "remove container "+id, func(ctx context.Context, c *client.Client) error {
		return c.ContainerRemove(ctx, id, container.RemoveOptions{RemoveVolumes: false, Force: false})
	})
	switch {
	case err == nil, errors.Is(err, reconcile.ErrContainerMissing):
		e.ours.start(id)
		return nil
	case errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress"):
		return e.awaitRemoval(ctx, id)
	}
	return err
}

func (e *Engine) awaitRemoval(ctx context.Context, id string) error {
	err := e.do(ctx, "wait for the removal of container "+id, func(ctx context.Context, c *client.Client) error {
		gone, failed := c.ContainerWait(ctx, id, container.WaitConditionRemoved)
		select {
		case <-gone:
			return nil
		case err := <-failed:
			return err
		}
	})
	if errors.Is(err, reconcile.ErrContainerMissing) {
		return nil
	}
	return err
}

// Rename gives the container another name; its own is a success.
func (e *Engine) Rename(ctx context.Context, id, name string) error {
	defer e.seen.forget(id)
	err := e.do(ctx, "rename container "+id+" to "+name, func(ctx context.Context, c *client.Client) error {
		return c.ContainerRename(ctx, id, name)
	})
	if err == nil || errors.Is(err, reconcile.ErrContainerMissing) || errors.Is(err, reconcile.ErrEngineUnavailable) {
		return err
	}
	if now, look := e.inspect(ctx, id); look == nil && now.Name == "/"+name {
		return nil
	}
	return err
}

// SetRestart sets the restart policy and looks whether it is set: a container
// that is stopped for good must not come back with the daemon.
func (e *Engine) SetRestart(ctx context.Context, id, policy string) error {
	p, err := restartPolicy(policy)
	if err != nil {
		return err
	}
	defer e.seen.forget(id)
	// A container that crashes in a loop may be between two lives just now.
	betweenLives := func(err error) bool { return mentions(err, "cannot update") }
	err = whileClearing(ctx, betweenLives, betweenLivesLasts, func() error {
		return e.do(ctx, "set the restart policy of container "+id, func(ctx context.Context, c *client.Client) error {
			_, err := c.ContainerUpdate(ctx, id, container.UpdateConfig{RestartPolicy: p})
			return err
		})
	})
	if err != nil {
		return err
	}
	found, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("verify the restart policy: %w", err)
	}
	if got := restartWords(found.HostConfig.RestartPolicy); got != restartWords(p) {
		return fmt.Errorf("set the restart policy of container %s to %s: the engine still has %s", id, policy, got)
	}
	return nil
}
