package traffic

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Balancer is whoever carries a table out: the edge, or a load balancer that the host
// has already.
type Balancer interface {
	// Apply returns when the table holds for everything that begins from now on.
	Apply(ctx context.Context, t Table) error
	// InFlight is what the replicas of t still have to do, by container. A balancer
	// that cannot count says 1 for something and 0 for nothing.
	InFlight(ctx context.Context, t Table) (map[string]int64, error)
}

// upstream is a port of a service as the balancers of others have it.
type upstream struct {
	// name is "davit_shop_web_8080", after the port of the container. The operator
	// writes what passes to it.
	name     string
	affinity Affinity
	ends     []Backend
	// shares are the weights of those that serve, by container; see Port.shares.
	shares map[string]int
}

// upstreams are those of t, by name. One port of a container that is published twice is
// there once.
func (t Table) upstreams(heaviest int) []upstream {
	byName := map[string]upstream{}
	for _, p := range t.Ports {
		own := map[string]upstream{}
		for _, b := range p.Backends {
			name := fmt.Sprintf("davit_%s_%s_%d", p.Stack, p.Service, b.Address.Port())
			u, known := own[name]
			if !known {
				u = upstream{name: name, affinity: p.Affinity, shares: p.shares(heaviest)}
			}
			u.ends = append(u.ends, b)
			own[name] = u
		}
		maps.Copy(byName, own)
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b upstream) int { return cmp.Compare(a.name, b.name) })
}

// shares are weights for the backends of p, from 1 to highest, so that together those
// of one release get what the table gives that release: a balancer of others knows
// servers only. A backend that gets nothing is not in it.
func (p Port) shares(highest int) map[string]int {
	count := map[int64]int{}
	for _, b := range p.Backends {
		if b.Drain == nil {
			count[b.Release]++
		}
	}
	parts, most := map[string]float64{}, 0.0
	for _, b := range p.Backends {
		weight := 1.0
		if len(p.Weights) > 0 {
			weight = float64(p.Weights[b.Release]) / float64(count[b.Release])
		}
		if b.Drain == nil && weight > 0 {
			parts[b.Container] = weight
			most = max(most, weight)
		}
	}
	out := map[string]int{}
	for container, part := range parts {
		out[container] = highest
		if len(p.Weights) > 0 {
			out[container] = max(1, int(math.Round(part/most*float64(highest))))
		}
	}
	return out
}
