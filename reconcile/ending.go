package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"davit/compose"
)

// succeed records a release whose plan ran to its end.
func (a *attempt) succeed(ctx context.Context, result Result) error {
	r := a.release
	r.Outcome, r.Finished = Succeeded, a.loop.Now()
	r.Recovery = a.recovery(r, result)
	a.account(ctx, &r, result)
	for i := range r.Services {
		a.discarded(&r.Services[i])
	}
	r.withHooks(result.Hooks)
	a.finish(ctx, r)
	a.healedNow(ctx)
	a.forget(ctx)
	kind, text := EventReleaseSucceeded, fmt.Sprintf("release #%d %s succeeded", r.Seq, r.Version)
	switch r.Kind {
	case KindRollback, KindAutoRollback, KindManualRollback:
		kind = EventRolledBack
		text = fmt.Sprintf("release #%d: rolled back to %s as of release #%d", r.Seq, r.Version, r.Restores)
	}
	if len(a.moved) > 0 {
		text += "; left where the failed release put them: " + strings.Join(a.moved, ", ")
	}
	a.loop.Emit(a.event(kind, SeverityInfo, text))
	if a.verdict.Away != nil {
		a.tellDrill(r)
	}
	a.loop.keepImages(ctx, r)
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if a.verdict.Act == ActKeep && a.stack.barred {
		return nil // what is declared is waited for still
	}
	a.stack.view.err, a.stack.backoff = "", backoff{}
	return nil
}

// account fills in what the release's services run now. The release has ended,
// whatever the engine says: without an answer the record keeps what the
// execution itself reported.
func (a *attempt) account(ctx context.Context, r *Release, result Result) {
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil {
		a.stack.logger.Warn("release recorded without a look at its containers", "release", r.Seq, "error", err)
	}
	owned := observed.ownedBy(r.Stack, a.loop.Instance)
	r.Services = slices.Clone(r.Services)
	for i := range r.Services {
		rec := &r.Services[i]
		rec.Outcome, rec.Containers, rec.Data = result.Gates[rec.Name], nil, nil
		for _, c := range made(*rec, owned, result) {
			// Where the registry could not tell the engine's ID, the container does.
			rec.Image.ID = c.ImageID
			done := c.State == Exited && c.ExitCode == 0 && a.oneShot(rec.Name)
			rec.Completed = rec.Completed || done
			if (c.Running() || done) && !slices.Contains(rec.Failed, c.ID) {
				rec.Containers = append(rec.Containers, c.ID)
			}
			if held := unnamedIn(c); c.Running() && len(held) > 0 {
				rec.Data = append(rec.Data, held)
			}
		}
		if !rec.Completed && a.oneShot(rec.Name) {
			rec.Completed = a.wasCompleted(*rec)
		}
	}
	r.Hash = releaseHash(r.Spec, imagesOf(*r))
}

// made are the containers with exactly the content of rec, in any state.
func made(rec ServiceRecord, owned []Container, result Result) []Container {
	var out []Container
	for _, c := range owned {
		// Where the image's ID was not known before the pull, only what this very
		// execution made is sure to run it: its predecessor may have the same spec.
		image := c.ImageID == rec.Image.ID || created(result, c.ID)
		if c.Service == rec.Name && c.Spec == rec.Spec && image {
			out = append(out, c)
		}
	}
	return out
}

func created(result Result, id string) bool {
	for _, c := range result.Containers {
		if c == id {
			return true
		}
	}
	return false
}

func (a *attempt) oneShot(name string) bool {
	s, ok := a.project.Service(name)
	return ok && s.OneShot
}

// wasCompleted keeps the record of a one-shot that did not have to run again.
func (a *attempt) wasCompleted(rec ServiceRecord) bool {
	for _, r := range a.in.History {
		if before, ok := r.Service(rec.Name); ok && before.Completed && before.Spec == rec.Spec && before.Image.Same(rec.Image) {
			return true
		}
	}
	return false
}

