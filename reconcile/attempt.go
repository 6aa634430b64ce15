package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"davit/compose"
)

// attempt is one piece of work on one stack, from resolving its images to the
// record of how it ended. It runs on a goroutine of its own.
type attempt struct {
	loop    *Loop
	stack   *stack
	in      Situation
	verdict Verdict
	trigger Trigger
	// actor is the operator who lets it past windows, "" for nobody.
	actor string
	// registry shares what it is asked with the other attempts of the same pass.
	registry Registry

	project *compose.Project
	images  map[string]Image
	// show is how values are shown in reasons, nil for not at all.
	show func(value string) string
	// errand is what an operator asked for of what runs, nil for mere drift.
	errand *errand
	// agreed is an operator's word, nil for what is done unasked.
	agreed *AdoptRequest
	// moved are the services that an automatic rollback leaves where they are.
	moved   []string
	release Release
	// hookRuns are the runs of hooks since the last good release that the journal knows.
	hookRuns []HookRun
	// first is what it set out to carry out. plan is what was carried out last; fruitless is true when it ended before any
	// container was made.
	first, plan Plan
	fruitless   bool
	// leave gives up the place among the stacks that are worked on; nil where there is
	// none.
	leave func()
	// told is what it was last said to wait for.
	told string
	// burnt is true when an irreversible hook was begun since the last good release.
	burnt bool
	// lacks are the times for which replicas were waited for in vain.
	lacks []lack
	// before is the release as it had ended when it goes on; zero for a new one.
	before Release
}

// start begins work on a stack. The caller holds l.mu and has seen that nothing
// is under way.
func (l *Loop) start(ctx context.Context, s *stack, in Situation, v Verdict, what string) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.work = &work{declared: cmp.Or(s.declared, v.presumed(in)), cancel: cancel, what: what, quiet: v.Act != ActReturn, awaitsHooks: v.Act == ActDeploy}
	a := &attempt{loop: l, stack: s, in: in, verdict: v, trigger: s.trigger, errand: s.errand, registry: l.lookups}
	if v.Renews {
		a.trigger = TriggerImage
	}
	if v.Forced {
		a.trigger, a.actor = TriggerOverride, s.override.actor
	}
	l.workers.Go(func() {
		defer cancel(nil)
		var err error
		select {
		case l.slots <- struct{}{}:
			a.leave = sync.OnceFunc(func() { <-l.slots })
			err = a.run(ctx)
			a.leave()
		case <-ctx.Done():
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		s.work = nil
		if a.goesOnDrill() && a.release.Seq == 0 {
			l.callOff(s, cmp.Or(context.Cause(ctx), err))
		} else if err != nil && context.Cause(ctx) == nil {
			if a.verdict.Act != ActKeep {
				// What such an attempt leaves behind is nobody's sabotage.
				s.barred, s.fixes = a.barred(s.backoff.failures) && !errors.Is(err, ErrBudget), nil
			}
			l.trouble(s, err, l.Now())
		}
		l.poke()
	})
}

// run carries the verdict out. Its error is trouble that is not the content's
// fault.
func (a *attempt) run(ctx context.Context) error {
	if a.tooLate() {
		return nil
	}
	switch a.verdict.Act {
	case ActStop:
		return a.standDown(ctx)
	case ActRemove:
		r := a.in.Revision
		return a.loop.takeDown(ctx, a.stack.name, Release{Reason: "as the repository declares", Trigger: a.trigger, Actor: cmp.Or(a.actor, r.Author),
			Revision: r.String(), Commit: r.Commit, Author: r.Author, Subject: r.Subject})
	case ActAdopt:
		return a.takeOver(ctx)
	case ActHalt:
		return a.halt(ctx)
	}
	if err := a.recallHooks(ctx); err != nil {
		return err
	}
	if err := a.choose(); err != nil {
		return a.refuse(ctx, err)
	}
	pins, err := a.pins()
	if err != nil {
		return err
	}
	a.images, err = a.resolver(pins).resolve(ctx, a.project)
	if errors.Is(err, errGone) {
		return a.refuse(ctx, err)
	}
	if err != nil {
		return err
	}
	observed, err := a.look(ctx)
	if err != nil {
		return err
	}
	desired := a.desired()
	plan, err := NewPlan(desired, observed, a.loop.Now())
	if err != nil {
		return err
	}
	switch {
	case a.verdict.Act == ActKeep && plan.Empty():
		return nil
	case a.verdict.Act == ActKeep && housekeeping(plan):
		return a.clearUp(ctx, plan)
	}
	return a.carryOut(ctx, plan)
}

