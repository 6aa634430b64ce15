package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"davit/compose"
)

// DrillRequest asks for a rehearsal of the way back.
type DrillRequest struct {
	Stack, Actor string
	// DataCompatible says that the earlier release can work with the data that the current
	// one writes, and the other way round; Gaps that services which cannot run twice may be
	// away for a moment. The stack's own settings may say so, too.
	DataCompatible, Gaps bool
	// Now does not mind windows that are shut.
	Now bool
}

// Drill takes the order to rehearse the way back to the good content before the current
// one, whose release it returns. How it went is in the history.
func (l *Loop) Drill(ctx context.Context, r DrillRequest) (Release, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.known(ctx, r.Stack)
	if err != nil {
		return Release{}, err
	}
	to, err := l.orderDrill(s, r, TriggerCLI)
	if err != nil {
		return Release{}, err
	}
	return *to, nil
}

// orderDrill notes the order, or refuses it. The caller holds l.mu.
func (l *Loop) orderDrill(s *stack, r DrillRequest, trigger Trigger) (*Release, error) {
	to, err := l.drillable(s, r)
	if err != nil {
		return nil, fmt.Errorf("drill stack %s: %w", s.name, err)
	}
	s.drill = &DrillOrder{Seq: to.Seq, Actor: r.Actor, Trigger: trigger, Ordered: l.Now()}
	s.backoff = backoff{}
	l.event(s, EventReleased, SeverityInfo, fmt.Sprintf("a drill to release #%d %s and back is ordered by %s", to.Seq, to.Version, r.Actor))
	if s.work != nil {
		s.work.cancel(errCancelled) // it only looks for something, or clears away
	}
	l.poke()
	return to, nil
}

// drillable is the release that a drill would visit, or why there is to be none: a
// rehearsal is worth no risk that a rollback in need would be. The caller holds l.mu.
func (l *Loop) drillable(s *stack, r DrillRequest) (*Release, error) {
	refuse := func(format string, args ...any) (*Release, error) {
		return nil, fmt.Errorf("%w: %s", ErrNotApplicable, fmt.Sprintf(format, args...))
	}
	in := l.situation(s, l.Now())
	v := Decide(in)
	switch {
	case l.ObserveOnly:
		return refuse("mode is observe")
	case s.work != nil && !s.work.quiet:
		return refuse("%s is under way", s.work.what)
	case s.drill != nil || visiting(s.history) != nil:
		return refuse("a drill is under way")
	case v.Current == nil:
		return refuse("it has no good release")
	case !v.fitForDrill():
		return refuse("it is %s", standing(v.Sync, v.Reason))
	case len(s.controls.Stops) > 0:
		return nil, WithHint(fmt.Errorf("%w: %s of it is stopped by an operator, and a release would start it", ErrNotApplicable, s.controls.Stops[0].Service), "`davit start %s` first", s.name)
	}
	if o := in.opening(); !o.Open && !r.Now {
		return nil, WithHint(fmt.Errorf("%w: %s", ErrNotApplicable, windowText(o, in.Now)), "`davit drill %s --now` does not wait", s.name)
	}
	to, err := l.target(s, "")
	if err != nil {
		return nil, err
	}
	if st := l.status(s, l.engineErr); st.Sync != SyncSynced || st.Health != ConditionHealthy {
		return refuse("it is %s and %s", standing(st.Sync, st.WaitingFor), st.Health)
	}
	settings := in.Declared.Settings.Drill
	r.DataCompatible, r.Gaps = r.DataCompatible || settings.DataCompatible, r.Gaps || settings.Gaps
	return to, l.rehearsable(s, in, v, to, r)
}

// standing is how a stack stands, and why if there is a reason.
func standing(sync Sync, reason string) string {
	if reason == "" {
		return string(sync)
	}
	return fmt.Sprintf("%s: %s", sync, reason)
}

