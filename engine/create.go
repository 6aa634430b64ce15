package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/config"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"davit/reconcile"
)

// incomplete begins the name of a container that takes more than one request to
// make, until it is whole. An agent that dies in between leaves one behind: it
// is shown without a spec, and the next Create of the same name removes it.
const incomplete = "davit-incomplete."

// Create makes the container that r asks for and does not start it. A container
// of that name which the same request made earlier, and which was never started,
// is returned instead; any other holder of the name is an error.
func (e *Engine) Create(ctx context.Context, r reconcile.CreateRequest) (string, error) {
	id, err := e.create(ctx, r)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", r.Create.Name, err)
	}
	return id, nil
}

func (e *Engine) create(ctx context.Context, r reconcile.CreateRequest) (string, error) {
	ref, image, err := e.reference(ctx, r.Image)
	if err != nil {
		return "", err
	}
	r.Image = image
	in, err := e.surroundings(ctx, r, ref)
	if err != nil {
		return "", err
	}
	s, err := convert(r, in)
	if err != nil {
		return "", err
	}
	if id, err := e.holder(ctx, r); id != "" || err != nil {
		return id, err
	}
	if len(s.Later) == 0 && len(s.Files) == 0 {
		return e.make(ctx, s, r.Create.Name, image.ID)
	}
	return e.makeInParts(ctx, s, r, image.ID)
}

// surroundings asks what the conversion needs to know.
func (e *Engine) surroundings(ctx context.Context, r reconcile.CreateRequest, ref string) (surroundings, error) {
	in := surroundings{Instance: e.instance, Image: ref}
	var err error
	if in.API, err = e.api(ctx); err != nil {
		return in, err
	}
	file, err := config.Load(e.configDir)
	if err != nil {
		return in, fmt.Errorf("read %s/config.json: %w", e.configDir, err)
	}
	in.Proxy = file.ParseProxyConfig(e.host, nil)
	if r.Service.Config.UseAPISocket {
		in.Credentials, err = e.everyCredential(ctx)
	}
	return in, err
}

// reference chooses the words for the image: the friendly ones only while they
// mean the pinned image. The container's image is checked again once it exists.
func (e *Engine) reference(ctx context.Context, i reconcile.Image) (string, reconcile.Image, error) {
	if i.ID == "" && i.Digest != "" {
		local, err := e.LocalImage(ctx, i.Pinned())
		if err != nil {
			return "", i, err
		}
		i.ID = local.ID
	}
	friendly, err := e.LocalImage(ctx, i.Ref)
	switch {
	case err == nil && i.ID == "":
		i.ID = friendly.ID
		return i.Ref, i, nil
	case err == nil && friendly.ID == i.ID:
		return i.Ref, i, nil
	case err != nil && !errors.Is(err, reconcile.ErrImageMissing) || i.ID == "":
		return "", i, err
	}
	if i.Digest != "" {
		if local, err := e.LocalImage(ctx, i.Pinned()); err == nil && local.ID == i.ID {
			return i.Pinned(), i, nil
		}
	}
	_, err = e.LocalImage(ctx, i.ID)
	return i.ID, i, err
}

// holder returns the container that an earlier, identical request made.
func (e *Engine) holder(ctx context.Context, r reconcile.CreateRequest) (string, error) {
	found, err := e.inspect(ctx, r.Create.Name)
	if errors.Is(err, reconcile.ErrContainerMissing) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if strings.TrimPrefix(found.Name, "/") != r.Create.Name {
		return "", nil // the name is the beginning of somebody's ID
	}
	labels := found.Config.Labels
	same := labels[labelInstance] == e.instance && labels[labelSpec] == r.Service.Hash &&
		labels[labelEdge] == strings.Join(r.Create.Edge, ",") &&
		labels[labelRelease] == strconv.FormatInt(r.Release, 10) && found.Image == r.Image.ID &&
		found.State.Status == container.StateCreated && moment(found.State.StartedAt).IsZero()
	if !same {
		return "", reconcile.WithHint(
			fmt.Errorf("the name is taken by container %.12s (project %q, service %q, %s)",
				found.ID, labels[labelProject], labels[labelService], found.State.Status),
			"rename or remove that container, or give the service another container_name")
	}
	return found.ID, nil
}