// clearUp carries out a plan that only clears away. What cannot be cleared away,
// such as a network that somebody else is in, is tried again now and then and is
// no trouble of the stack's.
func (a *attempt) clearUp(ctx context.Context, plan Plan) error {
	err := a.execute(ctx, plan, *a.verdict.Current).Err
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if err == nil || ctx.Err() != nil {
		a.stack.clearing = backoff{}
		return nil
	}
	a.stack.logger.Warn("not all cleared away", "error", err)
	a.stack.clearing.next(a.loop.Now(), lastRetry)
	return nil
}

func (a *attempt) resolver(pins map[string]Image) resolver {
	return resolver{engine: a.loop.Engine, registry: a.registry, pinned: pins, strict: a.verdict.Act != ActDeploy, now: a.loop.Now}
}

// choose determines the project to plan towards.
func (a *attempt) choose() error {
	switch a.verdict.Act {
	case ActDeploy:
		a.project = a.in.Declared
		return nil
	case ActKeep:
		a.loop.mu.Lock()
		defer a.loop.mu.Unlock()
		p, err := a.loop.currentProject(a.stack, a.in, a.verdict)
		a.project = p
		return err
	}
	if len(a.verdict.Restore.Project) == 0 {
		return fmt.Errorf("release #%d was rebuilt from container labels: its compose files are not on record: %w", a.verdict.Restore.Seq, errGone)
	}
	p, err := compose.Unmarshal(a.verdict.Restore.Project)
	if err != nil {
		return fmt.Errorf("read the project of release #%d: %w", a.verdict.Restore.Seq, err)
	}
	a.project = p
	if err := a.permitted(p); err != nil {
		return err
	}
	if a.verdict.Failed != nil {
		return a.leaveMoved()
	}
	return nil
}

// leaveMoved puts into the project those services that stay as the failed release
// left them: whatever it recorded as running.
func (a *attempt) leaveMoved() error {
	if len(a.verdict.Failed.Project) == 0 {
		return nil
	}
	failed, err := compose.Unmarshal(a.verdict.Failed.Project)
	if err != nil {
		return fmt.Errorf("read the project of release #%d: %w", a.verdict.Failed.Seq, err)
	}
	for _, rec := range a.verdict.Failed.Services {
		if s, ok := failed.Service(rec.Name); ok && len(rec.Containers) > 0 {
			a.moved = append(a.moved, rec.Name)
			if a.project, err = a.project.WithService(s, failed); err != nil {
				return fmt.Errorf("leave service %s as release #%d put it: %w", rec.Name, a.verdict.Failed.Seq, err)
			}
		}
	}
	return nil
}

// pins are the images that are not resolved anew.
func (a *attempt) pins() (map[string]Image, error) {
	pins := map[string]Image{}
	take := func(r *Release, fits func(compose.Service, ServiceRecord) bool) {
		for _, s := range a.project.Services {
			if rec, ok := r.Service(s.Name); ok && (rec.Image.ID != "" || rec.Image.Digest != "") && fits(s, rec) {
				pins[s.Name] = rec.Image
			}
		}
	}
	unchanged := func(s compose.Service, rec ServiceRecord) bool {
		return rec.Spec == s.Hash && rec.Image.Ref == s.ImageRef() && sameBuild(s, rec.Image)
	}
	always := func(compose.Service, ServiceRecord) bool { return true }
	switch v := a.verdict; {
	case v.Act == ActKeep:
		take(v.Current, always)
	case v.Act == ActReturn:
		take(v.Restore, always)
		if v.Failed != nil {
			take(v.Failed, func(s compose.Service, _ ServiceRecord) bool { return slices.Contains(a.moved, s.Name) })
		}
	default:
		if v.Current != nil {
			take(v.Current, unchanged)
		}
		if v.Restore != nil {
			take(v.Restore, unchanged)
		}
		maps.Copy(pins, a.in.Renewed)
	}
	return pins, nil
}

// desired is the planner's view of the attempt.
func (a *attempt) desired() Desired {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	d := a.loop.desire(a.project, a.images, a.stack, a.verdict, a.in)
	d.Show, d.HookRuns = a.show, a.hookRuns
	return d
}

