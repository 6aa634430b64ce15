package enginetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"davit/reconcile"
)

// Observe is one snapshot of every container, of the named volumes they mount, and
// of every network.
func (e *Engine) Observe(ctx context.Context) (reconcile.Observed, error) {
	var o reconcile.Observed
	err := e.read(ctx, "observe", func(now time.Time) error {
		o.At = now
		for _, c := range e.containers {
			o.Containers = append(o.Containers, c.snapshot())
		}
		for _, n := range e.networks {
			o.Networks = append(o.Networks, *n)
		}
		o.Volumes = e.mountedVolumes()
		return nil
	})
	slices.SortFunc(o.Containers, byName)
	slices.SortFunc(o.Networks, func(a, b reconcile.Network) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return o, err
}

// mountedVolumes are sorted by name; what the engine made up is no name.
func (e *Engine) mountedVolumes() []reconcile.Volume {
	used := map[string]reconcile.Volume{}
	for _, c := range e.containers {
		for _, name := range c.face.Volumes {
			if v, ok := e.volumes[name]; ok && !v.unnamed {
				used[name] = v.face
			}
		}
	}
	return slices.SortedFunc(maps.Values(used), func(a, b reconcile.Volume) int { return cmp.Compare(a.Name, b.Name) })
}

// Inspect looks at one container.
func (e *Engine) Inspect(ctx context.Context, id string) (reconcile.Container, error) {
	var seen reconcile.Container
	err := e.read(ctx, "inspect container "+id, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		seen = c.snapshot()
		return nil
	})
	return seen, err
}

// Evidence is the container's last health verdict and the end of its log.
func (e *Engine) Evidence(ctx context.Context, id string, lines int) (string, error) {
	var text string
	err := e.read(ctx, "read log of container "+id, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		if c.checked && c.ever {
			text = "last health check: " + c.face.Health.String() + "\n"
		}
		if c.ever {
			all := strings.Split(strings.TrimSuffix(c.behaviour.Log, "\n"), "\n")
			text += strings.Join(all[max(0, len(all)-lines):], "\n")
		}
		return nil
	})
	return text, err
}
