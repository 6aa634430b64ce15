package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// pass observes everything once, decides for every stack that is not being
// worked on, and starts the work there is. It returns how long the loop may
// sleep.
func (l *Loop) pass(ctx context.Context) time.Duration {
	resting := l.resting()
	observed, err := l.Engine.Observe(ctx)
	if err == nil {
		err = l.loadAll(ctx, observed)
	}
	if err == nil {
		observed = l.mend(ctx, observed, resting)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return 0
	}
	l.noteEngine(err)
	if err != nil {
		return 2 * time.Second
	}
	l.noticeForeign(observed)
	l.observed = observed
	now := l.Now()
	next := l.tend(now, now.Add(resync))
	l.lookups = newLookups(l.Registry)
	l.announceClashes(now)
	lost := l.tableLost()
	for _, name := range l.inOrder() {
		l.disturbed(l.stacks[name], lost)
		if again := l.attend(ctx, l.stacks[name], now); !again.IsZero() && again.Before(next) {
			next = again
		}
		if l.actsOn(name) && !l.ObserveOnly {
			l.seeOut(ctx, l.stacks[name])
		}
	}
	if due := l.unverified(now); len(due) > 0 && !l.ObserveOnly {
		l.workers.Go(func() { l.verifyKeepTags(ctx, due) })
	}
	if l.collectDue(now) {
		l.workers.Go(func() { l.collect(ctx) })
	}
	return max(next.Sub(now), 0)
}

// attend sees whether a drill of the stack is due, and considers the stack where nothing is
// under way. It returns when it wants to be attended to again, like consider. The caller
// holds l.mu.
func (l *Loop) attend(ctx context.Context, s *stack, now time.Time) time.Time {
	if !l.actsOn(s.name) || s.work != nil && s.work.quiet {
		return time.Time{}
	}
	due := l.dueDrill(ctx, s, now)
	if s.work != nil {
		return due
	}
	return sooner(l.consider(ctx, s, now), due)
}

// loadAll makes sure that every stack that is declared, recorded or running is
// known, and its record read.
func (l *Loop) loadAll(ctx context.Context, observed Observed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var recorded []string
	if !l.surveyed {
		var err error
		if recorded, err = l.History.Stacks(ctx); err != nil {
			return err
		}
		if err := l.recallOwners(ctx); err != nil {
			return err
		}
		if err := l.recallHandovers(ctx); err != nil {
			return err
		}
		l.surveyed = true
	}
	if err := l.settleOwners(ctx); err != nil {
		return err
	}
	for _, name := range recorded {
		l.stack(name)
	}
	for i := range observed.Containers {
		if c := &observed.Containers[i]; c.Instance == l.Instance {
			l.stack(c.Stack)
		}
	}
	for _, s := range l.stacks {
		l.load(ctx, s)
	}
	return nil
}

// noteEngine reports when the engine, or the store, goes away and comes back.
func (l *Loop) noteEngine(err error) {
	switch {
	case err != nil && l.engineErr == nil:
		l.Emit(Event{At: l.Now(), Kind: EventEngineLost, Severity: SeverityError, Message: err.Error()})
	case err == nil && l.engineErr != nil:
		l.Emit(Event{At: l.Now(), Kind: EventEngineRecovered, Severity: SeverityInfo, Message: "container engine answers again"})
		for _, s := range l.stacks {
			s.fixes = nil // what an outage took down is nobody's sabotage
		}
	}
	l.engineErr = err
}

// situation gathers what is known of a stack. The caller holds l.mu.
func (l *Loop) situation(s *stack, now time.Time) Situation {
	in := l.facts(s, now)
	in.Behind = l.behind(in)
	return in
}

// facts is the situation of a stack by itself. The caller holds l.mu.
func (l *Loop) facts(s *stack, now time.Time) Situation {
	in := Situation{Stack: s.name, Now: now, History: s.history, Controls: s.controls, Retry: s.retry, Drill: s.drill, Windows: l.Windows}
	l.declaredFor(&in)
	in.Override, in.Begun = s.override != nil && s.override.spec == s.declared, l.begun(s.history, in)
	in.Renewed, in.Burnt = s.renewed(in.Declared), l.burnt(s)
	for i := range l.observed.Containers {
		switch c := &l.observed.Containers[i]; {
		case c.Stack != s.name || c.OneOff:
		case c.Instance == l.Instance:
			in.Ours = true
		case c.Instance == "":
			in.Foreign = true
		default:
			in.Owner = c.Instance
		}
	}
	l.compare(s, &in)
	return in
}

