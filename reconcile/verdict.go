package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// Situation is all that is known of one stack before anything is resolved or
// planned.
type Situation struct {
	Stack string
	Now   time.Time
	// Known is false until a revision has been declared since the agent started.
	Known bool
	// Heard is until when the first one is waited for before what was under way is taken
	// back; zero once it is known that none comes.
	Heard time.Time
	// Orphaned is true when no revision is known and the last one that was did not
	// declare the stack.
	Orphaned bool
	// Declared is the stack at the newest revision; nil when it is not there.
	Declared *compose.Project
	Revision Revision
	// Broken is why the stack's files do not load.
	Broken error
	// Removed is true when the stack is declared gone.
	Removed bool
	// Behind names what a new content waits for: another stack that this one depends
	// on. "" when nothing.
	Behind string
	// History is the stack's releases, newest first.
	History  []Release
	Controls Controls
	// Barred is true when the declared content could not even begin.
	Barred bool
	// Renewed are the images, by service, that references of the content which runs
	// mean by now.
	Renewed map[string]Image
	// Burnt is the newest release after the current one that began an irreversible hook; 0
	// for none.
	Burnt int64
	// Retry is the content that an operator wants tried again though it failed.
	Retry string
	// Drill is an order to rehearse the way back, nil for none.
	Drill *DrillOrder
	// Windows are those of the host. Override is true when an operator lets what is
	// declared past all windows; Begun when an attempt at it was cut off half-way.
	Windows         compose.Windows
	Override, Begun bool
	// Adoption compares what runs with what is declared; nil where there is nothing
	// to be taken over. Adopt says what of that is done unasked.
	Adoption *Adoption
	Adopt    AdoptMode
	// Ours and Foreign say whether containers of the stack run that this davit,
	// or somebody else, made. Owner is the other davit's identity, if it was one.
	Ours, Foreign bool
	Owner         string
}

// gone reports whether nothing is left of the stack but its history: Git does not
// declare it, nothing of it runs, and no decision about it stands.
func (s Situation) gone() bool {
	c := s.Controls
	return (s.Known || s.Orphaned) && s.Declared == nil && s.Broken == nil && !s.Ours && c.Pin == nil && c.Suspension == nil
}

// Act is what a pass shall do about a stack.
type Act int

const (
	// ActNothing leaves everything as it is, drift included.
	ActNothing Act = iota
	// ActKeep holds the current release up against drift.
	ActKeep
	// ActDeploy tries the declared content.
	ActDeploy
	// ActReturn brings an earlier release's content back with its own images.
	ActReturn
	// ActStop stops what a failed release left where nothing is to return to.
	ActStop
	// ActRemove takes down a stack that is declared gone.
	ActRemove
	// ActAdopt writes down that what runs is davit's from now on.
	ActAdopt
	// ActHalt stops what an operator wants to be stopped.
	ActHalt
)

func (a Act) String() string {
	return [...]string{"nothing", "keep", "deploy", "return", "stop", "remove", "adopt", "halt"}[a]
}

// Verdict is what was decided about a stack, and why.
type Verdict struct {
	Act Act
	// Sync is how the stack stands if the act finds nothing to do.
	Sync   Sync
	Reason string
	// Kind is the kind of release that ActDeploy and ActReturn begin.
	Kind ReleaseKind
	// Current is the release that counts as running; nil before the first.
	Current *Release
	// Restore is the release whose recorded images and, for ActReturn, content
	// are used.
	Restore *Release
	// Failed is the release that an automatic rollback returns from.
	Failed *Release
	// Away is the way there of a drill that comes back.
	Away *Release
	// EndPin and EndHold say that a decision has run out: Git declares something
	// else by now.
	EndPin, EndHold bool
	// stays is why what runs is not taken back to the current release, "" where it may be.
	stays string
	// Renews is true when the content is the current one and only images are new.
	Renews bool
	// Name is true when a new version names what already runs.
	Name bool
	// Shut is true when something new waits for its window, Opens when that opens; zero
	// where that is not in sight. Forced is true when it goes in all the same, at an
	// operator's word.
	Shut   bool
	Opens  time.Time
	Forced bool
}

// Decide says what to do about a stack. It is pure; the rules are those of an
// operator's promises, in the order in which one overrides the next.
func Decide(s Situation) Verdict { return decide(s).drill(s) }

