package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"davit/compose"
)

// Status describes every stack, sorted by name.
func (l *Loop) Status(ctx context.Context) ([]StackStatus, error) {
	observed, engineErr := l.Engine.Observe(ctx)
	// What is recorded is known without the engine, too.
	if err := l.loadAll(ctx, observed); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if engineErr == nil {
		l.observed = observed
	}
	out := []StackStatus{}
	for _, name := range sortedKeys(l.stacks) {
		if s := l.stacks[name]; !l.situation(s, l.Now()).gone() {
			out = append(out, l.status(s, engineErr))
		}
	}
	return l.withClashes(out), nil
}

// status describes one stack. The caller holds l.mu.
func (l *Loop) status(s *stack, engineErr error) StackStatus {
	now := l.Now()
	in := l.situation(s, now)
	v := Decide(in)
	st := StackStatus{
		Name: s.name, Sync: s.view.sync, WaitingFor: s.view.reason, Since: s.view.since,
		LastError: s.view.err, Health: ConditionUnknown, Services: []ServiceStatus{},
	}
	// At rest is what the last pass found. What was declared or decided since
	// has not been looked at, and must not pass for reached.
	stale := st.Sync == SyncSynced || st.Sync == SyncPinned || st.Sync == SyncHeld
	if st.Sync == "" || stale && v.Sync != st.Sync {
		st.Sync, st.WaitingFor, st.Since = v.Sync, v.Reason, now
	}
	if s.work != nil && !s.work.quiet {
		st.Sync = SyncProgressing
	}
	st.Version, st.Revision = running(s.history)
	st.Recovery, st.Drill = recoveryStatus(s.history), drillStatus(s)
	if st.Sync == SyncSynced && in.Known {
		st.Revision, st.WaitingFor = in.Revision.String(), s.drifted
		if text := stopText(s.controls.Stops, l.observed.ownedBy(s.name, l.Instance)); text != "" {
			st.WaitingFor = text
		}
	}
	if v.Shut && st.Sync == v.Sync {
		st.WaitingFor, st.Window = v.Reason, v.windowStatus()
	}
	st.Source = l.claims.owners[s.name].Source
	polled := l.polled[st.Source]
	if !polled.at.IsZero() {
		st.LastFetch = &polled.at
	}
	switch {
	case polled.err != nil:
		st.LastError = Explanation(polled.err)
	case engineErr != nil:
		st.LastError = Explanation(engineErr)
	}
	if engineErr == nil {
		l.inspect(&st, s, in, v)
	}
	return st
}

// running is the version and revision of what runs, the newest name for it first.
func running(history []Release) (version, revision string) {
	for _, r := range history {
		if r.Good() || r.Kind == KindNoop && r.Outcome == Succeeded {
			return r.Version, r.Revision
		}
	}
	return "", ""
}

// inspect fills in the services and the stack's health.
func (l *Loop) inspect(st *StackStatus, s *stack, in Situation, v Verdict) {
	p, images := in.Declared, map[string]Image{}
	if v.Current != nil {
		images = recordedImages(*v.Current)
		if project, err := l.currentProject(s, in, v); err == nil && project != nil {
			p = project
		}
	}
	if p == nil {
		return
	}
	missing, ready, edge := 0, 0, l.edgeSeen()
	now := recorded(s, p)
	now.owned = l.observed.ownedBy(s.name, l.Instance)
	for _, service := range p.Services {
		owned := now.owned
		row := now.status(&unit{Service: service, image: images[service.Name]})
		row.Ports = portStatuses(service, s.name, edge, owned)
		row.Ejected = ejectStatuses(s.name, service.Name, edge)
		row.Draining = drainStatuses(s.name, service.Name, edge, l.Now())
		row.Rollout = l.rolloutStatus(s, service.Name, v.Current)
		row.Healing = s.healingStatus(service, p.Hash, l.Now())
		row.Stopped = parked(service.Name, s.controls.Stops, owned, row.Desired-row.Ready)
		missing += max(row.Desired-row.Ready-row.Stopped, 0)
		ready += row.Ready
		st.Services = append(st.Services, row)
	}
	hopeless := st.hopeless()
	if st.Sync == SyncSynced && hopeless != "" {
		st.WaitingFor = hopeless
	}
	switch {
	case missing == 0 && hopeless != "":
		st.Health = ConditionDegraded
	case missing == 0:
		st.Health = ConditionHealthy
	case v.Current == nil && !in.Ours:
		st.Health = ConditionUnknown // it has never run
	case st.Sync == SyncProgressing:
		st.Health = ConditionProgressing
	case ready > 0:
		st.Health = ConditionDegraded
	default:
		st.Health = ConditionUnhealthy
	}
}

// parked is how many of the missing replicas an operator stopped.
func parked(service string, stops []Stop, owned []Container, missing int) int {
	if stopped(stops, service, "") {
		return max(missing, 0)
	}
	n := 0
	for _, c := range owned {
		if c.Service == service && !c.Running() && stopped(stops, service, c.ID) {
			n++
		}
	}
	return max(min(n, missing), 0)
}