// desire assembles what the planner reads. The caller holds l.mu.
func (l *Loop) desire(p *compose.Project, images map[string]Image, s *stack, v Verdict, in Situation) Desired {
	d := Desired{
		Project: p, Images: images, Instance: l.Instance, Previous: v.Current,
		Settled:   v.Act == ActKeep,
		Returning: v.Act == ActReturn,
		Failed:    failedContainers(s.history),
		Completed: completions(s.history, p, images),
		Release:   nextRelease(s.history), Canaries: s.canaries,
	}
	if v.Act == ActKeep {
		d.Stopped, d.Restarts = s.controls.Stops, maps.Clone(s.restarts)
	}
	if v.Act != ActKeep {
		d.Strays = l.strays(in)
	}
	d.Data, d.Handover = dataOf(s.history), l.handover(s)
	d.Healing, d.History = s.healing, s.history
	d.PreviousProject = s.declaredBy(v.Current)
	d.Unproven, d.Served = service(s.history)
	d.Ran, d.Left = lives(s.history)
	d.Attempts = attempts(s.history, v, p.Hash)
	if v.Current != nil {
		d.From, d.To, d.Revision = v.Current.Version, v.Current.Version, ""
	}
	switch {
	case v.Act == ActDeploy:
		d.To, d.Revision = in.Revision.Version, in.Revision.Short()
	case v.Act == ActReturn:
		d.To = versionOf(v, in)
		if v.Kind == KindRollback {
			d.Revision = in.Revision.Short()
		}
		if v.Failed != nil {
			d.From = v.Failed.Version
		}
		if v.Away != nil {
			d.From = v.Away.Version
		}
	}
	return d
}

// nextRelease is the number of the release that is to come, or that has begun.
func nextRelease(history []Release) int64 {
	switch {
	case len(history) == 0:
		return 1
	case history[0].Running():
		return history[0].Seq
	}
	return history[0].Seq + 1
}

// versionOf is the version of the release that v begins. What comes back keeps
// the version it had, unless the commit that asks for it carries a tag.
func versionOf(v Verdict, in Situation) string {
	switch {
	case v.Act == ActDeploy, v.Kind == KindRollback && in.Revision.Tag != "":
		return in.Revision.Version
	case v.Restore != nil:
		return v.Restore.Version
	case v.Current != nil:
		return v.Current.Version
	}
	return in.Revision.Version
}

// carryOut records the release, executes the plan and records how it ended.
func (a *attempt) carryOut(ctx context.Context, plan Plan) error {
	a.first = plan
	if err := a.write(); errors.Is(err, errGone) {
		return a.refuse(ctx, err)
	} else if err != nil {
		return err
	}
	if err := a.loop.Executor.Preflight(ctx, plan); err != nil {
		return err
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	result := Result{Err: errAborted} // before an agent died that was told so
	if a.aborted() == nil {
		if plan, result = a.build(ctx, plan); result.Err == nil && !plan.Empty() {
			result = a.roll(ctx, plan)
		}
	}
	if f := a.aborted(); f != nil && errors.Is(result.Err, errAborted) {
		result.Failure, result.Err = f, nil
	}
	// The record is written even while the agent is told to stop.
	ctx = context.WithoutCancel(ctx)
	switch {
	case result.Failure != nil:
		return a.fail(ctx, result)
	case result.Err != nil:
		return a.abandon(ctx, result)
	}
	return a.succeed(ctx, result)
}

func (a *attempt) execute(ctx context.Context, plan Plan, r Release) Result {
	a.plan = plan
	a.stack.logger.Info("plan", "plan", plan.String())
	a.loop.mu.Lock()
	a.stack.work.canaries = holdings(plan, a.loop.Now())
	a.stack.work.course = newCourse(plan, a.images, a.loop.Now())
	a.loop.mu.Unlock()
	return a.loop.Executor.Execute(ctx, Job{Plan: plan, Release: r, Report: a.loop.Emit, Watching: a.yield, Follow: a.follow, Holder: a})
}

// barred reports whether the attempt at what Git declares could not even begin, or
// was cut short, by something that is no fault of the content's, time and again: what
// it has stopped meanwhile is not to stay so until it can.
func (a *attempt) barred(failures int) bool {
	if a.burnt {
		return false // there is no way back
	}
	hindered := a.release.Seq == 0 || a.fruitless || a.release.Outcome == Interrupted && failures > 0
	return hindered && (a.verdict.Act == ActDeploy || a.verdict.Act == ActReturn && a.verdict.Kind == KindRollback)
}

// housekeeping reports whether a plan only clears away what serves nobody.
func housekeeping(p Plan) bool {
	return !slices.ContainsFunc(p.Steps, func(s Step) bool {
		return !s.Clears && s.Kind != StepRemove && s.Kind != StepPrune
	})
}

// recordedImages are the images a release ran, taken to be present: whether they
// are matters only to a plan that creates something, which is made again with
// what the engine says.
func recordedImages(r Release) map[string]Image {
	out := map[string]Image{}
	for _, s := range r.Services {
		image := s.Image
		image.Local = true
		out[s.Name] = image
	}
	return out
}

// recordTimeout bounds the writing of a release's end, which does not end with
// the agent's own context.
const recordTimeout = 30 * time.Second
