package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ServiceRequest is an operator's order about a running stack, or one service of
// it.
type ServiceRequest struct {
	Stack string
	// Service is "" for all of them.
	Service string
	Actor   string
}

// errand is what an operator asked for of what runs already. It is carried out the
// way that drift is corrected, gates included, and recorded as the operator's.
type errand struct {
	actor, reason string
	// seq is the release that carries it out, 0 before it has begun.
	seq int64
}

// restart is an operator's order to replace what was made before.
type restart struct {
	before time.Time
	reason string
}

// Restart replaces the containers of a stack, or of one service, by others just
// like them: in order, behind their gates, start-first where the service allows it.
// It returns when the order is taken; the release that carries it out tells the rest.
func (l *Loop) Restart(ctx context.Context, r ServiceRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, services, err := l.subjects(ctx, r, "restart")
	if err != nil {
		return err
	}
	if v := l.leftAlone(s); v != nil {
		return WithHint(fmt.Errorf("restart stack %s: %w: it is %s, and nothing of it is replaced meanwhile", s.name, ErrNotApplicable, standing(v.Sync, v.Reason)),
			"`docker restart` starts its containers again as they are")
	}
	if err := l.unstop(ctx, s, services); err != nil {
		return err
	}
	by := restart{l.Now(), "restarted by " + r.Actor}
	if s.restarts == nil {
		s.restarts = map[string]restart{}
	}
	for _, name := range services {
		s.restarts[name] = by
	}
	l.send(s, errand{actor: r.Actor, reason: by.reason}, r)
	return nil
}

// Start ends what an operator stopped. Of a stack that is left as it is, it returns when
// that serves again, else when the order is taken.
func (l *Loop) Start(ctx context.Context, r ServiceRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, services, err := l.subjects(ctx, r, "start")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(s.controls.Stops, func(x Stop) bool { return slices.Contains(services, x.Service) }) {
		return fmt.Errorf("start stack %s: %w: no operator has stopped that", s.name, ErrNotApplicable)
	}
	if l.leftAlone(s) != nil {
		return l.startLeft(ctx, s, services, r.Actor)
	}
	if err := l.unstop(ctx, s, services); err != nil {
		return err
	}
	l.send(s, errand{actor: r.Actor, reason: "started by " + r.Actor}, r)
	return nil
}

// send has the loop run the errand. The caller holds l.mu.
func (l *Loop) send(s *stack, e errand, r ServiceRequest) {
	s.errand, s.backoff, s.fixes = &e, backoff{}, nil
	what := "all services"
	if r.Service != "" {
		what = r.Service
	}
	l.event(s, EventReleased, SeverityInfo, what+" to be "+e.reason)
	l.poke()
}

// unstop forgets what is stopped of the services. The caller holds l.mu.
func (l *Loop) unstop(ctx context.Context, s *stack, services []string) error {
	kept := slices.DeleteFunc(slices.Clone(s.controls.Stops), func(x Stop) bool { return slices.Contains(services, x.Service) })
	for _, name := range services {
		s.lift(name, l.Now())
	}
	return l.setStops(ctx, s, kept)
}

// lift notes when somebody said that a service is to run.
func (s *stack) lift(service string, at time.Time) {
	if s.lifted == nil {
		s.lifted = map[string]time.Time{}
	}
	s.lifted[service] = at
}

// leftAlone is the verdict by which no pass does anything about the stack, nil where one
// does. The caller holds l.mu.
func (l *Loop) leftAlone(s *stack) *Verdict {
	if v := Decide(l.situation(s, l.Now())); v.Act == ActNothing {
		return &v
	}
	return nil
}

