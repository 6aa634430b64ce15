package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"davit/compose"
)

// Of a stack that is left as it is (paused, orphaned, suspended by its own file) no pass
// corrects anything. What an operator stopped there is started for itself: those very
// containers, each as the release declares it that it was made from, and nothing else.

// startLeft starts what an operator stopped of the services, and returns when that serves.
// The caller holds l.mu, which is let go while it works.
func (l *Loop) startLeft(ctx context.Context, s *stack, services []string, actor string) error {
	if s.work != nil {
		return fmt.Errorf("start stack %s: %w: %s is under way; say it again when that is over", s.name, ErrNotApplicable, s.work.what)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.work = &work{declared: s.declared, cancel: cancel, what: "start", quiet: true}
	defer func() {
		s.work = nil
		l.poke()
	}()
	a := &attempt{loop: l, stack: s}
	l.mu.Unlock()
	observed, err := l.Engine.Observe(ctx)
	l.mu.Lock()
	if err != nil {
		return err
	}
	held := observed.halted(s.name, l.Instance, s.controls.Stops, services)
	if len(held) == 0 {
		return WithHint(fmt.Errorf("start stack %s: %w: none of the containers that were stopped is left", s.name, ErrNotApplicable),
			"`davit rollback %s` brings a good release back", s.name)
	}
	each, err := l.stopEach(ctx, s, services, held)
	if err != nil {
		return err
	}
	l.mu.Unlock()
	err = a.startAgain(ctx, held)
	l.mu.Lock()
	if err != nil {
		return err
	}
	for _, name := range services {
		s.lift(name, l.Now())
		l.event(s, EventReleased, SeverityInfo, name+" is started by "+actor)
	}
	over := func(x Stop) bool { return slices.Contains(each, x) }
	return l.setStops(context.WithoutCancel(ctx), s, slices.DeleteFunc(slices.Clone(s.controls.Stops), over))
}

// stopEach puts a stop of each of the containers in the place of those of their services,
// and returns them: who is not up when the agent dies can be started by the next order. The
// caller holds l.mu.
func (l *Loop) stopEach(ctx context.Context, s *stack, services []string, containers []Container) ([]Stop, error) {
	var each []Stop
	for _, c := range containers {
		i := slices.IndexFunc(s.controls.Stops, func(x Stop) bool { return x.of(c) })
		stop := s.controls.Stops[i]
		stop.Container = c.ID
		each = append(each, stop)
	}
	others := slices.DeleteFunc(slices.Clone(s.controls.Stops), func(x Stop) bool { return slices.Contains(services, x.Service) })
	return each, l.setStops(ctx, s, append(others, each...))
}

// halted are the containers that an operator's stops of the services have ended.
func (o Observed) halted(stack, instance string, stops []Stop, services []string) []Container {
	return slices.DeleteFunc(o.ownedBy(stack, instance), func(c Container) bool {
		return c.State != Exited || !slices.Contains(services, c.Service) ||
			!slices.ContainsFunc(stops, func(s Stop) bool { return s.of(c) })
	})
}

// of reports whether the stop is what ended c.
func (s Stop) of(c Container) bool {
	return s.Service == c.Service && (s.Container == c.ID || s.Container == "" && !c.Finished.Before(s.Since))
}

// startAgain starts these containers, those of the earlier release first. Those of one release that do not come up keep none of
// another from it.
func (a *attempt) startAgain(ctx context.Context, containers []Container) error {
	slices.SortStableFunc(containers, func(x, y Container) int { return cmp.Compare(a.origin(x).Seq, a.origin(y).Seq) })
	var failed error
	for len(containers) > 0 {
		r := a.origin(containers[0])
		other := func(c Container) bool { return a.origin(c).Seq != r.Seq }
		plan, err := a.startPlan(ctx, r, slices.DeleteFunc(slices.Clone(containers), other))
		if err == nil {
			result := a.execute(ctx, plan, r)
			if err = result.Err; result.Failure != nil {
				err = errors.New(result.Failure.Reason)
			}
		}
		failed = errors.Join(failed, err)
		containers = slices.DeleteFunc(containers, func(c Container) bool { return !other(c) })
	}
	if failed != nil {
		return fmt.Errorf("start stack %s: %w", a.stack.name, failed)
	}
	return nil
}

// origin is the release whose files tell how c is run: the current one where c is of it,
// or else the one that made it.
func (a *attempt) origin(c Container) Release {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	now := current(a.stack.history)
	if rec, there := now.Service(c.Service); there && rec.Spec == c.Spec {
		return *now
	}
	return *cmp.Or(bySeq(a.stack.history, c.Release), now)
}

// startPlan is the plan that starts containers of the release r.
func (a *attempt) startPlan(ctx context.Context, r Release, containers []Container) (Plan, error) {
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil {
		return Plan{}, err
	}
	project, err := compose.Unmarshal(r.Project)
	if err != nil {
		return Plan{}, fmt.Errorf("read the project of release #%d: %w", r.Seq, err)
	}
	a.loop.mu.Lock()
	d := a.loop.desire(project, recordedImages(r), a.stack, Verdict{Act: ActKeep, Current: &r}, Situation{Stack: a.stack.name})
	a.loop.mu.Unlock()
	p := newPlanner(d, observed, a.loop.Now())
	if err := p.survey(observed); err != nil {
		return Plan{}, err
	}
	for _, name := range p.sequence {
		p.startThese(p.units[name], containers)
	}
	switch {
	case p.refusal != nil:
		return Plan{}, p.refusal
	case p.away() && slices.ContainsFunc(p.plan.Steps, func(s Step) bool { return s.Kind == StepShift }):
		return Plan{}, &Waiting{Reason: p.edge.Away}
	}
	return p.plan, nil
}

// startThese plans that those of the containers that are of u serve again.
func (p *planner) startThese(u *unit, containers []Container) {
	beside := len(u.fleet.old)+len(u.fleet.current) > 0
	barrier := p.barrier(u)
	for _, c := range containers {
		if c.Service != u.Name || c.State != Exited {
			continue
		}
		s := slot{replica: replicaOf(c), from: &c, start: true}
		if p.failed(c) {
			// It served nobody before, and is only to be looked at.
			p.add(Step{Kind: StepStart, Service: u.Name, Replica: s.replica, Reason: p.startReason(u, s)}, barrier...)
			continue
		}
		p.introduce(u, &s, beside)
		s.policy = declaredRestart(u.Config) != s.bornWith()
		p.serve(u, s, barrier)
		u.waiting = append(u.waiting, s.replica)
	}
	if len(u.edge) > 0 && len(u.waiting) > 0 {
		p.shift(u, nil, u.edge, u.ready)
	}
}
