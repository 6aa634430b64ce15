package traffic

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// errRetired is why a port is not open.
var errRetired = errors.New("the edge has given its ports up")

// Table is what the edge serves, the zero one before the first.
func (e *Edge) Table() Table {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table
}

// State is what the edge serves and what is under way. What it says of a draining
// replica is final: who has nothing under way gets nothing more.
func (e *Edge) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := State{Instance: e.table.Instance, Generation: e.table.Generation, Since: e.since, Succeeded: e.succeeded, Blind: e.blind}
	for _, p := range e.table.Ports {
		s.Ports = append(s.Ports, e.portState(p))
	}
	now := e.now()
	for _, r := range e.replicas {
		s.Replicas = append(s.Replicas, r.state(now))
	}
	slices.SortFunc(s.Ports, func(a, b PortState) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(s.Replicas, func(a, b ReplicaState) int {
		return cmp.Or(cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Replica, b.Replica),
			cmp.Compare(a.Container, b.Container), a.Started.Compare(b.Started))
	})
	return s
}

func (e *Edge) portState(p Port) PortState {
	s := PortState{Key: p.Key(), Stack: p.Stack, Service: p.Service}
	if err := e.closed[s.Key]; err != nil {
		s.Closed = err.Error()
	}
	if f := e.fronts[s.Key]; f != nil {
		s.Open, s.Refused = f.open.Load(), f.refused.Load()
		s.Parked, s.Waiting = f.pool.parked()
		if e.retired {
			s.Closed = errRetired.Error()
		}
	}
	return s
}

func (r *replica) state(now time.Time) ReplicaState {
	s := ReplicaState{
		Container: r.identity.container, Started: time.Unix(0, r.identity.started).UTC(),
		Stack: r.stack, Service: r.service, Replica: r.name, Release: r.release,
		// Before the counts: whoever is closed and then has none gets none any more.
		Draining:  r.closed.Load(),
		Confirmed: r.known(),
		Ejected:   r.ejected.Load() > now.UnixNano(),
	}
	if s.Ejected {
		s.Reason = r.health.reason()
	}
	s.Requests, s.Streams = r.underway()
	return s
}

// Signals are what the replicas were given and how they answered. Those that are gone
// are summed by release, as replica "".
func (e *Edge) Signals() SignalReport {
	e.mu.Lock()
	defer e.mu.Unlock()
	report := SignalReport{Since: e.since, Bounds: bounds[:]}
	for _, r := range e.replicas {
		s := r.signals.report(r.origin())
		s.Replica, s.Container = r.name, r.identity.container
		s.InFlight, s.Streams = r.underway()
		report.Replicas = append(report.Replicas, s)
	}
	for o, gone := range e.past {
		report.Replicas = append(report.Replicas, gone.report(o))
	}
	slices.SortFunc(report.Replicas, func(a, b Signals) int {
		return cmp.Or(cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Release, b.Release),
			cmp.Compare(a.Replica, b.Replica), cmp.Compare(a.Container, b.Container))
	})
	return report
}

// Sockets duplicates the open ports for a successor.
func (e *Edge) Sockets() (Sockets, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.retired {
		return nil, errRetired
	}
	out := Sockets{}
	for key, f := range e.fronts {
		file, err := f.door.file()
		if err != nil {
			out.Close()
			return nil, fmt.Errorf("hand over %s: %w", key, err)
		}
		out[key] = file
	}
	return out, nil
}

// origin is whose signals are summed once their replicas are gone.
type origin struct {
	stack, service string
	release        int64
}

func (r *replica) origin() origin { return origin{r.stack, r.service, r.release} }

// past is what replicas counted that are gone.
type past map[origin]*signals

func (p past) add(r *replica) {
	if p[r.origin()] == nil {
		p[r.origin()] = &signals{}
	}
	p[r.origin()].plus(&r.signals)
}

// keep forgets the services that t does not have.
func (p past) keep(t Table) {
	maps.DeleteFunc(p, func(o origin, _ *signals) bool {
		return !slices.ContainsFunc(t.Ports, func(p Port) bool { return p.Stack == o.stack && p.Service == o.service })
	})
}
