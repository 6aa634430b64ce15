package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"davit/compose"
)

// stack is what the loop remembers of one stack between passes. All of it can be
// lost: it is read again from the store, the source and the engine.
type stack struct {
	name   string
	logger *slog.Logger

	// history and controls mirror the store, which nobody else writes.
	history  []Release
	controls Controls
	loaded   bool
	// canaries are what is on record of those that have not come to an end, by service. It
	// is replaced, never changed.
	canaries map[string]CanaryState
	// healing is what is on record of services that fail by themselves. It is replaced,
	// never changed.
	healing map[string]HealingState
	// unreadable is why there is no record of the stack; it is left alone until
	// there is one.
	unreadable error
	// home is where Compose ran the stack, as far as that is on record.
	home home
	// idle is true when nothing was under way at the last pass.
	idle bool
	// noticed are the containers of others that were reported.
	noticed map[string]bool
	// restored caches the parsed project of a release.
	restored    *compose.Project
	restoredSeq int64

	// declared is the hash that Git declares, "" when it declares nothing.
	declared string
	// retry is content that an operator wants tried again.
	retry string
	// drill is an order to rehearse the way back that has not begun, nil for none; agenda
	// is how far the schedule of drills has been kept.
	drill  *DrillOrder
	agenda agenda
	// override is an operator's word that goes past windows, nil for none.
	override *override
	// barred is true while what Git declares could not even begin: an image is
	// missing, say. The last good release is held up until it can.
	barred bool
	// burnt is the last release that began an irreversible hook, as far as that is known
	// without its container.
	burnt int64
	// fruitless is the last release that ended before it had changed anything.
	fruitless int64
	// unfinished is a release that has ended and whose end is not on record yet.
	unfinished *Release
	// trigger is what the next release will name as its cause.
	trigger Trigger
	// work is what is under way, nil when nothing is.
	work    *work
	backoff backoff
	// clearing spaces out attempts to clear away what serves nobody.
	clearing backoff
	// tending spaces out how often a canary is interrupted for the sake of others.
	tending backoff
	view    view
	// renewal is what image references mean by now.
	renewal renewal
	// errand is an operator's order that is not carried out yet.
	errand *errand
	// restarts are the orders to replace what was made before, by service.
	restarts map[string]restart
	// lifted is when an operator last said of a service that it is to run: what was stopped
	// before is not to stay so.
	lifted map[string]time.Time
	// drifted is the drift that was reported and is not corrected, "" for none.
	drifted string
	// fixes are the times of recent corrections of drift, for the loop guard.
	fixes []time.Time
	// mourned are the failed releases whose hooks were seen to, mourning spaces out
	// attempts to see to them.
	mourned  map[int64]bool
	mourning backoff
	// overseen are the hooks, by container, that are seen to their end beside all else,
	// overseeing spaces out attempts at it.
	overseen   map[string]bool
	overseeing backoff
	// keepAt is when the keep tags are due to be verified.
	keepAt time.Time
	// lost is the last report about images that are gone.
	lost string
}

// work is one piece of work on a stack. Two never overlap.
type work struct {
	declared string // what Git declared when it began
	cancel   context.CancelCauseFunc
	// quiet work does not make a stack progressing: looking for an image, removing
	// an old standby. It ends when a release begins.
	quiet bool
	what  string
	// awaitsHooks is true when whatever hook runs is waited for.
	awaitsHooks bool
	// needs are the sums of the content that its containers will mount.
	needs map[string]bool
	// canaries are those of the plan that is carried out, by service; course is how far it
	// has come, nil before it begins.
	canaries map[string]*holding
	course   *course
}

// view is what status shows.
type view struct {
	sync    Sync
	reason  string
	since   time.Time
	err     string
	overdue bool
	// shut is true when it waits for a window, which opens then.
	shut  bool
	opens time.Time
}

// show records how the stack stands and reports whether that is news.
func (s *stack) show(sync Sync, reason string, now time.Time) bool {
	if s.view.sync == sync && s.view.reason == reason {
		return false
	}
	if s.view.sync != sync {
		s.view.since, s.view.overdue = now, false
	}
	s.view.sync, s.view.reason, s.view.shut = sync, reason, false
	return true
}

// load reads the stack's record once; afterwards the loop keeps the mirror. One
// that cannot be read keeps its own stack from everything, and no other.
func (l *Loop) load(ctx context.Context, s *stack) {
	if s.loaded {
		return
	}
	history, err := l.History.Releases(ctx, s.name, 0)
	if err == nil {
		err = l.recallBurnt(ctx, s, history)
	}
	if err == nil {
		s.controls, err = l.Decisions.Controls(ctx, s.name)
	}
	if err == nil {
		err = l.recallCanaries(ctx, s)
	}
	if err == nil {
		err = l.recallDrills(ctx, s)
	}
	if err == nil {
		err = l.recallHealing(ctx, s)
	}
	if s.unreadable = err; err != nil {
		s.unreadable = fmt.Errorf("read the record of stack %s: %w", s.name, err)
		return
	}
	s.history, s.loaded = history, true
}

// project is the project that a release ran, as it was rendered then.
func (s *stack) project(r *Release) (*compose.Project, error) {
	if s.restored != nil && s.restoredSeq == r.Seq {
		return s.restored, nil
	}
	p, err := compose.Unmarshal(r.Project)
	if err != nil {
		return nil, err
	}
	s.restored, s.restoredSeq = p, r.Seq
	return p, nil
}

// declaredBy is the project of a release, nil where it is not on record or cannot
// be read: it is then only left out of reasons and comparisons.
func (s *stack) declaredBy(r *Release) *compose.Project {
	if r == nil || len(r.Project) == 0 {
		return nil
	}
	p, err := s.project(r)
	if err != nil {
		s.logger.Warn("project of a release not readable", "release", r.Seq, "error", err)
		return nil
	}
	return p
}

// backoff spaces out attempts that keep failing: exponentially, with full
// jitter, so that a fleet does not knock on one door together.
type backoff struct {
	failures int
	until    time.Time
}

const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// next counts a failure and sets the earliest time of the next attempt, at most
// limit away.
func (b *backoff) next(now time.Time, limit time.Duration) {
	ceiling := min(firstRetry<<min(b.failures, 20), limit)
	b.failures++
	b.until = now.Add(ceiling/2 + rand.N(ceiling/2+1))
}
