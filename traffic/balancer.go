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

// group is a port of a service as the balancers of others have it.
type group struct {
	// name is "davit_shop_web_8080", after the port of the container. The operator
	// writes what passes to it.
	name     string
	affinity Affinity
	ends     []Backend
	// shares are the weights of those that serve, by container; see Port.shares.
	shares map[string]int
}

// groups are those of t, by name. One port of a container that is published twice is
// there once.
func (t Table) groups(heaviest int) []group {
	byName := map[string]group{}
	for _, p := range t.Ports {
		own := map[string]group{}
		for _, b := range p.Backends {
			name := fmt.Sprintf("davit_%s_%s_%d", p.Stack, p.Service, b.Address.Port())
			g, known := own[name]
			if !known {
				g = group{name: name, affinity: p.Affinity, shares: p.shares(heaviest)}
			}
			g.ends = append(g.ends, b)
			own[name] = g
		}
		maps.Copy(byName, own)
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b group) int { return cmp.Compare(a.name, b.name) })
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
