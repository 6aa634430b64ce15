package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"davit/compose"
)

// Join gives the container its discovery names in every network of the service.
// The engine cannot change an endpoint, so the container leaves the network and
// comes back: a tenth of a second without it, which an idle replica can afford.
// A network where it has the names already is left alone.
func (e *Engine) Join(ctx context.Context, id string, p *compose.Project, s compose.Service) error {
	return e.introduce(ctx, id, p, s, func(key, own string) []string { return discovery(s.Config, key, own) })
}

// Leave takes the discovery names from a stopped container, so that it can start
// again without being found before it is ready.
func (e *Engine) Leave(ctx context.Context, id string, p *compose.Project, s compose.Service) error {
	return e.introduce(ctx, id, p, s, func(string, string) []string { return nil })
}

// introduce makes the container known by exactly the names given for each network
// of the service, the engine's own aside.
func (e *Engine) introduce(ctx context.Context, id string, p *compose.Project, s compose.Service, names func(key, own string) []string) error {
	if s.Config.NetworkMode != "" {
		return nil
	}
	found, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	defer e.seen.forget(found.ID)
	own := or(s.Config.ContainerName, strings.TrimPrefix(found.Name, "/"))
	for i, key := range s.Config.NetworksByPriority() {
		move := relocation{id: found.ID, network: networkName(p.Model, key), before: plugged(found, networkName(p.Model, key))}
		want := names(key, own)
		if move.before != nil && has(move.before.Aliases, want) && !surplus(move.before.Aliases, want, discovery(s.Config, key, own)) {
			continue
		}
		move.after = settings(s.Config.Networks[key], want)
		move.after.Links = linksOf(found)
		if i == 0 {
			move.after.MacAddress = or(move.after.MacAddress, s.Config.MacAddress)
		}
		declared := p.Model.Networks[key]
		if bool(declared.External) || subnetted(declared.Ipam.Config) {
			move.keepAddress()
		}
		if err := e.relocate(ctx, move); err != nil {
			return fmt.Errorf("join container %.12s to network %s: %w", id, move.network, err)
		}
	}
	return nil
}

// linksOf are the links that the container was made with: every endpoint has them,
// so that one which was lost can be made again.
func linksOf(c container.InspectResponse) []string {
	if c.NetworkSettings == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		if end := c.NetworkSettings.Networks[name]; end != nil && len(end.Links) > 0 {
			return end.Links
		}
	}
	return nil
}

// surplus reports whether have includes a discovery name that is not wanted.
func surplus(have, want, discovery []string) bool {
	return slices.ContainsFunc(discovery, func(name string) bool {
		return slices.Contains(have, name) && !slices.Contains(want, name)
	})
}

// relocation is one container's move from and to the same network.
type relocation struct {
	id, network string
	before      *network.EndpointSettings // nil when it is not plugged in
	after       *network.EndpointSettings
	kept        bool // the address was asked for, not declared
}

func plugged(c container.InspectResponse, name string) *network.EndpointSettings {
	if c.NetworkSettings == nil {
		return nil
	}
	return c.NetworkSettings.Networks[name]
}

func has(have, want []string) bool {
	return !slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(have, name) })
}

// keepAddress asks for the address that the container has, which the engine
// grants only in a network with a subnet of the user's choice.
func (r *relocation) keepAddress() {
	if r.before == nil || r.before.IPAddress == "" {
		return
	}
	if r.after.IPAMConfig == nil {
		r.after.IPAMConfig = &network.EndpointIPAMConfig{}
	}
	if r.after.IPAMConfig.IPv4Address == "" {
		r.after.IPAMConfig.IPv4Address, r.kept = r.before.IPAddress, true
	}
}

// relocate moves the container, and puts it back as it was when that fails. Once
// it is out of the network it is brought back in, whatever becomes of ctx.
func (e *Engine) relocate(ctx context.Context, r relocation) error {
	if r.before == nil {
		return e.plug(ctx, r.id, r.network, r.after)
	}
	err := e.do(ctx, "disconnect", func(ctx context.Context, c *client.Client) error {
		return c.NetworkDisconnect(ctx, r.network, r.id, false)
	})
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		// The reply may be lost and the work done: look before leaving it at that.
		if now, look := e.inspect(ctx, r.id); look != nil || plugged(now, r.network) != nil {
			return err
		}
	}
	err = e.plug(ctx, r.id, r.network, r.after)
	if err != nil && r.kept {
		r.after.IPAMConfig.IPv4Address = ""
		err = e.plug(ctx, r.id, r.network, r.after)
	}
	if err != nil {
		return errors.Join(err, e.plugBack(ctx, r))
	}
	e.compareAddress(ctx, r)
	return nil
}

func (e *Engine) plug(ctx context.Context, id, name string, s *network.EndpointSettings) error {
	err := e.do(ctx, "connect", func(ctx context.Context, c *client.Client) error {
		return c.NetworkConnect(ctx, name, id, s)
	})
	if err == nil {
		return nil
	}
	if now, look := e.inspect(ctx, id); look == nil {
		if end := plugged(now, name); end != nil && has(end.Aliases, s.Aliases) {
			return nil
		}
	}
	return err
}

func (e *Engine) plugBack(ctx context.Context, r relocation) error {
	back := &network.EndpointSettings{Aliases: r.before.Aliases, Links: r.before.Links, DriverOpts: r.before.DriverOpts, IPAMConfig: r.before.IPAMConfig}
	if err := e.plug(ctx, r.id, r.network, back); err != nil {
		return fmt.Errorf("and it is out of the network now: %w", err)
	}
	return nil
}

func (e *Engine) compareAddress(ctx context.Context, r relocation) {
	if r.before.IPAddress == "" {
		return
	}
	now, err := e.inspect(ctx, r.id)
	if err != nil {
		return // the caller's next look says so too
	}
	if end := plugged(now, r.network); end != nil && end.IPAddress != r.before.IPAddress {
		e.log.Warn("a container changed its address when it joined", "container", r.id, "network", r.network,
			"from", r.before.IPAddress, "to", end.IPAddress)
	}
}
