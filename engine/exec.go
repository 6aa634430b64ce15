package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
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
// goes on running, for the engine cannot stop it. Its time counts from when the engine has
// taken it: that an engine is slow to begin it is another error, and says nothing of it. The
// command of a probe is not run again before the one that did not end has.
func (e *Engine) Run(ctx context.Context, id string, h reconcile.Hook) error {
	what := fmt.Sprintf("run %s hook in container %s", h.Phase, id)
	found, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	x := execution{id: found.ID, hook: h, tty: found.Config.Tty, output: &ending{limit: maxHookOutput}}
	// The hook's own time is up before the request's.
	err = e.doWithin(ctx, h.Timeout+e.timeout, what, func(ctx context.Context, c *client.Client) error {
		if h.Phase == reconcile.HookProbe {
			return e.lingerers.once(ctx, c, &x)
		}
		return x.outcome(ctx, c)
	})
	var failed *reconcile.HookFailure
	if errors.As(err, &failed) {
		return failed
	}
	return err
}

var (
	errHookTime = errors.New("the hook's time is up")
	errUnbegun  = errors.New("the engine has not begun the command")
)

// execution is one command in one container.
type execution struct {
	id     string
	hook   reconcile.Hook
	tty    bool
	output *ending
	// exec is the engine's name for it, once it has one; open is true when its time was up
	// and it ran, or was about to.
	exec string
	open bool
}

// outcome runs the command and judges how it ended.
func (x *execution) outcome(ctx context.Context, c *client.Client) error {
	code, err := x.run(ctx, c)
	if err == nil && code != 0 {
		return &reconcile.HookFailure{ExitCode: code, Output: x.said()}
	}
	return err
}

func (x *execution) run(ctx context.Context, c *client.Client) (code int, err error) {
	made, err := c.ContainerExecCreate(ctx, x.id, container.ExecOptions{
		User: x.hook.User, Privileged: x.hook.Privileged, WorkingDir: x.hook.WorkingDir, Cmd: x.hook.Command,
		Env: environment(x.hook.Environment, nil), AttachStdout: true, AttachStderr: true, Tty: x.tty,
	})
	if err != nil {
		return 0, err
	}
	x.exec = made.ID
	stream, err := c.ContainerExecAttach(ctx, x.exec, container.ExecAttachOptions{Tty: x.tty})
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	timed, cancel := context.WithTimeoutCause(ctx, x.hook.Timeout, errHookTime)
	defer cancel()
	code, err = x.await(timed, c, stream)
	if err != nil && errors.Is(context.Cause(timed), errHookTime) {
		return x.late(ctx, c)
	}
	return code, err
}

// await reads what the command prints until it closes its output, and waits for its end.
func (x *execution) await(ctx context.Context, c *client.Client, stream types.HijackedResponse) (code int, err error) {
	if err := x.read(ctx, stream); err != nil {
		return 0, err
	}
	for {
		now, err := x.inspect(ctx, c)
		switch {
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

func (x *execution) read(ctx context.Context, stream types.HijackedResponse) (err error) {
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

// inspect is the command as the engine knows it.
func (x *execution) inspect(ctx context.Context, c *client.Client) (container.ExecInspect, error) {
	now, err := c.ContainerExecInspect(ctx, x.exec)
	if errdefs.IsNotFound(err) { // an engine that restarts forgets it
		err = unavailable(err)
	}
	return now, err
}

// late is how a command stands whose time is up. The engine accepts one before it begins
// it, and one that has ended may only not have been told of yet.
func (x *execution) late(ctx context.Context, c *client.Client) (code int, err error) {
	now, err := x.inspect(ctx, c)
	switch {
	case err != nil:
		return 0, err
	case now.Pid == 0 && now.ExitCode == 0:
		x.open = now.Running // about to begin
		return 0, unavailable(fmt.Errorf("%w after %s", errUnbegun, x.hook.Timeout))
	case now.Running:
		x.open = true
		return 0, &reconcile.HookFailure{TimedOut: x.hook.Timeout, Output: x.said()}
	}
	return now.ExitCode, nil
}

// said is the end of the output as valid text.
func (x *execution) said() string {
	text := strings.ToValidUTF8(strings.ReplaceAll(string(x.output.kept), "\x00", ""), "\uFFFD")
	return strings.TrimSpace(text)
}