// consider decides for one stack and starts work on it if there is any. It
// returns when the stack wants to be considered again; zero for "when something
// happens". The caller holds l.mu.
func (l *Loop) consider(ctx context.Context, s *stack, now time.Time) time.Time {
	if s.unfinished != nil && now.Before(s.backoff.until) {
		return s.backoff.until
	}
	if err := l.settleEnd(ctx, s); err != nil {
		return l.trouble(s, err, now)
	}
	if s.unreadable != nil && now.Before(s.backoff.until) {
		return s.backoff.until
	}
	if s.unreadable != nil {
		return l.trouble(s, s.unreadable, now)
	}
	in := l.situation(s, now)
	if in.gone() {
		s.view = view{}
		return time.Time{}
	}
	v := Decide(in)
	if l.ObserveOnly {
		return l.watch(s, in, v, now)
	}
	if v.Act != ActReturn || v.Kind != KindDrill {
		l.callOff(s, errors.New("the stack is "+standing(v.Sync, v.Reason)))
	}
	if v.Sync != SyncSuspended {
		l.mourn(ctx, s, now)
	}
	if err := l.noteStops(ctx, s, l.observed); err != nil {
		return l.trouble(s, err, now)
	}
	in.Controls = s.controls
	if halt := halting(l.Instance, in, l.observed); in.haltable(v) && !halt.Empty() {
		v.Act = ActHalt
		l.start(ctx, s, in, v, "stop")
		return time.Time{}
	}
	if err := l.settleDecisions(ctx, s, v, in); err != nil {
		return l.trouble(s, err, now)
	}
	if v.Sync == SyncSynced && s.retry == "" {
		s.override = nil // an operator's word is for what waits now, not for what comes
	}
	switch v.Act {
	case ActNothing:
		return l.letBe(ctx, s, in, v, now)
	case ActKeep:
		return sooner(l.keep(ctx, s, in, v, now), v.Opens)
	case ActStop:
		return l.standDown(ctx, s, in, v, now)
	case ActAdopt:
		return l.adoptUnasked(ctx, s, in, v, now)
	}
	if now.Before(s.backoff.until) {
		l.overdue(s, in, now)
		return l.holdUp(ctx, s, in, now)
	}
	if s.view.sync != SyncWaiting && s.view.sync != SyncStalled || s.view.shut {
		// Not held, and not pinned, before it is where a held or pinned stack is.
		s.show(SyncOutOfSync, v.Reason, now)
	}
	l.start(ctx, s, in, v, v.Kind.String())
	return time.Time{}
}

// letBe does nothing about the stack, and returns when that may be over.
func (l *Loop) letBe(ctx context.Context, s *stack, in Situation, v Verdict, now time.Time) time.Time {
	l.announce(s, v, now)
	switch {
	case s.controls.Suspension != nil:
		return s.controls.Suspension.Until
	case now.Before(in.Heard):
		return in.Heard
	case v.Sync == SyncHeld:
		return l.refresh(ctx, s, in, v, now)
	}
	return v.Opens
}

// keep plans against drift, from memory alone, and starts work only if there is
// something to do.
func (l *Loop) keep(ctx context.Context, s *stack, in Situation, v Verdict, now time.Time) time.Time {
	if now.Before(s.backoff.until) {
		return s.backoff.until
	}
	plan, err := l.correction(s, in, v, now)
	if err != nil {
		return l.trouble(s, err, now)
	}
	well := l.noteAilments(ctx, s, plan, now)
	if left := s.errand == nil && tolerated(plan, s.history); left || plan.Empty() || s.clears(plan, now) {
		l.leave(s, plan, left)
		s.errand = nil
		l.announce(s, v, now)
		s.backoff = backoff{}
		return sooner(sooner(s.next(plan), well), l.refresh(ctx, s, in, v, now))
	}
	until := l.correct(ctx, s, in, v, plan, now)
	if !until.IsZero() {
		s.show(v.Sync, "drifts again and again; next correction at "+until.UTC().Format(time.TimeOnly), now)
	}
	return until
}

// holdUp keeps the last good release up, or returns to it, while what Git declares
// cannot even begin. What an attempt before it left behind, or drift, is not to
// last until it can.
func (l *Loop) holdUp(ctx context.Context, s *stack, in Situation, now time.Time) time.Time {
	again := s.backoff.until
	if !s.barred {
		return again
	}
	in.Barred = true
	switch v := Decide(in); v.Act {
	case ActReturn:
		l.start(ctx, s, in, v, v.Kind.String())
	case ActKeep:
		plan, err := l.correction(s, in, v, now)
		if err != nil {
			return again // what is declared may well be the remedy
		}
		l.noteAilments(ctx, s, plan, now)
		if next := s.next(plan); !next.IsZero() && next.Before(again) {
			again = next
		}
		if !plan.Empty() && !s.clears(plan, now) && (s.errand != nil || !tolerated(plan, s.history)) {
			if until := l.correct(ctx, s, in, v, plan, now); !until.IsZero() && until.Before(again) {
				again = until
			}
		}
	}
	return again
}

// correction is the plan against drift; an empty one where nobody knows what the
// current release was.
func (l *Loop) correction(s *stack, in Situation, v Verdict, now time.Time) (Plan, error) {
	p, err := l.currentProject(s, in, v)
	if p == nil || err != nil {
		return Plan{}, nil
	}
	return NewPlan(l.desire(p, recordedImages(*v.Current), s, v, in), l.observed, now)
}

// sooner is the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// clears reports whether the plan only clears away what could not be cleared away
// a moment ago.
func (s *stack) clears(p Plan, now time.Time) bool {
	return housekeeping(p) && now.Before(s.clearing.until)
}

