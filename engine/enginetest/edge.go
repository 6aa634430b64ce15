package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"davit/reconcile"
)

// Edge is an edge in memory, on the host of a twin: the two cannot have one port.
// Every container that it hands work to is busy, and for as long as Work after it was
// drained.
type Edge struct {
	engine *Engine
	// Work is how long requests take to end once nothing new begins. It is set before
	// the edge is used.
	Work time.Duration
	// Late is how long after the end of a drain it cuts off what is left; set as Work is.
	Late time.Duration
	// Taken are ports that another program has; set as Work is.
	Taken []reconcile.HostPort

	// What follows is under the engine's lock.
	table reconcile.EdgeTable
	away  bool
	// since is when it began; ejected are replicas that it passes over, and why, by name;
	// parked are ports at which clients wait, and since when.
	since   time.Time
	ejected map[string]string
	parked  map[reconcile.HostPort]time.Time
	// balancers stand beside it.
	balancers []reconcile.Balancer
	// applied counts the tables that were accepted.
	applied int
	// wrongs are containers that were asked to stop while they were busy.
	wrongs []string
	crowds []*crowd
}

// NewEdge puts an edge on the host of e.
func NewEdge(e *Engine) *Edge {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.edge = &Edge{engine: e, Work: time.Second, since: e.now(), ejected: map[string]string{}, parked: map[reconcile.HostPort]time.Time{}}
	return e.edge
}

// Look implements reconcile.Edge.
func (x *Edge) Look(ctx context.Context) (reconcile.EdgeTable, error) {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	if err := x.unavailable(ctx); err != nil {
		return reconcile.EdgeTable{}, err
	}
	t := copied(x.table)
	t.Closed, t.Since = x.closed(), x.since
	if x.balancers != nil {
		t.Balancers = x.balancers
	}
	for h, since := range x.parked {
		if t.Parked == nil {
			t.Parked = map[reconcile.HostPort]reconcile.Parking{}
		}
		t.Parked[h] = reconcile.Parking{Since: since, Limit: 10 * time.Second, Waiting: 1}
	}
	now := x.engine.now()
	for _, r := range t.Routes {
		for i := range r.Members {
			r.Members[i].Requests = x.busy(r.Members[i], now)
			r.Members[i].Ejected = x.ejected[r.Members[i].Name]
		}
	}
	return t, nil
}

// Apply implements reconcile.Edge. It can be interrupted as a mutation of the engine
// can.
func (x *Edge) Apply(ctx context.Context, t reconcile.EdgeTable) error {
	op := Op{Kind: OpApply, Target: fmt.Sprint(t.Generation)}
	if err := x.engine.interrupted(op, Before); err != nil {
		return err
	}
	err := x.apply(ctx, t)
	if err := x.engine.interrupted(op, After); err != nil {
		return err
	}
	return err
}

func (x *Edge) apply(ctx context.Context, t reconcile.EdgeTable) error {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	if err := x.unavailable(ctx); err != nil {
		return err
	}
	x.engine.settle(x.engine.now())
	if t.Generation <= x.table.Generation {
		return fmt.Errorf("generation %d is not newer than %d", t.Generation, x.table.Generation)
	}
	if err := x.possible(t); err != nil {
		return err
	}
	x.weigh(t)
	x.dial(t)
	x.table = copied(t)
	x.applied++
	return nil
}

// weigh takes note of members that get more of what is shared out though they are not
// ready.
func (x *Edge) weigh(t reconcile.EdgeTable) {
	for _, r := range t.Routes {
		before, _ := x.table.Route(r.Stack, r.Service)
		for _, m := range r.Members {
			c, there := x.engine.containers[m.Container]
			ready := there && c.face.Running() && c.well(x.engine.now())
			had := slices.ContainsFunc(before.Members, func(o reconcile.Member) bool { return o.Container == m.Container && o.Draining.IsZero() })
			more := !had || r.Weights[m.Release] > before.Weights[m.Release]
			if len(r.Weights) > 0 && m.Draining.IsZero() && r.Weights[m.Release] > 0 && more && !ready {
				x.wrongs = append(x.wrongs, m.Name+" was given weight and is not ready")
			}
		}
	}
}

// dial takes note of members that get something new at a port that their container was
// not made to serve: nobody may be there who answers.
func (x *Edge) dial(t reconcile.EdgeTable) {
	for _, r := range t.Routes {
		for _, m := range r.Members {
			c, there := x.engine.containers[m.Container]
			if !there || !m.Draining.IsZero() {
				continue
			}
			for _, p := range r.Ports {
				if !slices.Contains(c.face.Edge, p.Container()) {
					x.wrongs = append(x.wrongs, fmt.Sprintf("%s was handed what comes to %s, and has no port %s", m.Name, reconcile.HostPortOf(p), p.Container()))
				}
			}
		}
	}
}

// possible reports what no edge could serve.
func (x *Edge) possible(t reconcile.EdgeTable) error {
	var taken []reconcile.HostPort
	drains := map[string]time.Time{}
	for _, r := range t.Routes {
		for _, m := range r.Members {
			if since, known := drains[m.Container]; known && !since.Equal(m.Draining) {
				return fmt.Errorf("container %s drains at one port and not alike at another", m.Name)
			}
			drains[m.Container] = m.Draining
			if m.Container == "" || m.Started.IsZero() || !m.Address.IsValid() {
				return fmt.Errorf("member %s has no identity or no address", m.Name)
			}
		}
		for _, p := range r.Ports {
			h := reconcile.HostPortOf(p)
			if slices.ContainsFunc(taken, h.Overlaps) {
				return fmt.Errorf("port %s is there twice", h)
			}
			taken = append(taken, h)
		}
	}
	return nil
}