// make creates a container in one request and checks what it runs: a tag can
// move between the look and the request.
func (e *Engine) make(ctx context.Context, s spec, name, imageID string) (id string, err error) {
	err = e.do(ctx, "request", func(ctx context.Context, c *client.Client) error {
		made, err := c.ContainerCreate(ctx, s.Config, s.Host, s.Network, s.Platform, name)
		id = made.ID
		return err
	})
	if err != nil {
		return "", err
	}
	found, err := e.inspect(ctx, id)
	if err == nil && found.Image != imageID {
		err = fmt.Errorf("it would run image %s, not %s: %s has moved meanwhile", found.Image, imageID, s.Config.Image)
	}
	if err != nil {
		return "", errors.Join(err, e.discard(ctx, id))
	}
	return id, nil
}

// makeInParts creates a container under another name, completes it, and gives it
// its name last.
func (e *Engine) makeInParts(ctx context.Context, s spec, r reconcile.CreateRequest, imageID string) (string, error) {
	name := incomplete + r.Create.Name
	if err := e.sweep(ctx, name); err != nil {
		return "", err
	}
	id, err := e.make(ctx, s, name, imageID)
	if err != nil {
		return "", err
	}
	if err := e.complete(ctx, id, s, r.Create.Name); err != nil {
		return "", errors.Join(err, e.discard(ctx, id))
	}
	return id, nil
}

func (e *Engine) complete(ctx context.Context, id string, s spec, name string) error {
	for _, later := range s.Later {
		err := e.do(ctx, "connect to network "+later.Network, func(ctx context.Context, c *client.Client) error {
			return c.NetworkConnect(ctx, later.Network, id, later.Settings)
		})
		if err != nil {
			return err
		}
	}
	for _, owned := range []bool{false, true} {
		if err := e.write(ctx, id, s.Files, owned); err != nil {
			return err
		}
	}
	return e.Rename(ctx, id, name)
}

// write copies configs and secrets into the container.
func (e *Engine) write(ctx context.Context, id string, files []file, owned bool) error {
	if !slices.ContainsFunc(files, func(f file) bool { return f.Owned == owned }) {
		return nil
	}
	content, err := archive(files, owned)
	if err != nil {
		return err
	}
	return e.do(ctx, "write configs and secrets", func(ctx context.Context, c *client.Client) error {
		return c.CopyToContainer(ctx, id, "/", content, container.CopyToContainerOptions{CopyUIDGID: owned})
	})
}

// sweep removes what an earlier, interrupted Create left under name.
func (e *Engine) sweep(ctx context.Context, name string) error {
	left, err := e.inspect(ctx, name)
	if errors.Is(err, reconcile.ErrContainerMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	if left.Config.Labels[labelInstance] != e.instance || !moment(left.State.StartedAt).IsZero() {
		return fmt.Errorf("the name %s is taken by container %.12s", name, left.ID)
	}
	return e.Remove(ctx, left.ID)
}

// discard removes a container that Create made and could not finish, even when
// the caller has given up.
func (e *Engine) discard(ctx context.Context, id string) error {
	return e.Remove(context.WithoutCancel(ctx), id)
}

func (e *Engine) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	var found container.InspectResponse
	err := e.do(ctx, "inspect container "+id, func(ctx context.Context, c *client.Client) (err error) {
		found, err = c.ContainerInspect(ctx, id)
		return err
	})
	if err == nil && !whole(found) {
		return found, fmt.Errorf("inspect container %s: the engine's answer is incomplete", id)
	}
	if errdefs.IsNotFound(err) && !errors.Is(err, reconcile.ErrContainerMissing) {
		err = fmt.Errorf("%w: %w", reconcile.ErrContainerMissing, err)
	}
	return found, err
}

// whole reports whether an answer has the parts that everything else relies on.
func whole(c container.InspectResponse) bool {
	return c.ContainerJSONBase != nil && c.State != nil && c.Config != nil && c.HostConfig != nil
}
