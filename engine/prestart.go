package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"davit/compose"
	"davit/reconcile"
)

// labelHook is Compose's label for a container that is a hook.
const labelHook = "com.docker.compose.hook"

// RunFirst runs a pre_start hook to its end: a container of its own, made of what r
// says and of h, with the volumes of the container that is to start after it and in
// the networks of its service. It is removed again; one that an agent which died left
// behind is removed first. A failure is a *reconcile.HookFailure.
func (e *Engine) RunFirst(ctx context.Context, id string, r reconcile.CreateRequest, h reconcile.Hook) error {
	owner, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("run %s hook: %w", h.Phase, err)
	}
	name := strings.TrimPrefix(owner.Name, "/")
	r = hooked(r, h, owner.ID, fmt.Sprintf("%s-%s-%d", name, h.Phase, h.Index))
	if err := e.first(ctx, r, h); err != nil {
		var failed *reconcile.HookFailure
		if errors.As(err, &failed) {
			return failed
		}
		return fmt.Errorf("run %s hook of container %s: %w", h.Phase, name, err)
	}
	return nil
}

// hooked is the request for the hook's container.
func hooked(r reconcile.CreateRequest, h reconcile.Hook, owner, name string) reconcile.CreateRequest {
	config := types.ServiceConfig{Name: r.Service.Name, ContainerSpec: h.First.ContainerSpec}
	config.VolumesFrom = append(slices.Clone(config.VolumesFrom), types.ContainerPrefix+owner)
	r.Service = compose.Service{Name: r.Service.Name, Config: config, Hash: r.Service.Hash}
	r.Create = reconcile.Create{Name: name, Final: name}
	r.Number, r.Restart = 0, "no"
	return r
}

func (e *Engine) first(ctx context.Context, r reconcile.CreateRequest, h reconcile.Hook) error {
	if err := e.clearHook(ctx, r.Create.Name); err != nil {
		return err
	}
	ref, image, err := e.reference(ctx, r.Image)
	if err != nil {
		return err
	}
	r.Image = image
	in, err := e.surroundings(ctx, r, ref)
	if err != nil {
		return err
	}
	s, err := convert(r, in)
	if err != nil {
		return err
	}
	s.Config.Labels = hookLabels(r, h, e.instance)
	id, err := e.makeHook(ctx, s, r, image.ID)
	if err != nil {
		return err
	}
	// Whatever becomes of it, it is not to stay.
	return errors.Join(e.await(ctx, id, h), e.clearHook(context.WithoutCancel(ctx), r.Create.Name))
}

func (e *Engine) makeHook(ctx context.Context, s spec, r reconcile.CreateRequest, image string) (string, error) {
	if len(s.Later) == 0 && len(s.Files) == 0 {
		return e.make(ctx, s, r.Create.Name, image)
	}
	return e.makeInParts(ctx, s, r, image)
}

// hookLabels say whose hook it is. It counts as a one-off container, which is
// neither a replica nor anybody's to replace.
func hookLabels(r reconcile.CreateRequest, h reconcile.Hook, instance string) map[string]string {
	return map[string]string{
		labelProject: r.Project.Name, labelService: r.Service.Name, labelVersion: composeVersion,
		labelOneOff: "True", labelHook: h.Phase.String(), labelInstance: instance,
	}
}

// await starts the container and waits for its end.
func (e *Engine) await(ctx context.Context, id string, h reconcile.Hook) error {
	if err := e.Start(ctx, id); err != nil {
		return err
	}
	var code int64
	err := e.doWithin(ctx, h.Timeout+e.timeout, "wait for the end of container "+id, func(ctx context.Context, c *client.Client) error {
		timed, cancel := context.WithTimeoutCause(ctx, h.Timeout, errHookTime)
		defer cancel()
		ended, failed := c.ContainerWait(timed, id, container.WaitConditionNotRunning)
		select {
		case end := <-ended:
			code = end.StatusCode
			return nil
		case err := <-failed:
			if errors.Is(context.Cause(timed), errHookTime) {
				return &reconcile.HookFailure{TimedOut: h.Timeout}
			}
			return err
		}
	})
	var late *reconcile.HookFailure
	if err == nil && code == 0 || err != nil && !errors.As(err, &late) {
		return err
	}
	if late == nil {
		late = &reconcile.HookFailure{ExitCode: int(code)}
	}
	text, err := e.Evidence(ctx, id, hookLines)
	if err != nil {
		text = err.Error()
	}
	late.Output = strings.TrimSpace(text)
	return late
}

// hookLines is how much of a failed hook's log its failure shows.
const hookLines = 10

// clearHook removes the hook's container of that name, running or not.
func (e *Engine) clearHook(ctx context.Context, name string) error {
	found, err := e.inspect(ctx, name)
	if errors.Is(err, reconcile.ErrContainerMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Config.Labels[labelHook] == "" || found.Config.Labels[labelInstance] != e.instance {
		return fmt.Errorf("the name %s is taken by container %.12s", name, found.ID)
	}
	defer e.seen.forget(found.ID)
	return e.do(ctx, "remove container "+name, func(ctx context.Context, c *client.Client) error {
		return c.ContainerRemove(ctx, found.ID, container.RemoveOptions{Force: true})
	})
}