// closed are the ports that somebody else has.
func (x *Edge) closed() map[reconcile.HostPort]string {
	out := map[reconcile.HostPort]string{}
	for _, r := range x.table.Routes {
		for _, p := range r.Ports {
			h := reconcile.HostPortOf(p)
			for _, c := range x.engine.containers {
				if slices.ContainsFunc(c.published(), h.Overlaps) {
					out[h] = "address already in use"
				}
			}
			if slices.Contains(x.Taken, h) {
				out[h] = "address already in use"
			}
		}
	}
	return out
}

// holds reports whether the edge listens on the port.
func (x *Edge) holds(h reconcile.HostPort) bool {
	_, held := x.table.Holder(h)
	return held
}

func (x *Edge) unavailable(ctx context.Context) error {
	if x.away {
		return reconcile.ErrEdgeUnavailable
	}
	return ctx.Err()
}

// busy is what a member has in flight.
func (x *Edge) busy(m reconcile.Member, now time.Time) int64 {
	c, there := x.engine.containers[m.Container]
	over := !m.Draining.IsZero() && (!now.Before(m.Draining.Add(x.Work)) || m.Idle(now.Add(-x.Late)))
	if !there || !c.face.Running() || over {
		return 0
	}
	return 1
}

// stopping takes note of a container that is asked to stop before it may.
func (x *Edge) stopping(c *container, now time.Time) {
	m, there := x.table.Member(c.face.ID)
	if m.Requests = x.busy(m, now); there && m.Requests > 0 {
		x.wrongs = append(x.wrongs, fmt.Sprintf("%s was stopped while it was busy", m.Name))
	}
}

// Wrongs are the containers that were stopped while they were busy.
func (x *Edge) Wrongs() []string {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	return slices.Clone(x.wrongs)
}

// Applied counts the tables that were accepted.
func (x *Edge) Applied() int {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	return x.applied
}

// Serving counts the containers of a service that would answer what comes to the edge
// now: members that get something new, run as the one that the table means, and are
// not unhealthy.
func (x *Edge) Serving(service string) int {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	x.engine.settle(x.engine.now())
	n := 0
	for _, r := range x.table.Routes {
		for _, m := range r.Members {
			c, there := x.engine.containers[m.Container]
			ready := there && c.face.Running() && c.face.Started.Equal(m.Started) && c.well(x.engine.now())
			if r.Service == service && m.Draining.IsZero() && ready {
				n++
			}
		}
	}
	return n
}

// Die makes nobody answer for the edge, until Revive does, with the same table.
func (x *Edge) Die() { x.set(func() { x.away = true }) }

// Revive ends Die.
func (x *Edge) Revive() { x.set(func() { x.away = false }) }

// Lose takes the edge's table away, as a lost disk would.
func (x *Edge) Lose() { x.set(func() { x.table = reconcile.EdgeTable{} }) }

// Restart has another edge answer from now on, as after a kill.
func (x *Edge) Restart() { x.set(func() { x.away, x.since = false, x.engine.now() }) }

// Eject has a replica, "web/1", passed over, for the reason given; for "" not any more.
func (x *Edge) Eject(replica, why string) { x.set(func() { x.ejected[replica] = why }) }

// Park has clients wait at a port, or not any more.
func (x *Edge) Park(h reconcile.HostPort, parked bool) {
	x.set(func() {
		delete(x.parked, h)
		if parked {
			x.parked[h] = x.engine.now()
		}
	})
}

// Balance puts a load balancer beside it, in the place of those before.
func (x *Edge) Balance(b reconcile.Balancer) { x.set(func() { x.balancers = []reconcile.Balancer{b} }) }

// Take lets another program have a port, or ends that.
func (x *Edge) Take(h reconcile.HostPort, taken bool) {
	x.set(func() {
		x.Taken = slices.DeleteFunc(x.Taken, func(o reconcile.HostPort) bool { return o == h })
		if taken {
			x.Taken = append(x.Taken, h)
		}
	})
}

func (x *Edge) set(f func()) {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	x.engine.settle(x.engine.now())
	f()
}

// copied is t sharing nothing with it.
func copied(t reconcile.EdgeTable) reconcile.EdgeTable {
	t.Routes = slices.Clone(t.Routes)
	for i := range t.Routes {
		t.Routes[i].Ports = slices.Clone(t.Routes[i].Ports)
		t.Routes[i].Members = slices.Clone(t.Routes[i].Members)
		t.Routes[i].Weights = maps.Clone(t.Routes[i].Weights)
	}
	return t
}

// portOfEdge is why a container cannot publish its ports beside the edge.
func (e *Engine) portOfEdge(c *container) error {
	if e.edge == nil {
		return nil
	}
	for _, p := range c.ports {
		h := p.address(p.first)
		if p.first == p.last && e.edge.holds(h) {
			return errors.New("bind for " + h.String() + " failed: address already in use")
		}
	}
	return nil
}
