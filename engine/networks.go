package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/client"

	"davit/compose"
	"davit/reconcile"
)

// CreateNetwork makes the network that key means in the project, unless it is
// there. An external one must be there and is never made.
func (e *Engine) CreateNetwork(ctx context.Context, p *compose.Project, key string) error {
	declared, ok := p.Model.Networks[key]
	if !ok {
		return fmt.Errorf("create network: project %s has no network %q", p.Name, key)
	}
	name := networkName(p.Model, key)
	// An engine before API 1.44 makes two networks of one name without a word.
	e.making.Lock()
	defer e.making.Unlock()
	found, err := e.networksCalled(ctx, name, bool(declared.External))
	if err != nil {
		return err
	}
	switch {
	case len(found) > 1:
		return reconcile.WithHint(fmt.Errorf("create network %s: there are %d networks of that name", name, len(found)),
			"docker network ls --no-trunc -f name=%s shows them; remove all but one by ID", name)
	case bool(declared.External) && len(found) == 0 && e.swarming(ctx):
		return nil // a swarm tells a node of a network once it is used there
	case bool(declared.External) && len(found) == 0:
		return reconcile.WithHint(fmt.Errorf("external network %s not found", name), "create it with: docker network create %s", name)
	case len(found) == 0:
		return e.makeNetwork(ctx, p, key, name)
	}
	owner := found[0].Labels[labelProject]
	if !declared.External && owner != "" && owner != p.Name {
		return reconcile.WithHint(fmt.Errorf("create network %s: it belongs to project %q", name, owner),
			"declare it as external: true to share it")
	}
	return nil
}

// networksCalled lists the networks of exactly that name. An external one may be
// named by its ID too.
func (e *Engine) networksCalled(ctx context.Context, name string, orID bool) ([]network.Summary, error) {
	var exact []network.Summary
	err := e.do(ctx, "list networks", func(ctx context.Context, c *client.Client) error {
		all, err := c.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", name))})
		if err != nil {
			return err
		}
		for _, n := range all {
			if n.Name == name {
				exact = append(exact, n)
			}
		}
		if len(exact) > 0 || !orID {
			return nil
		}
		n, err := c.NetworkInspect(ctx, name, network.InspectOptions{})
		if err == nil && n.ID == name {
			exact = append(exact, n)
		}
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
	return exact, err
}

func (e *Engine) swarming(ctx context.Context) bool {
	active := false
	err := e.do(ctx, "ask for the swarm", func(ctx context.Context, c *client.Client) error {
		info, err := c.Info(ctx)
		active = info.Swarm.LocalNodeState == swarm.LocalNodeStateActive
		return err
	})
	return err == nil && active
}

func (e *Engine) makeNetwork(ctx context.Context, p *compose.Project, key, name string) error {
	declared := p.Model.Networks[key]
	options := network.CreateOptions{
		Driver: declared.Driver, Options: declared.DriverOpts, Internal: declared.Internal, Attachable: declared.Attachable,
		EnableIPv4: declared.EnableIPv4, EnableIPv6: declared.EnableIPv6,
		IPAM: ipam(declared.Ipam), Labels: networkLabels(p, key, e.instance),
	}
	err := e.do(ctx, "create network "+name, func(ctx context.Context, c *client.Client) error {
		err := refuse("network "+key, networkGates(declared), c.ClientVersion())
		if err == nil {
			_, err = c.NetworkCreate(ctx, name, options)
		}
		return err
	})
	if err != nil && exhausted(err.Error()) {
		return reconcile.WithHint(err, `Docker's default address pools end near 31 networks: remove unused ones, or widen the pools in /etc/docker/daemon.json, for example {"default-address-pools": [{"base": "10.200.0.0/16", "size": 24}]}, and restart Docker`)
	}
	if errdefs.IsConflict(err) { // somebody else was faster
		if found, look := e.networksCalled(ctx, name, false); look == nil && len(found) == 1 {
			return nil
		}
	}
	return err
}

func exhausted(text string) bool {
	return strings.Contains(text, "non-overlapping IPv4 address pool") ||
		strings.Contains(text, "predefined address pools have been fully subnetted")
}

func ipam(declared types.IPAMConfig) *network.IPAM {
	if declared.Driver == "" && len(declared.Config) == 0 && len(declared.Options) == 0 {
		return nil
	}
	i := &network.IPAM{Driver: declared.Driver, Options: declared.Options}
	for _, pool := range declared.Config {
		i.Config = append(i.Config, network.IPAMConfig{
			Subnet: pool.Subnet, IPRange: pool.IPRange, Gateway: pool.Gateway, AuxAddress: pool.AuxiliaryAddresses,
		})
	}
	return i
}

// subnetted reports whether the user chose an address range.
func subnetted(pools []*types.IPAMPool) bool {
	for _, p := range pools {
		if p.Subnet != "" {
			return true
		}
	}
	return false
}

// RemoveNetwork removes a network that nothing uses. One that is gone is a
// success.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	err := e.do(ctx, "remove network "+id, func(ctx context.Context, c *client.Client) error {
		return c.NetworkRemove(ctx, id)
	})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
