package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"davit/reconcile"
)

// maxHookOutput is how much of a command's output its failure shows, in bytes.
const maxHookOutput = 2 << 10

// execAgain is the pause between two looks at a command that has closed its output
// and not ended yet.
const execAgain = 50 * time.Millisecond

// Run runs a hook's command in a running container and waits for its end. A command
// that fails, or does not end in time, is a *reconcile.HookFailure; what does not end
// goes on running, for the engine cannot stop it.
func (e *Engine) Run(ctx context.Context, id string, h reconcile.Hook) error {
	what := fmt.Sprintf("run %s hook in container %s", h.Phase, id)
	found, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	x := execution{id: found.ID, hook: h, tty: found.Config.Tty, output: &ending{limit: maxHookOutput}}
	// The hook's own time is up before the request's.
	err = e.doWithin(ctx, h.Timeout+e.timeout, what, func(ctx context.Context, c *client.Client) error {
		timed, cancel := context.WithTimeoutCause(ctx, h.Timeout, errHookTime)
		defer cancel()
		code, err := x.run(timed, c)
		switch {
		case errors.Is(context.Cause(timed), errHookTime):
			return &reconcile.HookFailure{TimedOut: h.Timeout, Output: x.said()}
		case err == nil && code != 0:
			return &reconcile.HookFailure{ExitCode: code, Output: x.said()}
		}
		return err
	})
	var failed *reconcile.HookFailure
	if errors.As(err, &failed) {
		return failed
	}
	return err
}

var errHookTime = errors.New("the hook's time is up")

// execution is one command in one container.
type execution struct {
	id     string
	hook   reconcile.Hook
	tty    bool
	output *ending
}

func (x *execution) run(ctx context.Context, c *client.Client) (code int, err error) {
	made, err := c.ContainerExecCreate(ctx, x.id, container.ExecOptions{
		User: x.hook.User, Privileged: x.hook.Privileged, WorkingDir: x.hook.WorkingDir, Cmd: x.hook.Command,
		Env: environment(x.hook.Environment, nil), AttachStdout: true, AttachStderr: true, Tty: x.tty,
	})
	if err != nil {
		return 0, err
	}
	if err := x.attach(ctx, c, made.ID); err != nil {
		return 0, err
	}
	for {
		now, err := c.ContainerExecInspect(ctx, made.ID)
		switch {
		case errdefs.IsNotFound(err): // an engine that restarts forgets it
			return 0, unavailable(err)
		case err != nil:
			return 0, err
		case !now.Running:
			return now.ExitCode, nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(execAgain):
		}
	}
}

// attach starts the command and reads what it prints until it closes its output.
func (x *execution) attach(ctx context.Context, c *client.Client, exec string) error {
	stream, err := c.ContainerExecAttach(ctx, exec, container.ExecAttachOptions{Tty: x.tty})
	if err != nil {
		return err
	}
	defer stream.Close()
	// The stream knows nothing of ctx.
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	if x.tty {
		_, err = io.Copy(x.output, stream.Reader)
	} else {
		_, err = stdcopy.StdCopy(x.output, x.output, stream.Reader)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// said is the end of the output as valid text.
func (x *execution) said() string {
	text := strings.ToValidUTF8(strings.ReplaceAll(string(x.output.kept), "\x00", ""), "\uFFFD")
	return strings.TrimSpace(text)
}
