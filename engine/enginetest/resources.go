package enginetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// volume is a volume as it was made, unnamed where the engine made up its name.
type volume struct {
	face    reconcile.Volume
	made    compose.MadeVolume
	unnamed bool
}

// unlabelled is a volume that nobody declared.
func unlabelled(name string) volume {
	return volume{face: reconcile.Volume{Name: name}, made: compose.MadeVolume{Driver: "local"}}
}

// CreateNetwork makes the network that key means in the project, unless it is
// there. An external one must be there.
func (e *Engine) CreateNetwork(ctx context.Context, p *compose.Project, key string) error {
	name := networkName(p.Model, key)
	return e.mutate(ctx, Op{Kind: OpCreateNetwork, Target: name}, func(time.Time) error {
		declared, ok := p.Model.Networks[key]
		if !ok {
			return fmt.Errorf("the project has no network %q", key)
		}
		if _, ok := e.networks[name]; ok {
			return nil
		}
		if declared.External {
			return reconcile.WithHint(fmt.Errorf("external network %s not found", name), "create it with: docker network create %s", name)
		}
		e.networks[name] = &reconcile.Network{
			ID: e.newID("network"), Name: name, Stack: p.Name, Key: key, Instance: e.instance,
			ConfigHash: p.NetworkHash(key), Unreachable: reconcile.Unreachable(declared.Driver, declared.DriverOpts),
		}
		return nil
	})
}

// RemoveNetwork removes a network that nothing is plugged into. One that is gone
// is a success.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return e.mutate(ctx, Op{Kind: OpRemoveNetwork, Target: id}, func(time.Time) error {
		for name, n := range e.networks {
			if n.ID != id {
				continue
			}
			for _, c := range e.containers {
				if _, ok := c.face.Endpoints[name]; ok && c.face.Running() {
					return errors.New("the network has active endpoints")
				}
			}
			delete(e.networks, name)
			return nil
		}
		return nil
	})
}

// CreateVolume makes the volume that key means in the project, unless it is
// there. An external one must be there.
func (e *Engine) CreateVolume(ctx context.Context, p *compose.Project, key string) error {
	name := volumeName(p.Model, key)
	return e.mutate(ctx, Op{Kind: OpCreateVolume, Target: name}, func(time.Time) error {
		declared, ok := p.Model.Volumes[key]
		if !ok {
			return fmt.Errorf("the project has no volume %q", key)
		}
		if there, ok := e.volumes[name]; ok {
			if change := p.VolumeChange(key, there.made); change != "" {
				return reconcile.WithHint(fmt.Errorf("volume %s is not as it is declared: %s", name, change), "a volume cannot be changed")
			}
			return nil
		}
		if declared.External {
			return reconcile.WithHint(fmt.Errorf("external volume %s not found", name), "create it with: docker volume create %s", name)
		}
		driver := declared.Driver
		if driver == "" {
			driver = "local"
		}
		hash := p.VolumeHash(key)
		e.volumes[name] = volume{
			face: reconcile.Volume{Name: name, Stack: p.Name, Key: key, ConfigHash: hash},
			made: compose.MadeVolume{Driver: driver, Options: declared.DriverOpts, Labels: declared.Labels, Hash: hash},
		}
		return nil
	})
}

// AddNetwork makes a network that no stack owns, and returns its ID.
func (e *Engine) AddNetwork(name string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &reconcile.Network{ID: e.newID("network"), Name: name}
	e.networks[name] = n
	return n.ID
}

// AddVolume makes a volume that no stack owns.
func (e *Engine) AddVolume(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.volumes[name] = unlabelled(name)
}

// AddContainer puts a container there as somebody else made it, gives it an ID
// if it has none, and returns that. Its image's behaviour is looked up by ID.
func (e *Engine) AddContainer(c reconcile.Container) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.add(c)
}

// add makes a container that looks like c. The caller holds the lock.
func (e *Engine) add(c reconcile.Container) string {
	if c.ID == "" {
		c.ID = e.newID("container")
	}
	made := &container{face: c, behaviour: e.images.local[c.ImageID].behaviour, grace: 10 * time.Second}
	if c.Hook.Phase.OfRelease() {
		made.behaviour = made.behaviour.hook(c.Hook)
	}
	made.ports = given(c.Published)
	made.face = made.snapshot()
	made.checked = c.Health != reconcile.HealthNone
	made.ever = c.State != reconcile.Created
	for _, name := range c.Volumes {
		if _, ok := e.volumes[name]; !ok {
			e.volumes[name] = unlabelled(name)
		}
		made.mounts = append(made.mounts, name)
	}
	for _, m := range c.Mounts {
		if m.Kind == reconcile.MountBind && m.Writable {
			made.mounts = append(made.mounts, m.Source)
		}
	}
	e.containers[c.ID] = made
	if c.Running() {
		e.address(made)
	}
	e.writers.record(e.containers)
	return c.ID
}