// status counts a service's replicas. A one-shot that has run is ready; what a good
// release ran, and nobody finds, stands by.
func (p *planner) status(u *unit) ServiceStatus {
	s := u.Service
	u.replaced = p.replacedOf(u)
	row := ServiceStatus{Name: s.Name, Desired: s.Replicas, Image: cmp.Or(u.image.Ref, s.ImageRef()), Containers: []string{}}
	if s.OneShot {
		row.Desired = 0
	}
	for _, c := range p.owned {
		if c.Service != s.Name || !c.Running() && c.State != Restarting {
			if c.Service == s.Name && u.completed(c) && !s.OneShot && u.made(c) {
				row.Ready++
			}
			continue
		}
		if s.Settings.Standby == compose.StandbyRunning && p.desired.Served[c.ID] && !c.Findable() && !u.made(c) {
			row.Standby++
			continue
		}
		row.Containers = append(row.Containers, c.ID)
		if readyByItself(c) && c.Probed.Unready == "" && c.Probed.Doomed == "" {
			row.Ready++
		}
	}
	row.Ready = min(row.Ready, max(row.Desired, 0))
	return row
}

// PlanRequest asks what a pass would do.
type PlanRequest struct {
	// Stack is the one that is meant, "" for all of them.
	Stack string
	// Values makes reasons show the values of environment variables, known secrets
	// excepted.
	Values bool
}

// Plan returns what a pass would do now. It changes nothing and records nothing.
func (l *Loop) Plan(ctx context.Context, r PlanRequest) ([]Plan, error) {
	stack, show := r.Stack, (func(string) string)(nil)
	if r.Values {
		show = l.Scrub
	}
	observed, err := l.Engine.Observe(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.loadAll(ctx, observed); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.observed, l.lookups = observed, newLookups(l.Registry)
	names := sortedKeys(l.stacks)
	if stack != "" {
		if _, ok := l.stacks[stack]; !ok {
			l.mu.Unlock()
			return nil, WithHint(fmt.Errorf("%w: %q", ErrNoSuchStack, stack), "see `davit status`")
		}
		names = []string{stack}
	}
	var attempts []*attempt
	for _, name := range names {
		s := l.stacks[name]
		in := l.situation(s, l.Now())
		if stack == "" && (in.gone() || !l.inScope(name)) {
			continue
		}
		attempts = append(attempts, &attempt{loop: l, stack: s, in: in, verdict: Decide(in), registry: l.lookups, show: show})
	}
	l.mu.Unlock()
	var plans []Plan
	for _, a := range attempts {
		p, err := a.preview(ctx, observed)
		if err != nil && stack == "" && postponed(err) {
			// One stack that waits does not hide the others' plans.
			p, err = Plan{Stack: a.stack.name, Blocked: Explanation(err)}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("plan stack %s: %w", a.stack.name, err)
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// postponed reports whether err says that a stack cannot go on at the moment.
func postponed(err error) bool {
	var (
		waiting *Waiting
		stalled *Stalled
	)
	return errors.As(err, &waiting) || errors.As(err, &stalled)
}

// preview is the plan that the attempt would carry out.
func (a *attempt) preview(ctx context.Context, observed Observed) (Plan, error) {
	if a.verdict.Shut {
		return a.foreshadow(ctx, observed)
	}
	none := Plan{Stack: a.stack.name, Notes: []string{string(a.verdict.Sync)}}
	if a.verdict.Reason != "" {
		none.Notes[0] += ": " + a.verdict.Reason
	}
	switch a.verdict.Act {
	case ActNothing:
		return none, nil
	case ActStop:
		p := leftRunning(a.stack.name, a.loop.Instance, a.in.History, observed)
		p.Notes = none.Notes
		return p, nil
	case ActAdopt:
		none.Notes[0] = "to be adopted as it runs: " + a.verdict.Reason
		return none, nil
	case ActRemove:
		p := removal(a.stack.name, a.loop.Instance, "declared as removed", a.in.History, observed)
		p.Notes = none.Notes
		return p, nil
	}
	if err := a.choose(); err != nil || a.project == nil {
		return none, err
	}
	pins, err := a.pins()
	if err != nil {
		return Plan{}, err
	}
	if a.images, err = a.resolver(pins).resolve(ctx, a.project); err != nil {
		return Plan{}, err
	}
	p, err := NewPlan(a.desired(), observed, a.loop.Now())
	if err == nil {
		if obstacle := a.loop.Executor.Preflight(ctx, p); obstacle != nil {
			p.Blocked = Explanation(obstacle)
		}
	}
	if a.verdict.Sync != SyncSynced && a.verdict.Act == ActKeep {
		p.Notes = append(none.Notes, p.Notes...)
	}
	return p, err
}