// rehearsable says why going to a release and back is more than a rehearsal. The caller
// holds l.mu.
func (l *Loop) rehearsable(s *stack, in Situation, v Verdict, to *Release, r DrillRequest) error {
	if len(to.Project) == 0 {
		return fmt.Errorf("%w: the compose files of release #%d are not on record", ErrNotApplicable, to.Seq)
	}
	earlier, err := compose.Unmarshal(to.Project)
	if err != nil {
		return fmt.Errorf("read the project of release #%d: %w", to.Seq, err)
	}
	if l.Judge != nil {
		if err := l.Judge(earlier); err != nil {
			return fmt.Errorf("%w: release #%d is not allowed on this host any more: %w", ErrNotApplicable, to.Seq, err)
		}
	}
	if err := s.irrevocable(in.Declared, earlier, to); err != nil {
		return err
	}
	if name := mayEnd(in.Declared, earlier, *v.Current, *to); name != "" {
		return fmt.Errorf("%w: %s may end by itself, by its restart policy: stopped, it would count as one that has", ErrNotApplicable, name)
	}
	if where := sharedData(in.Declared, earlier, *v.Current, *to); where != "" && !r.DataCompatible {
		return WithHint(fmt.Errorf("%w: %s", ErrNotApplicable, where),
			"--data-compatible, or x-davit.drill.data_compatible, says that each release can work with what the other has written")
	}
	v.Act, v.Kind = ActReturn, KindDrill
	there, back := v, v
	there.Restore, back.Restore = to, v.Current
	gaps := map[string]string{}
	for _, way := range []struct {
		Desired
		from Observed
	}{
		{l.desire(in.Declared, recordedImages(*v.Current), s, back, in), l.observed.visiting(*v.Current, *to)},
		{l.desire(earlier, recordedImages(*to), s, there, in), l.observed},
	} {
		plan, err := NewPlan(way.Desired, way.from, in.Now)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotApplicable, err)
		}
		maps.Copy(gaps, plan.Gaps)
	}
	for _, service := range sortedKeys(gaps) {
		if !r.Gaps {
			return WithHint(fmt.Errorf("%w: %s would be away for a moment: %s", ErrNotApplicable, service, gaps[service]),
				"--gaps, or x-davit.drill.gaps, says that it may")
		}
	}
	return nil
}

// visiting is o as a drill that has gone from one release to another would leave it, as far
// as it matters to who stops before whom on the way back.
func (o Observed) visiting(from, to Release) Observed {
	o.Containers = slices.Clone(o.Containers)
	for i := range o.Containers {
		c := &o.Containers[i]
		if rec, there := to.Service(c.Service); there && c.Stack == from.Stack && c.Running() && differs(c.Service, from, to) {
			c.Spec, c.ImageID = rec.Spec, rec.Image.ID
		}
	}
	return o
}

// irrevocable says which hook stands between the current release and an earlier one: what
// it did cannot be taken back, so nobody knows what that one makes of it.
func (s *stack) irrevocable(declared, earlier *compose.Project, to *Release) error {
	for _, p := range []*compose.Project{declared, earlier} {
		for _, service := range p.Services {
			h := service.Settings.Hooks
			if slices.ContainsFunc(slices.Concat(h.PreDeploy, h.PostDeploy), func(x compose.ReleaseHook) bool { return x.OnRollback && x.Irreversible }) {
				return fmt.Errorf("%w: %s has an irreversible hook that rollbacks run, too", ErrNotApplicable, service.Name)
			}
		}
	}
	for i := range s.history {
		r := &s.history[i]
		if r.Seq <= to.Seq {
			break
		}
		p := s.declaredBy(r)
		if p == nil || r.Kind != KindDeploy || r.Outcome == Refused {
			continue
		}
		for _, service := range p.Services {
			h := service.Settings.Hooks
			if differs(service.Name, *r, *to) && slices.ContainsFunc(slices.Concat(h.PreDeploy, h.PostDeploy), func(x compose.ReleaseHook) bool { return x.Irreversible }) {
				return fmt.Errorf("%w: release #%d %s has run an irreversible hook of %s since", ErrNotApplicable, r.Seq, r.Version, service.Name)
			}
		}
	}
	return nil
}

// mayEnd names the first service that differs between the releases and whose stopped
// container cannot be told from one that has ended as it should.
func mayEnd(declared, earlier *compose.Project, now, to Release) string {
	for _, s := range slices.Concat(earlier.Services, declared.Services) {
		if u := (&unit{Service: s}); u.mayComplete() && !s.OneShot && differs(s.Name, now, to) {
			return s.Name
		}
	}
	return ""
}

// differs reports whether both releases do not run the very same for a service.
func differs(service string, now, to Release) bool {
	before, _ := to.Service(service)
	current, there := now.Service(service)
	return !there || current.Spec != before.Spec || !current.Image.Same(before.Image)
}

// sharedData names the first service that differs between the releases, and whose data both
// would write.
func sharedData(declared, earlier *compose.Project, now, to Release) string {
	for _, service := range earlier.Services {
		if !differs(service.Name, now, to) || service.Settings.ConcurrentWriters {
			continue
		}
		before, _ := to.Service(service.Name)
		current, _ := now.Service(service.Name)
		where := writableMount(service, before.Image)
		if newer, ok := declared.Service(service.Name); ok && where == "" && !newer.Settings.ConcurrentWriters {
			where = writableMount(newer, current.Image)
		}
		if where != "" {
			return fmt.Sprintf("%s of release #%d would write %s, which release #%d writes", service.Name, to.Seq, where, now.Seq)
		}
	}
	return ""
}
