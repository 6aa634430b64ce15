package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"davit/compose"
	"davit/reconcile"
)

// ErrImageInUse: a container, running or not, was made from the image.
var ErrImageInUse = errors.New("image in use")

// KeepPrefix begins the local tags that hold the images of earlier releases.
const KeepPrefix = "davit.local/keep/"

// LocalImage returns the image that ref means to the engine: a tag, a
// repository@digest or an ID. reconcile.ErrImageMissing when it has none.
func (e *Engine) LocalImage(ctx context.Context, ref string) (reconcile.Image, error) {
	var found image.InspectResponse
	err := e.do(ctx, "inspect image "+ref, func(ctx context.Context, c *client.Client) (err error) {
		found, err = c.ImageInspect(ctx, ref)
		return err
	})
	if errdefs.IsNotFound(err) && !errors.Is(err, reconcile.ErrImageMissing) {
		err = fmt.Errorf("%w: %w", reconcile.ErrImageMissing, err)
	}
	if err != nil {
		return reconcile.Image{}, err
	}
	i := reconcile.Image{Ref: ref, ID: found.ID, Digest: digestFor(ref, found.RepoDigests), Local: true}
	i.Platform = strings.TrimSuffix(found.Os+"/"+found.Architecture+"/"+found.Variant, "/")
	if found.Config != nil {
		for path := range found.Config.Volumes {
			i.Volumes = append(i.Volumes, path)
		}
		slices.Sort(i.Volumes)
		h := found.Config.Healthcheck
		i.Healthcheck = h != nil && len(h.Test) > 0 && h.Test[0] != "NONE"
	}
	return i, nil
}

// digestFor picks, from repository@digest pairs, the digest under which ref's
// own repository serves the image.
func digestFor(ref string, pairs []string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "" // an ID
	}
	for _, p := range pairs {
		pair, err := reference.ParseNormalizedNamed(p)
		if err != nil {
			continue
		}
		if d, ok := pair.(reference.Digested); ok && pair.Name() == named.Name() {
			return d.Digest().String()
		}
	}
	return ""
}

// Tag makes ref mean the image with the given ID.
func (e *Engine) Tag(ctx context.Context, id, ref string) error {
	err := e.do(ctx, "tag image "+id+" as "+ref, func(ctx context.Context, c *client.Client) error {
		return c.ImageTag(ctx, id, ref)
	})
	if errdefs.IsNotFound(err) && !errors.Is(err, reconcile.ErrImageMissing) {
		return fmt.Errorf("%w: %w", reconcile.ErrImageMissing, err)
	}
	return err
}

// Untag removes ref, and the image with its last name. Where that would take the
// image from a container, the error is ErrImageInUse. A ref that is gone is a
// success.
func (e *Engine) Untag(ctx context.Context, ref string) error {
	err := e.do(ctx, "untag "+ref, func(ctx context.Context, c *client.Client) error {
		_, err := c.ImageRemove(ctx, ref, image.RemoveOptions{Force: false, PruneChildren: true})
		return err
	})
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err):
		return fmt.Errorf("%w: %w", ErrImageInUse, err)
	}
	return err
}

// RemoveImage removes an image under all its names, unless a container uses it:
// then nothing changes and the error is ErrImageInUse. One that is gone is a
// success.
func (e *Engine) RemoveImage(ctx context.Context, id string) error {
	var names []string
	err := e.do(ctx, "look at image "+id, func(ctx context.Context, c *client.Client) error {
		found, err := c.ImageInspect(ctx, id)
		if err != nil {
			return err
		}
		users, err := c.ContainerList(ctx, container.ListOptions{
			All: true, Limit: 1, Filters: filters.NewArgs(filters.Arg("ancestor", found.ID)),
		})
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return fmt.Errorf("%w by container %.12s", ErrImageInUse, users[0].ID)
		}
		names = append(slices.Clone(found.RepoTags), found.RepoDigests...)
		return nil
	})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range append(names, id) { // the ID, for an image without a name
		if err := e.Untag(ctx, name); err != nil {
			return fmt.Errorf("remove image %s: %w", id, err)
		}
	}
	return nil
}

// KeepTags returns the tags that begin with KeepPrefix and the image ID of each.
func (e *Engine) KeepTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, KeepPrefix)
}

// BuildTags returns the tags that begin with compose.BuildTagPrefix and the image
// ID of each.
func (e *Engine) BuildTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, compose.BuildTagPrefix)
}

func (e *Engine) tagsBelow(ctx context.Context, prefix string) (map[string]string, error) {
	// The filter's star does not cross a slash.
	patterns := filters.NewArgs()
	for depth := 1; depth <= 4; depth++ {
		patterns.Add("reference", prefix+strings.TrimSuffix(strings.Repeat("*/", depth), "/"))
	}
	found := map[string]string{}
	err := e.do(ctx, "list tags below "+prefix, func(ctx context.Context, c *client.Client) error {
		all, err := c.ImageList(ctx, image.ListOptions{Filters: patterns})
		for _, i := range all {
			for _, tag := range i.RepoTags {
				if strings.HasPrefix(tag, prefix) {
					found[tag] = i.ID
				}
			}
		}
		return err
	})
	return found, err
}
