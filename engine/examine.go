package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"davit/reconcile"
)

// checkLasts is the engine's own limit for a health check that declares none.
const checkLasts = 30 * time.Second

// Examine runs the health check of a running container now, once. The engine itself does
// so only an interval after the start, which is 30 s unless the check says otherwise. Once
// it has succeeded, Inspect and Observe call the container healthy for as long as the
// engine has no verdict of its own. An error that is a *reconcile.HookFailure says that the
// check failed, which counts for nothing; any other, that it could not be made.
func (e *Engine) Examine(ctx context.Context, id string) error {
	found, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("examine: %w", err)
	}
	command := checkOf(found.Config)
	if len(command) == 0 {
		return fmt.Errorf("examine container %s: %w", id, errUnchecked)
	}
	h := reconcile.Hook{Phase: reconcile.HookProbe, Timeout: or(found.Config.Healthcheck.Timeout, checkLasts)}
	h.Command = command
	if err := e.Run(ctx, found.ID, h); err != nil {
		return fmt.Errorf("examine: %w", err)
	}
	e.exams.pass(found.ID, moment(found.State.StartedAt))
	return nil
}

var errUnchecked = errors.New("it has no health check")

// checkOf is the command of a container's health check, as the engine runs it; nil for
// none. The image's own is in the container's configuration by then.
func checkOf(c *container.Config) []string {
	if c.Healthcheck == nil || len(c.Healthcheck.Test) < 2 {
		return nil
	}
	switch kind, rest := c.Healthcheck.Test[0], c.Healthcheck.Test[1:]; kind {
	case "CMD":
		return rest
	case "CMD-SHELL":
		shell := c.Shell
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(append([]string(nil), shell...), rest[0])
	}
	return nil
}

// exams remembers which containers have passed an examination, and in which of their runs.
type exams struct {
	mu     *sync.Mutex
	passed map[string]exam // by container ID
}

// exam is one that was passed: when, and by the run that had started then.
type exam struct{ at, started time.Time }

func newExams() exams { return exams{mu: &sync.Mutex{}, passed: map[string]exam{}} }

func (x exams) pass(id string, started time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.passed[id] = exam{at: time.Now(), started: started}
}

// health is that of c, or what an examination has said while the engine says nothing.
func (x exams) health(c reconcile.Container) reconcile.Health {
	x.mu.Lock()
	defer x.mu.Unlock()
	its, passed := x.passed[c.ID]
	if c.Health == reconcile.HealthStarting && c.State == reconcile.Running && passed && its.started.Equal(c.Started) {
		return reconcile.Healthy
	}
	return c.Health
}

// keepOnly forgets every container that is not in the list, which was asked for at that
// time: what has been made and examined while a slow engine answered is not in it.
func (x exams) keepOnly(list []container.Summary, asked time.Time) {
	ids := idsOf(list)
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.passed, func(id string, its exam) bool { return !ids[id] && its.at.Before(asked) })
}
