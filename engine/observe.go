package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"davit/reconcile"
)

// inspectors is how many inspects run at once.
const inspectors = 4

// Observe takes one snapshot of every container of a Compose project, of the
// volumes they mount and of every network: two lists, and an inspect of what may
// have changed.
func (e *Engine) Observe(ctx context.Context) (reconcile.Observed, error) {
	o := reconcile.Observed{At: time.Now()}
	var rows []container.Summary
	err := e.do(ctx, "list containers", func(ctx context.Context, c *client.Client) (err error) {
		rows, err = c.ContainerList(ctx, container.ListOptions{
			All: true, Filters: filters.NewArgs(filters.Arg("label", labelProject)),
		})
		return err
	})
	if err != nil {
		return reconcile.Observed{}, err
	}
	if o.Networks, err = e.networks(ctx); err != nil {
		return reconcile.Observed{}, err
	}
	if o.Apart, err = e.apart(ctx); err != nil {
		return reconcile.Observed{}, err
	}
	if o.Containers, err = e.look(ctx, rows, o.At); err != nil {
		return reconcile.Observed{}, err
	}
	if o.Volumes, err = e.volumes.look(ctx, e, o.Containers); err != nil {
		return reconcile.Observed{}, err
	}
	e.seen.keepOnly(rows)
	e.ours.keepOnly(o.Containers)
	e.exams.keepOnly(rows, o.At)
	e.lingerers.keepOnly(rows, o.At)
	for i, c := range o.Containers {
		o.Containers[i].StopByHand, o.Containers[i].StopsByHand = e.ours.ended(c), e.ours.ending(c, o.At) // not a thing to remember
		o.Containers[i].Health = e.exams.health(c)
	}
	identify(o.Containers, o.Networks)
	slices.SortFunc(o.Containers, func(a, b reconcile.Container) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return o, nil
}

// look inspects the containers of a list that are not remembered. One that
// vanished meanwhile is left out.
func (e *Engine) look(ctx context.Context, rows []container.Summary, at time.Time) ([]reconcile.Container, error) {
	var mu sync.Mutex
	var all []reconcile.Container
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inspectors)
	for _, row := range rows {
		if known, ok := e.seen.get(row, at); ok {
			mu.Lock()
			all = append(all, known)
			mu.Unlock()
			continue
		}
		group.Go(func() error {
			c, err := e.Inspect(ctx, row.ID)
			if errors.Is(err, reconcile.ErrContainerMissing) {
				return nil
			}
			if err != nil {
				return err
			}
			e.seen.put(row, c, at)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, c)
			return nil
		})
	}
	return all, group.Wait()
}

// networks lists all of them, because a stack may name any as external.
func (e *Engine) networks(ctx context.Context) ([]reconcile.Network, error) {
	var all []reconcile.Network
	err := e.do(ctx, "list networks", func(ctx context.Context, c *client.Client) error {
		rows, err := c.NetworkList(ctx, network.ListOptions{})
		for _, n := range rows {
			all = append(all, reconcile.Network{
				ID: n.ID, Name: n.Name, Stack: n.Labels[labelProject], Key: n.Labels[labelNetwork], Instance: n.Labels[labelInstance],
				ConfigHash: n.Labels[labelConfigHash], Unreachable: reconcile.Unreachable(n.Driver, n.Options),
			})
		}
		return err
	})
	slices.SortFunc(all, func(a, b reconcile.Network) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

// identify fills in the networks' IDs of containers that were never started,
// where some engines know the network by name only.
func identify(containers []reconcile.Container, networks []reconcile.Network) {
	ids := map[string]string{}
	for _, n := range networks {
		ids[n.Name] = n.ID
	}
	for _, c := range containers {
		for name, end := range c.Endpoints {
			end.NetworkID = or(end.NetworkID, ids[name])
			c.Endpoints[name] = end
		}
	}
}
