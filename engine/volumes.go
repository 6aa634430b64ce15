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
// there. An external one must be there and is never made. One that is declared
// otherwise than it was made is an error: nothing here changes or removes a
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
	return reusable(p, key, found)
}

// reusable says why the volume that is there is not the one that is declared.
func reusable(p *compose.Project, key string, found volume.Volume) error {
	if owner := found.Labels[labelProject]; !p.Model.Volumes[key].External && owner != "" && owner != p.Name {
		return reconcile.WithHint(fmt.Errorf("create volume %s: it belongs to project %q", found.Name, owner),
			"declare it as external: true to share it")
	}
	change := p.VolumeChange(key, compose.MadeVolume{
		Driver: found.Driver, Options: found.Options, Labels: found.Labels, Hash: found.Labels[labelConfigHash],
	})
	if change == "" {
		return nil
	}
	return reconcile.WithHint(fmt.Errorf("volume %s is not as it is declared: %s", found.Name, change),
		"a volume cannot be changed, and is never made anew: declare it as it is, or give it another name and copy the data")
}