// fail records a release whose content was tried and found wanting, and holds
// that content.
func (a *attempt) fail(ctx context.Context, result Result) error {
	a.retreat(ctx, result)
	defer a.forget(ctx)
	r := a.release
	f := result.Failure
	a.rememberBurnt(result)
	if a.burnt = a.irreversible(result) && a.aborted() == nil; a.burnt {
		f.Reason += "; nothing is rolled back, because an irreversible hook was begun"
	}
	r.Outcome, r.Finished, r.Failure = Failed, a.loop.Now(), f.Reason
	a.account(ctx, &r, result)
	a.blame(ctx, &r, result)
	r.withHooks(result.Hooks)
	a.healedNow(ctx)
	if err := a.conclude(ctx, r, f); err != nil {
		return err
	}
	if a.news(r) {
		a.loop.Emit(a.event(EventReleaseFailed, SeverityError, fmt.Sprintf("release #%d %s failed: %s", r.Seq, r.Version, f.Reason)))
	}
	if a.verdict.Act == ActDeploy || a.verdict.Kind == KindRollback {
		a.loop.Emit(a.event(EventHeld, SeverityWarning, "held: this content is not tried again before it changes or an operator says retry"))
		return nil
	}
	if a.goesOnDrill() {
		return nil // and comes back at once
	}
	if a.first.heals(f.Step.Service) {
		return nil // the service has a pause of its own, and nothing else is to wait for that
	}
	// What keeps the last good release up failed itself: try again, but not at once.
	return fmt.Errorf("%s: %s", r.Kind, f.Reason)
}

// conclude records the end and what it means for the content. A hold that forbids to
// go back comes first: an agent that dies between the two would go back. Any other
// comes second, since the history alone keeps failed content from another attempt.
func (a *attempt) conclude(ctx context.Context, r Release, f *Failure) error {
	if !a.pauses(f) {
		a.finish(ctx, r)
		return a.decide(ctx, r, f)
	}
	err := a.decide(ctx, r, f)
	a.finish(ctx, r)
	return err
}

// blame marks the containers that go down with the failed release: all that have
// its content, an interrupted attempt's included, but for services that did not
// change and those that stay where they are.
func (a *attempt) blame(ctx context.Context, r *Release, result Result) {
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil {
		a.stack.logger.Warn("failed release recorded without its failed containers", "release", r.Seq, "error", err)
	}
	owned := observed.ownedBy(r.Stack, a.loop.Instance)
	stay := a.stays(result)
	for i := range r.Services {
		rec := &r.Services[i]
		if rec.Name == result.Failure.Step.Service {
			rec.Logs, rec.Outcome = result.Failure.Logs, result.Failure.Reason
		}
		if a.verdict.Act == ActKeep {
			a.unhealed(rec, result)
			continue
		}
		if slices.Contains(stay, rec.Name) {
			continue
		}
		rec.Containers = nil
		if !a.unchanged(*rec) {
			for _, c := range made(*rec, owned, result) {
				if !slices.Contains(rec.Failed, c.ID) { // tolerated before
					rec.Failed = append(rec.Failed, c.ID)
				}
			}
		}
	}
}

// unchanged reports whether the current release ran the service just like that.
func (a *attempt) unchanged(rec ServiceRecord) bool {
	if a.verdict.Current == nil {
		return false
	}
	before, ok := a.verdict.Current.Service(rec.Name)
	return ok && before.Spec == rec.Spec && before.Image.Same(rec.Image)
}

// decide holds the failed content, or ends the pin that asked for it.
func (a *attempt) decide(ctx context.Context, r Release, f *Failure) error {
	switch {
	case a.verdict.Kind == KindManualRollback && a.verdict.Act == ActReturn:
		if err := a.loop.Decisions.SetPin(ctx, r.Stack, nil); err != nil {
			return fmt.Errorf("end the pin of stack %s: %w", r.Stack, err)
		}
		a.loop.mu.Lock()
		a.stack.controls.Pin = nil
		a.loop.mu.Unlock()
	case a.verdict.Act == ActDeploy || a.verdict.Kind == KindRollback && a.verdict.Act == ActReturn:
		hold := &Hold{Stack: r.Stack, Spec: r.Spec, Seq: r.Seq, Reason: f.Reason, Since: r.Finished, Paused: a.pauses(f) || r.Outcome == Refused && a.in.paused() != nil}
		if err := a.loop.Decisions.SetHold(ctx, r.Stack, hold); err != nil {
			return fmt.Errorf("hold the content of release #%d: %w", r.Seq, err)
		}
		a.loop.mu.Lock()
		a.stack.controls.Hold = hold
		a.loop.mu.Unlock()
	}
	return nil
}