// decide is Decide without drills.
func decide(s Situation) Verdict {
	v := Verdict{Current: current(s.History)}
	switch {
	case s.Owner != "":
		return v.leave(SyncUnadopted, "its containers belong to another davit, instance "+s.Owner)
	case s.Controls.Suspension != nil && s.Controls.Suspension.Active(s.Now):
		return v.leave(SyncSuspended, suspensionText(*s.Controls.Suspension))
	case s.unadopted():
		return v.adopt(s)
	}
	v.EndHold, v.stays = s.ended(), s.stays()
	if failed := unreturned(s); failed != nil {
		return v.goBack(s, failed)
	}
	if pin := s.Controls.Pin; pin != nil {
		asked := pin.Hold || s.Declared == nil || s.Declared.Hash == pin.Spec
		if asked && !disproven(s.History, *pin) {
			return v.pinned(s, *pin)
		}
		v.EndPin = true
	}
	return v.declared(s)
}

// presumed is the content that the verdict takes Git to declare while no revision
// has been fetched yet: an agent that has only just started goes on with what was
// under way, and a first revision that says what was known is no news to that.
func (v Verdict) presumed(s Situation) string {
	switch {
	case v.Failed != nil:
		return v.Failed.Spec
	case s.Controls.Pin != nil && !v.EndPin:
		return s.Controls.Pin.Spec
	case v.Current != nil:
		return v.Current.Spec
	}
	return ""
}

// unadopted reports whether the stack has containers that nobody has agreed to hand
// over: it has no release, or one that knows only of davit's own containers.
func (s Situation) unadopted() bool {
	now := current(s.History)
	return s.Foreign && (now == nil && !s.Ours || now != nil && now.Spec == "")
}

// adopt decides about a project that runs and is not davit's yet.
func (v Verdict) adopt(s Situation) Verdict {
	const foreign = "its containers were not made by davit; "
	ask := fmt.Sprintf("; `davit adopt %s` takes it over", s.Stack)
	switch {
	case !s.Known:
		return v.leave(SyncUnadopted, foreign+"no revision has been fetched yet")
	case s.Broken != nil:
		return v.leave(SyncUnadopted, foreign+"its files do not load: "+s.Broken.Error())
	case s.Declared == nil || s.Adoption == nil:
		return v.leave(SyncUnadopted, foreign+"nothing declares it")
	case s.Declared.Settings.Suspend:
		return v.leave(SyncSuspended, "x-davit.suspend is true")
	case s.Adoption.Obstacle != nil:
		return v.leave(SyncUnadopted, foreign+Explanation(s.Adoption.Obstacle))
	case len(s.Declared.Unset) > 0:
		return v.leave(SyncUnadopted, foreign+fmt.Sprintf("an image needs %s, and this commit has no version tag", strings.Join(s.Declared.Unset, " and ")))
	case s.Adoption.Identical() && s.Adopt != AdoptNone, s.Adopt == AdoptAll:
		v.Act, v.Kind, v.Sync, v.Reason = ActAdopt, KindAdopt, SyncUnadopted, s.Adoption.reason()
		return v
	case s.Adoption.Identical():
		return v.leave(SyncUnadopted, foreign+"they are what is declared"+ask)
	}
	return v.leave(SyncUnadopted, foreign+"they differ from what is declared: "+s.Adoption.Summary()+ask)
}

// declared follows what Git says.
func (v Verdict) declared(s Situation) Verdict {
	switch {
	case s.Orphaned:
		return v.leave(SyncOrphaned, "the last revision that was fetched did not declare it; it runs on as it is")
	case !s.Known && s.paused() != nil:
		return v.leave(SyncHeld, s.paused().Reason)
	case !s.Known && s.Now.Before(s.Heard) && unproven(s.History) != nil:
		// An agent that was upgraded in the middle of a canary is not to take its share away
		// and begin anew, only because its first poll takes a second.
		return v.leave(SyncProgressing, fmt.Sprintf("release #%d goes on once a revision has been fetched", unproven(s.History).Seq))
	case !s.Known:
		return v.keep(SyncWaiting, "no revision has been fetched yet")
	case s.Broken != nil:
		return v.keep(SyncStalled, s.Broken.Error())
	case s.Declared == nil && s.Removed && !s.Override && !s.opening().Open:
		return v.shutOut(s, SyncWaiting)
	case s.Declared == nil && s.Removed:
		v.Forced = !s.opening().Open
		v.Act, v.Sync, v.Reason = ActRemove, SyncOutOfSync, "declared as removed; its volumes are kept"
		return v
	case s.Declared == nil:
		return v.leave(SyncOrphaned, "the newest revision does not declare it; it runs on, remove it with `davit remove`")
	case s.Declared.Settings.Suspend:
		return v.leave(SyncSuspended, "x-davit.suspend is true")
	case v.Current != nil && same(*v.Current, s.Declared):
		if len(s.Renewed) > 0 && !s.Barred {
			return v.renew(s)
		}
		if s.halfRenewed() {
			return v.leave(SyncHeld, v.stays)
		}
		v.stays = "" // what is declared is what is to be gone back to
		v.Name = names(s)
		return v.keep(SyncSynced, "")
	case s.pausedAt(s.Declared.Hash):
		return v.leave(SyncHeld, s.Controls.Hold.Reason)
	case heldFor(s) != nil:
		return v.keep(SyncHeld, heldFor(s).Failure)
	case s.Barred:
		return v.keep(SyncWaiting, "")
	case len(s.Declared.Unset) > 0:
		return v.keep(SyncWaiting, fmt.Sprintf("an image needs %s, and this commit has no version tag", strings.Join(s.Declared.Unset, " and ")))
	}
	return v.attempt(s)
}