// next is when planning again is worth while though nothing happens.
func (s *stack) next(p Plan) time.Time {
	if !p.Empty() && (p.Next.IsZero() || s.clearing.until.Before(p.Next)) {
		return s.clearing.until
	}
	return p.Next
}

// correct starts a correction, or returns when it may start.
func (l *Loop) correct(ctx context.Context, s *stack, in Situation, v Verdict, p Plan, now time.Time) time.Time {
	if !housekeeping(p) {
		if until := l.guard(s, now); s.errand == nil && now.Before(until) {
			return until
		}
	}
	l.start(ctx, s, in, v, "keep")
	return time.Time{}
}

// guard delays corrections that come again and again: something, or somebody,
// wants the opposite.
func (l *Loop) guard(s *stack, now time.Time) time.Time {
	s.fixes = slices.DeleteFunc(s.fixes, func(t time.Time) bool { return now.Sub(t) > 10*time.Minute })
	n := len(s.fixes)
	if n < 3 {
		return time.Time{}
	}
	return s.fixes[n-1].Add(min(10*time.Second<<min(n-3, 10), lastRetry))
}

// currentProject is the project of the current release. A release that was
// rebuilt from labels has none of its own: what Git declares stands in for it
// where it is the same.
func (l *Loop) currentProject(s *stack, in Situation, v Verdict) (*compose.Project, error) {
	if len(v.Current.Project) > 0 {
		return s.project(v.Current)
	}
	if in.Declared != nil && same(*v.Current, in.Declared) {
		return in.Declared, nil
	}
	return nil, nil
}

// announce shows a state in which nothing is to be done, and says so once.
func (l *Loop) announce(s *stack, v Verdict, now time.Time) {
	if v.Sync == SyncSynced {
		s.view.err = ""
	}
	if v.Shut {
		l.announceShut(s, v, now)
		return
	}
	if !s.show(v.Sync, v.Reason, now) {
		return
	}
	kinds := map[Sync]EventKind{
		SyncOrphaned: EventOrphaned, SyncUnadopted: EventUnadopted, SyncStalled: EventStalled, SyncWaiting: EventWaiting,
	}
	if kind, ok := kinds[v.Sync]; ok && v.Reason != "" {
		l.event(s, kind, SeverityWarning, v.Reason)
	}
}

// overdue turns a wait that has lasted too long into something to look at.
func (l *Loop) overdue(s *stack, in Situation, now time.Time) {
	if in.Declared == nil || s.view.overdue || s.view.sync != SyncWaiting || now.Sub(s.view.since) < in.Declared.Settings.ImageWait {
		return
	}
	since := s.view.since
	s.show(SyncStalled, s.view.reason, now)
	s.view.overdue, s.view.since = true, since
	l.event(s, EventWaitingTooLong, SeverityError,
		fmt.Sprintf("waited %s: %s", brief(now.Sub(since).Round(time.Second)), s.view.reason))
}

// trouble records an error that is neither the content's fault nor a reason to
// stop trying.
func (l *Loop) trouble(s *stack, err error, now time.Time) time.Time {
	var (
		waiting *Waiting
		stalled *Stalled
	)
	s.view.err = l.Scrub(Explanation(err))
	switch {
	case errors.As(err, &waiting):
		if !s.view.overdue {
			l.announceTrouble(s, SyncWaiting, EventWaiting, SeverityWarning, waiting.Reason, now)
		}
		s.backoff.next(now, l.patience(s, now))
		if waiting.After > 0 {
			s.backoff.until = now.Add(waiting.After)
		}
		return s.backoff.until
	case errors.As(err, &stalled):
		l.announceTrouble(s, SyncStalled, EventStalled, SeverityError, err.Error(), now)
		if stalled.After > 0 {
			s.backoff.until = now.Add(stalled.After)
			return s.backoff.until
		}
	default:
		l.announceTrouble(s, SyncWaiting, EventWaiting, SeverityWarning, err.Error(), now)
	}
	s.backoff.next(now, lastRetry)
	return s.backoff.until
}

// announceTrouble shows trouble and says so once, however often it is met again.
func (l *Loop) announceTrouble(s *stack, sync Sync, kind EventKind, severity Severity, reason string, now time.Time) {
	reason = l.Scrub(reason)
	news := s.view.sync != sync
	s.show(sync, reason, now)
	if news {
		l.event(s, kind, severity, s.view.err)
	}
}

// patience is the longest pause between two looks for something that is merely
// not there yet: short at first, since an image is often pushed minutes after
// its tag.
func (l *Loop) patience(s *stack, now time.Time) time.Duration {
	if s.view.overdue || now.Sub(s.view.since) > 30*time.Minute {
		return lastRetry
	}
	return 15 * time.Second
}

// event emits an event about a stack.
func (l *Loop) event(s *stack, kind EventKind, severity Severity, message string) {
	e := Event{At: l.Now(), Stack: s.name, Kind: kind, Severity: severity, Message: message}
	if d := l.claims.speaker(s.name); d != nil {
		e.Commit, e.Version = d.Revision.Commit, d.Revision.Version
	}
	l.Emit(e)
}
