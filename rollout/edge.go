package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/reconcile"
)

// Edge is what the executor needs of whoever owns host ports in the engine's place.
type Edge interface {
	Look(ctx context.Context) (reconcile.EdgeTable, error)
	// Change returns once the edge serves what change makes of its table.
	Change(ctx context.Context, change func(reconcile.EdgeTable) reconcile.EdgeTable) (reconcile.EdgeTable, error)
}

// shift carries a StepShift out.
func (e *Executor) shift(ctx context.Context, job reconcile.Job, t task) error {
	if e.edge == nil {
		return fmt.Errorf("%w: there is no edge", errPlan)
	}
	var to []reconcile.Member
	for i, r := range t.step.Shift.To {
		seen := time.Now()
		c, err := e.engine.Inspect(ctx, t.to[i])
		if err != nil {
			return err
		}
		if !c.Running() {
			return &fault{reason: fmt.Sprintf("%s %s before it was handed anything", r, c.End())}
		}
		if err := unfit(r, c, t.step.Shift); err != nil {
			return err
		}
		m, err := reconcile.MemberOf(c, job.Plan.Project, seen)
		if err != nil {
			return err
		}
		to = append(to, m)
	}
	var unweighed error
	_, err := e.edge.Change(ctx, func(table reconcile.EdgeTable) reconcile.EdgeTable {
		if t.step.Shift.Weight > 0 {
			table, unweighed = table.Weighed(job.Plan.Stack, t.step.Service, t.step.Shift, to, time.Now())
			return table
		}
		return table.Shifted(job.Plan.Stack, t.step.Service, t.step.Shift, to, time.Now())
	})
	if err := errors.Join(unweighed, err); err != nil {
		return err
	}
	return e.opened(ctx, t.step.Shift)
}

// unfit is why c is not handed what others had: it has passed its gate, and others were
// waited for since. Where nobody gives anything up, whoever runs is better than none.
func unfit(r reconcile.Replica, c reconcile.Container, s reconcile.Shift) error {
	switch {
	case isReady(c):
		return nil
	case s.Weight > 0:
		return &fault{reason: fmt.Sprintf("%s became %s before it was handed more", r, c.Health)}
	case len(s.From) > 0:
		return &fault{reason: fmt.Sprintf("%s became %s before it was handed everything", r, c.Health)}
	}
	return nil
}

// openLimit is how long the edge may take to open a port that was somebody else's a
// moment ago: an engine closes those of a container some time after it has ended.
const openLimit = 10 * time.Second

// opened waits until the ports of s are open.
func (e *Executor) opened(ctx context.Context, s reconcile.Shift) error {
	for until := time.Now().Add(openLimit); ; {
		table, err := e.edge.Look(ctx)
		if err != nil {
			return err
		}
		closed := shut(table, s)
		if closed == nil || !time.Now().Before(until) {
			return closed
		}
		if err := pause(ctx, pollMax); err != nil {
			return err
		}
	}
}

// shut says which of the ports of s the edge could not open.
func shut(table reconcile.EdgeTable, s reconcile.Shift) error {
	for _, p := range s.Ports {
		h := reconcile.HostPortOf(p)
		if why, closed := table.Closed[h]; closed {
			return held(fmt.Errorf("the edge cannot open host port %s: %s", h, why), h)
		}
	}
	return nil
}

// drain carries a StepDrain out: it returns once the container gets nothing new and
// has nothing left to do, or its time is over. An edge that does not answer is waited
// for as long as it could still be busy.
func (e *Executor) drain(ctx context.Context, t task) (verdict string, err error) {
	if e.edge == nil {
		return "", fmt.Errorf("%w: there is no edge", errPlan)
	}
	d := draining{task: t, begun: time.Now()}
	for interval := pollMin; ; interval = min(interval*3/2, pollMax) {
		table, err := e.edge.Change(ctx, func(table reconcile.EdgeTable) reconcile.EdgeTable {
			return table.Drained(t.id, t.step.Drain, time.Now())
		})
		switch {
		case ctx.Err() != nil:
			return "", errAbandoned
		case err == nil:
			// What was applied has no counts: look once more.
			table, err = e.edge.Look(ctx)
		}
		verdict, done := d.look(table, err, time.Now())
		switch {
		case done:
			return verdict, nil
		case err != nil && !errors.Is(err, reconcile.ErrEdgeUnavailable) && ctx.Err() == nil:
			return "", failed(t.step, err)
		}
		if err := doze(ctx, min(interval, d.due(time.Now())), nil); err != nil {
			return "", err
		}
	}
}

// cutting is how long an edge may take, once the time is over, to cut off what is left.
// A container that is stopped before that ends its connections itself, and what is
// missing then looks as if it were not.
const cutting = time.Second

// draining judges by successive looks whether a container is done.
type draining struct {
	task  task
	begun time.Time
	// until is when its time is over, as the edge has it; zero before it was seen.
	until time.Time
}

// look says how the drain ended, once it has.
func (d *draining) look(table reconcile.EdgeTable, err error, now time.Time) (verdict string, done bool) {
	if err != nil {
		if d.until.IsZero() {
			d.until = d.begun.Add(d.task.step.Drain.Longest())
		}
		return "its time is over, and the edge did not answer", !now.Before(d.until)
	}
	m, there := table.Member(d.task.id)
	if !there {
		return "not at the edge", true
	}
	d.until = m.Draining.Add(m.Limits.Longest())
	left := m.Requests + m.Streams
	switch {
	case !m.Idle(now), left > 0 && now.Before(d.until.Add(cutting)):
		return "", false
	case left > 0:
		return fmt.Sprintf("time is over with %d left", left), true
	}
	return "idle" + after(m.Draining, now), true
}

// due is when the next look is worth while though nothing changes.
func (d *draining) due(now time.Time) time.Duration {
	switch left := d.until.Sub(now); {
	case d.until.IsZero():
		return pollMax
	case left > 0:
		return left
	}
	return pollMin
}