// attempt begins what is declared and was not tried, or not to its end.
func (v Verdict) attempt(s Situation) Verdict {
	v.Sync = SyncOutOfSync
	if good := lastGood(s.History, s.Declared.Hash); good != nil {
		v.Act, v.Kind, v.Restore = ActReturn, KindRollback, good
		v.Reason = fmt.Sprintf("the declared content is that of release #%d %s", origin(s.History, good).Seq, good.Version)
		return v
	}
	if s.shut() {
		return v.shutOut(s, SyncWaiting)
	}
	if s.Behind != "" {
		return v.keep(SyncWaiting, s.Behind)
	}
	v.Act, v.Kind, v.Forced = ActDeploy, KindDeploy, s.Override && !s.opening().Open
	v.Reason = "new content at " + s.Revision.Short()
	// What an attempt that was cut off had resolved stays resolved, so that the containers
	// which it left are recognised, and what its hooks were run for is what goes live.
	if last := newest(s.History); last != nil && last.cutOff() && last.Spec == s.Declared.Hash {
		v.Restore = last
	}
	return v
}

// pinned keeps, or first brings back, the release an operator chose.
func (v Verdict) pinned(s Situation, pin Pin) Verdict {
	why := fmt.Sprintf("pinned to release #%d by %s", pin.Seq, pin.Actor)
	target := bySeq(s.History, pin.Seq)
	switch {
	case target == nil:
		return v.keep(SyncStalled, why+", which is not in the history any more")
	case v.Current != nil && restored(s.History, v.Current, target):
		v.stays = "" // an operator has decided
		return v.keep(SyncPinned, why)
	}
	v.Act, v.Kind, v.Restore, v.Sync, v.Reason = ActReturn, KindManualRollback, target, SyncPinned, why
	return v
}

// restored reports whether r runs what target ran.
func restored(history []Release, r, target *Release) bool {
	if r.Spec != target.Spec {
		return false
	}
	back := r.Kind == KindManualRollback && r.Restores == origin(history, target).Seq
	return back || r.Hash == target.Hash
}

// disproven reports whether an operator's choice was tried and did not work. It is
// not tried again, even if the agent died before it could end the pin.
func disproven(history []Release, pin Pin) bool {
	return slices.ContainsFunc(history, func(r Release) bool {
		return r.Kind == KindManualRollback && (r.Outcome == Failed || r.Outcome == Refused) && !r.Started.Before(pin.Since)
	})
}

// goBack returns to the last good release after a failed one.
func (v Verdict) goBack(s Situation, failed *Release) Verdict {
	v.Failed, v.Sync = failed, SyncHeld
	if v.Current == nil {
		v.Act, v.Reason = ActStop, fmt.Sprintf("release #%d failed, and there is no good release to return to: %s", failed.Seq, failed.Failure)
		return v
	}
	v.Act, v.Kind, v.Restore = ActReturn, KindAutoRollback, v.Current
	v.Reason = fmt.Sprintf("release #%d failed: %s", failed.Seq, failed.Failure)
	return v
}

func (v Verdict) keep(sync Sync, reason string) Verdict {
	v.Sync, v.Reason = sync, reason
	switch {
	case v.Current == nil:
	case v.stays == "":
		v.Act = ActKeep
	case reason == "":
		v.Reason = v.stays
	default:
		v.Reason += "; " + v.stays
	}
	return v
}

