package enginetest

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/reconcile"
)

// Join gives the container its discovery names in every network of the service:
// out and in again, as the engine has no other way. Both halves can be
// interrupted; a repeated Join mends what is left.
func (e *Engine) Join(ctx context.Context, id string, p *compose.Project, s compose.Service) error {
	return e.introduce(ctx, id, p, s, func(key, own string) []string { return discovery(s.Config, key, own) })
}

// Leave takes the discovery names away again.
func (e *Engine) Leave(ctx context.Context, id string, p *compose.Project, s compose.Service) error {
	return e.introduce(ctx, id, p, s, func(string, string) []string { return nil })
}

func (e *Engine) introduce(ctx context.Context, id string, p *compose.Project, s compose.Service, names func(key, own string) []string) error {
	for _, key := range slices.Sorted(maps.Keys(s.Config.Networks)) {
		if err := e.introduceTo(ctx, id, networkName(p.Model, key), func(own string) []string { return names(key, own) }); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) introduceTo(ctx context.Context, id, network string, names func(own string) []string) error {
	var before reconcile.Endpoint
	var plugged, done bool
	var want []string
	err := e.read(ctx, "join "+network, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		before, plugged = c.face.Endpoints[network]
		want = names(c.face.Name)
		done = plugged && contains(before.Aliases, want) && contains(want, before.Aliases)
		return nil
	})
	if err != nil || done {
		return err
	}
	if plugged {
		if err := e.disconnect(ctx, id, network); err != nil {
			return err
		}
	}
	return e.connect(ctx, id, network, reconcile.Endpoint{Aliases: want, IP: before.IP})
}

func (e *Engine) disconnect(ctx context.Context, id, network string) error {
	return e.mutate(ctx, Op{Kind: OpDisconnect, Target: e.nameOf(id), Detail: network}, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		delete(c.face.Endpoints, network)
		e.announce(event{network: true, container: c, action: "disconnect"})
		return nil
	})
}

func (e *Engine) connect(ctx context.Context, id, network string, end reconcile.Endpoint) error {
	return e.mutate(ctx, Op{Kind: OpConnect, Target: e.nameOf(id), Detail: network}, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		n, ok := e.networks[network]
		if !ok {
			return fmt.Errorf("network %s not found", network)
		}
		end.NetworkID = n.ID
		c.face.Endpoints[network] = end
		if c.face.Running() {
			e.address(c)
		}
		e.announce(event{network: true, container: c, action: "connect"})
		return nil
	})
}

// discovery is every name by which a replica is found in a network.
func discovery(cfg types.ServiceConfig, key, name string) []string {
	if cfg.ContainerName != "" {
		name = cfg.ContainerName
	}
	names := []string{name}
	n := cfg.Networks[key]
	if n.ServiceNameAliasEnabled() {
		names = append(names, cfg.Name)
	}
	if n != nil {
		names = append(names, n.Aliases...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func contains(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// SetRestart sets the restart policy.
func (e *Engine) SetRestart(ctx context.Context, id, policy string) error {
	return e.mutate(ctx, Op{Kind: OpPolicy, Target: e.nameOf(id), Detail: policy}, func(time.Time) error {
		if !regexp.MustCompile(`^(no|always|unless-stopped|on-failure(:\d+)?)$`).MatchString(policy) {
			return fmt.Errorf("unknown restart policy %q", policy)
		}
		c, err := e.get(id)
		if err != nil {
			return err
		}
		c.face.Restart = policy
		e.tell(c, "update", false)
		return nil
	})
}

// Rename gives the container another name; its own is a success.
func (e *Engine) Rename(ctx context.Context, id, name string) error {
	return e.mutate(ctx, Op{Kind: OpRename, Target: e.nameOf(id), Detail: name}, func(time.Time) error {
		c, err := e.get(id)
		if err != nil {
			return err
		}
		for _, other := range e.containers {
			if other != c && other.face.Name == name {
				return fmt.Errorf("the name is taken by container %.12s of %s/%s", other.face.ID, other.face.Stack, other.face.Service)
			}
		}
		c.face.Name = name
		e.tell(c, "rename", false)
		return nil
	})
}
