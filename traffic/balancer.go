package traffic

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"davit/reconcile"
)

// Balancer drives a load balancer that the host has already.
type Balancer interface {
	// Apply returns when the table holds for everything that begins from now on.
	Apply(ctx context.Context, t Table) error
	// Look is how it stands to t.
	Look(ctx context.Context, t Table) (Standing, error)
}

// ErrBalancerAway: nobody answers for the load balancer.
var ErrBalancerAway = errors.New("it does not run, or does not let davit in")

// Standing is how a load balancer stands to a table.
type Standing struct {
	// Holds is true when it does just what the table says.
	Holds bool
	// InFlight is what the table's replicas still have to do, by container. A balancer
	// that cannot count says 1 for something and 0 for nothing.
	InFlight map[string]int64
	// Backends are those that its own configuration has, nil where it needs none.
	Backends []string
}

// group is a port of a service as the balancers of others have it.
type group struct {
	// name is "davit.shop.web.8080", after the port of the container. The operator
	// writes what passes to it.
	name     string
	affinity Affinity
	ends     []Backend
	// shares are the weights of those that serve, by container; see Port.shares.
	shares map[string]int
}

// groups are those of t, by name.
func (t Table) groups(heaviest int) []group {
	var out []group
	for _, p := range t.Ports {
		out = append(out, group{
			name: reconcile.BackendName(p.Stack, p.Service, p.Target), affinity: p.Affinity, ends: p.Backends, shares: p.shares(heaviest),
		})
	}
	slices.SortFunc(out, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	return out
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