// Stop stops a stack, or one service of it, for as long as an operator wants: until
// Start, a start by hand, or the next release. It returns when it is stopped.
func (l *Loop) Stop(ctx context.Context, r ServiceRequest) error {
	l.mu.Lock()
	s, services, err := l.subjects(ctx, r, "stop")
	if err == nil {
		err = l.setStops(ctx, s, l.stopsOf(s, services, r.Actor))
	}
	if err != nil {
		l.mu.Unlock()
		return err
	}
	for _, name := range services {
		l.event(s, EventStopped, SeverityInfo, name+" is stopped by "+r.Actor)
	}
	if s.work != nil {
		l.mu.Unlock()
		l.poke() // it is stopped as soon as what is under way has given way
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.work = &work{declared: s.declared, cancel: cancel, what: "stop", quiet: true}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		s.work = nil
		l.mu.Unlock()
		l.poke()
	}()
	a := &attempt{loop: l, stack: s}
	return a.halt(ctx)
}

// stopsOf are the stops once an operator has stopped the services, too. What was stopped
// before keeps its time, by which is known what that has ended. The caller holds l.mu.
func (l *Loop) stopsOf(s *stack, services []string, actor string) []Stop {
	owned, content := l.observed.ownedBy(s.name, l.Instance), lastContent(s.history)
	kept := slices.DeleteFunc(slices.Clone(s.controls.Stops), func(x Stop) bool {
		over, _ := x.over(content, owned)
		return slices.Contains(services, x.Service) && over
	})
	for _, name := range services {
		if !stopped(kept, name, "") {
			kept = append(kept, Stop{Service: name, Seq: content, Actor: actor, Since: l.Now()})
		}
	}
	return kept
}

// subjects are the stack and the services that an order means. Nothing may be under
// way there. The caller holds l.mu.
func (l *Loop) subjects(ctx context.Context, r ServiceRequest, verb string) (*stack, []string, error) {
	s, err := l.known(ctx, r.Stack)
	if err != nil {
		return nil, nil, err
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%s stack %s: %w: %s", verb, s.name, ErrNotApplicable, fmt.Sprintf(format, args...))
	}
	now := current(s.history)
	in := l.situation(s, l.Now())
	switch {
	case l.ObserveOnly:
		return nil, nil, refuse("mode is observe")
	case s.work != nil && !s.work.quiet:
		return nil, nil, refuse("%s is under way", s.work.what)
	case now == nil:
		return nil, nil, refuse("it has no good release")
	case in.Controls.Suspension != nil:
		return nil, nil, WithHint(refuse("it is suspended"), "`davit resume %s` first", s.name)
	case in.Owner != "" || in.unadopted():
		return nil, nil, refuse("its containers are not this davit's")
	}
	p, err := l.currentProject(s, in, Verdict{Current: now})
	if err != nil || p == nil {
		return nil, nil, refuse("its compose files are not on record (%v)", err)
	}
	var services []string
	for _, service := range p.Services {
		if (r.Service == "" || r.Service == service.Name) && !service.OneShot {
			services = append(services, service.Name)
		}
	}
	if len(services) == 0 {
		return nil, nil, refuse("it has no service %q that keeps running", r.Service)
	}
	if s.work != nil {
		s.work.cancel(errCancelled) // it only looks for something, or clears away
	}
	return s, services, nil
}

// halt stops what is recorded as stopped and still runs.
func (a *attempt) halt(ctx context.Context) error {
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil {
		return err
	}
	a.loop.mu.Lock()
	now := *current(a.stack.history)
	plan := halting(a.loop.Instance, Situation{Stack: a.stack.name, History: a.stack.history, Controls: a.stack.controls}, observed)
	a.loop.mu.Unlock()
	result := a.execute(ctx, plan, now)
	if result.Failure != nil {
		return fmt.Errorf("stop stack %s: %s", a.stack.name, result.Failure.Reason)
	}
	return result.Err
}

// halting is the plan that stops what an operator wants to be stopped.
func halting(instance string, in Situation, o Observed) Plan {
	p := takingAway(in.Stack, instance, o)
	for _, c := range p.owned {
		for _, s := range in.Controls.Stops {
			if s.Service == c.Service && s.Container == "" && (c.Running() || c.State == Restarting) && !c.Started.After(s.Since) {
				p.stopAsMade(c, in.History, "stopped by "+s.Actor)
			}
		}
	}
	return p.plan
}