// pauses reports whether the failure leaves everything where it is. A revert that
// fails is content that fails: what rollback_config says, by default to pause, is
// about the return from it, after which there is nowhere to go.
func (a *attempt) pauses(f *Failure) bool {
	if a.aborted() != nil {
		return false // somebody is there, and has decided
	}
	if a.burnt || a.project.Settings.Rollback == compose.RollbackNone {
		return true
	}
	s, ok := a.project.Service(f.Step.Service)
	return ok && s.Settings.Update.OnFailure != compose.FailureRollback
}

// stays are the services that do not go back: all but the failed one where only
// the service is rolled back, and otherwise those that have moved with writable
// data, whose old code may not read what the new code wrote.
func (a *attempt) stays(result Result) []string {
	var out []string
	for _, s := range a.project.Services {
		_, moved := result.Gates[s.Name]
		switch {
		case s.Name == result.Failure.Step.Service:
		case slices.Contains(a.moved, s.Name):
			out = append(out, s.Name)
		case a.project.Settings.Rollback == compose.RollbackService,
			moved && !s.OneShot && writableMount(s, a.images[s.Name]) != "":
			out = append(out, s.Name)
		}
	}
	return out
}

// abandon records a release that ended for a reason outside its content.
func (a *attempt) abandon(ctx context.Context, result Result) error {
	r := a.release
	r.Outcome, r.Finished, r.Failure = Interrupted, a.loop.Now(), result.Err.Error()
	switch {
	case errors.Is(result.Err, errSuperseded):
		r.Outcome = Superseded
	case errors.Is(result.Err, errCancelled):
		r.Outcome = Cancelled
	}
	a.account(ctx, &r, result)
	blameBuild(&r, result.Err)
	r.withHooks(result.Hooks)
	a.rememberBurnt(result)
	a.burnt = a.irreversible(result)
	a.fruitless = a.plan.prepares(result.Done) && !a.hooked(result)
	a.finish(ctx, r)
	a.loop.mu.Lock()
	if a.fruitless {
		a.stack.fruitless = r.Seq
	}
	if len(a.first.healed()) > 0 {
		a.stack.fixes = append(a.stack.fixes, r.Finished) // it does not count as an attempt to heal
	}
	a.loop.mu.Unlock()
	if a.news(r) {
		a.loop.Emit(a.event(EventReleaseEnded, SeverityWarning, fmt.Sprintf("release #%d %s %s: %s", r.Seq, r.Version, r.Outcome, r.Failure)))
	}
	return result.Err
}

// refuse records that the release could not be begun as asked. Nothing changed.
func (a *attempt) refuse(ctx context.Context, cause error) error {
	a.project = a.in.Declared
	if a.project == nil || a.verdict.Act != ActReturn || a.verdict.Kind == KindAutoRollback || a.verdict.Away != nil {
		return &Stalled{Reason: "cannot be restored", Err: cause}
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	r := a.release
	r.Outcome, r.Finished, r.Failure = Refused, a.loop.Now(), cause.Error()
	a.finish(ctx, r)
	if err := a.decide(ctx, r, &Failure{Reason: cause.Error()}); err != nil {
		return err
	}
	a.loop.Emit(a.event(EventReleaseEnded, SeverityError, fmt.Sprintf("release #%d refused: %s", r.Seq, Explanation(cause))))
	return nil
}

// finish writes the ending to the store and to the mirror. The release has ended
// even if the store cannot be told now: the loop tells it before it does anything
// else about the stack.
func (a *attempt) finish(ctx context.Context, r Release) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	// An engine's error quotes what it was given.
	r.Failure = a.loop.Scrub(r.Failure)
	err := a.loop.History.Finish(ctx, r)
	a.release = r
	a.remember(r)
	if err == nil {
		return
	}
	a.stack.logger.Error("end of a release not recorded yet", "release", r.Seq, "error", err)
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	a.stack.unfinished = &r
}

// releaseHash identifies exactly what ran: the content and the image IDs.
func releaseHash(spec string, images map[string]Image) string {
	h := sha256.New()
	io.WriteString(h, spec)
	for _, name := range sortedKeys(images) {
		fmt.Fprintf(h, "\n%s=%s", name, images[name].ID)
	}
	return "v1:" + hex.EncodeToString(h.Sum(nil))
}

func imagesOf(r Release) map[string]Image {
	out := map[string]Image{}
	for _, s := range r.Services {
		out[s.Name] = s.Image
	}
	return out
}
