package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"davit/compose"
	"davit/reconcile"
)

// CreateVolume makes the volume that key means in the project, unless it is
// there. An external one must be there and is never made. Nothing here removes a
// volume.
func (e *Engine) CreateVolume(ctx context.Context, p *compose.Project, key string) error {
	declared, ok := p.Model.Volumes[key]
	if !ok {
		return fmt.Errorf("create volume: project %s has no volume %q", p.Name, key)
	}
	name := volumeName(p.Model, key)
	e.making.Lock()
	defer e.making.Unlock()
	var found volume.Volume
	err := e.do(ctx, "inspect volume "+name, func(ctx context.Context, c *client.Client) (err error) {
		found, err = c.VolumeInspect(ctx, name)
		return err
	})
	missing := errdefs.IsNotFound(err)
	switch {
	case err != nil && !missing:
		return err
	case missing && bool(declared.External):
		return reconcile.WithHint(fmt.Errorf("external volume %s not found", name), "create it with: docker volume create %s", name)
	case missing:
		return e.do(ctx, "create volume "+name, func(ctx context.Context, c *client.Client) error {
			_, err := c.VolumeCreate(ctx, volume.CreateOptions{
				Name: name, Driver: declared.Driver, DriverOpts: declared.DriverOpts, Labels: volumeLabels(p, key, e.instance),
			})
			return err
		})
	}
	if owner := found.Labels[labelProject]; !declared.External && owner != "" && owner != p.Name {
		return reconcile.WithHint(fmt.Errorf("create volume %s: it belongs to project %q", name, owner),
			"declare it as external: true to share it")
	}
	return nil
}