func (v Verdict) leave(sync Sync, reason string) Verdict {
	v.Act, v.Sync, v.Reason = ActNothing, sync, reason
	return v
}

// unreturned is the failed release that the stack has not come back from, nil
// when there is none. An automatic rollback that failed is not gone back from:
// the current release is held up against drift instead, with backoff.
func unreturned(s Situation) *Release {
	if s.paused() != nil {
		return nil
	}
	for i := range s.History {
		r := &s.History[i]
		switch {
		case r.Kind == KindNoop || r.Kind == KindDrill || (r.Kind == KindDriftFix || r.Kind == KindRemove) && r.Outcome != Succeeded:
			continue
		case r.Kind == KindAutoRollback && (r.Outcome == Interrupted || r.Outcome == Superseded || r.Outcome == Cancelled):
			continue
		case r.Kind == KindManualRollback && s.Burnt > 0:
			return nil // nobody else knows what can be gone back to
		case r.Outcome == Failed && r.Kind != KindAutoRollback && held(s, r):
			return r
		}
		return nil
	}
	return nil
}

// held reports whether there is nothing else to go to than back: what failed is
// still what is asked for, or an operator's choice, or what is asked for instead
// cannot begin yet.
func held(s Situation, r *Release) bool {
	if r.Kind == KindManualRollback || s.Declared == nil {
		return true
	}
	waits := s.Barred || s.Behind != "" || len(s.Declared.Unset) > 0 || s.shut()
	return s.Retry != r.Spec && (s.Declared.Hash == r.Spec || waits)
}

// heldFor is the release in which the declared content failed last, nil when it
// did not fail or shall be tried again. The history remembers what a hold forgets:
// the same bad content is not tried again because something else came between.
func heldFor(s Situation) *Release {
	if s.Retry == s.Declared.Hash {
		return nil
	}
	for i := range s.History {
		r := &s.History[i]
		if r.Spec != s.Declared.Hash || r.Kind != KindDeploy && r.Kind != KindRollback {
			continue
		}
		switch r.Outcome {
		case Failed, Refused:
			if r.Trigger == TriggerImage {
				continue // the content was good; an image that came by itself was not
			}
			return r
		case Succeeded:
			return nil
		}
	}
	return nil
}

// names reports whether the revision's version is a proper tag that no release of
// the running content carries yet.
func names(s Situation) bool {
	if s.Revision.Tag == "" {
		return false
	}
	for _, r := range s.History {
		if r.Good() || r.Kind == KindNoop {
			return r.Version != s.Revision.Version
		}
	}
	return false
}

// current is the newest release whose content was proven, nil where the stack was
// taken away since. An automatic rollback that failed is still what is to be held
// up: beside proven content it has the services that are not to go back.
func current(history []Release) *Release {
	for i := range history {
		r := &history[i]
		if r.removes() {
			return nil
		}
		if r.Good() || r.Kind == KindAutoRollback && r.Outcome == Failed && len(r.Project) > 0 {
			return r.since(history[:i])
		}
	}
	return nil
}

// lastGood is the newest good release with this content.
func lastGood(history []Release, spec string) *Release {
	for i := range history {
		if history[i].Good() && history[i].Spec == spec {
			return &history[i]
		}
	}
	return nil
}

// origin is the release that first ran the content which r brought back.
func origin(history []Release, r *Release) *Release {
	for r.Restores > 0 {
		before := bySeq(history, r.Restores)
		if before == nil || before.Spec != r.Spec {
			break
		}
		r = before
	}
	return r
}

func newest(history []Release) *Release {
	for i := range history {
		if history[i].Kind != KindNoop {
			return &history[i]
		}
	}
	return nil
}

func bySeq(history []Release, seq int64) *Release {
	for i := range history {
		if history[i].Seq == seq {
			return &history[i]
		}
	}
	return nil
}

// same reports whether release r ran what p declares. A release that was rebuilt
// from container labels does not know its whole content: its services speak.
func same(r Release, p *compose.Project) bool {
	if r.Spec != "" {
		return r.Spec == p.Hash
	}
	if len(r.Services) != len(p.Services) {
		return false
	}
	for _, s := range p.Services {
		if rec, ok := r.Service(s.Name); !ok || rec.Spec != s.Hash {
			return false
		}
	}
	return true
}

func suspensionText(s Suspension) string {
	text := "suspended by " + s.Actor
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	if !s.Until.IsZero() {
		text += ", until " + s.Until.UTC().Format(time.RFC3339)
	}
	return text
}
