package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// home is where Compose ran a stack, as a release remembers it, and what is
// declared moved there.
type home struct {
	seq    int64 // the release that was asked
	origin *compose.Origin
	// declared is what moved was made of.
	declared, moved *compose.Project
}

// compare puts what is declared into the directory that Compose ran the stack in,
// and holds what runs against it where nobody has agreed to hand it over. The
// caller holds l.mu.
func (l *Loop) compare(s *stack, in *Situation) {
	in.Adopt = l.AdoptMode
	if in.Declared == nil {
		return
	}
	open := in.unadopted() || in.Owner != ""
	origin, known, err := s.recordedOrigin()
	if open && slices.ContainsFunc(s.history, Release.removes) {
		known = false // it is another project, wherever the one of that name once was
	}
	if !known && err == nil && (open || in.Ours) {
		origin, err = originOf(in.Declared, l.observed, s.name)
	}
	if err == nil && origin != nil {
		in.Declared, err = s.home.move(in.Declared, *origin)
	}
	switch {
	case open && err != nil:
		in.Adoption = &Adoption{Obstacle: err}
	case err != nil:
		in.Declared, in.Broken = nil, err
	case open:
		a := NewAdoption(in.Declared, l.observed, l.Instance)
		in.Adoption = &a
	}
}

// recordedOrigin is where the newest release that knows its project says that
// Compose ran the stack. It is not known before the first.
func (s *stack) recordedOrigin() (origin *compose.Origin, known bool, err error) {
	for i := range s.history {
		r := &s.history[i]
		if len(r.Project) == 0 {
			continue
		}
		if s.home.seq != r.Seq {
			p, err := compose.Unmarshal(r.Project)
			if err != nil {
				return nil, true, fmt.Errorf("read the project of release #%d: %w", r.Seq, err)
			}
			s.home.seq, s.home.origin = r.Seq, p.Origin
		}
		return s.home.origin, true, nil
	}
	return nil, false, nil
}

// move is declared in the directory of o.
func (h *home) move(declared *compose.Project, o compose.Origin) (*compose.Project, error) {
	o.Own = declared.WorkingDir
	if h.declared == declared && h.moved != nil && *h.moved.Origin == o {
		return h.moved, nil
	}
	moved, err := declared.Relocated(o)
	if err != nil {
		return nil, err
	}
	h.declared, h.moved = declared, moved
	return moved, nil
}

// adoptUnasked starts what the configuration allows without an operator's word.
func (l *Loop) adoptUnasked(ctx context.Context, s *stack, in Situation, v Verdict, now time.Time) time.Time {
	if now.Before(s.backoff.until) {
		return s.backoff.until
	}
	s.trigger = TriggerPoll // startup is for what is rebuilt
	l.start(ctx, s, in, v, "adopt")
	return time.Time{}
}

// AdoptRequest is an operator's word that what runs of a stack is davit's from now
// on.
type AdoptRequest struct {
	Stack, Actor string
	// TakeOver allows containers of another davit, which must not run any more.
	TakeOver bool
}

// Adopt takes a running project over. When it returns, that is on record, and
// nothing has been changed yet: whatever differs from what is declared is rolled
// like any other new content.
func (l *Loop) Adopt(ctx context.Context, r AdoptRequest) error {
	observed, err := l.Engine.Observe(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.observed = observed
	s, err := l.known(ctx, r.Stack)
	var in Situation
	if err == nil && l.keepsPorts(s) {
		defer l.mu.Unlock()
		return l.agreeToHandover(ctx, s, r)
	}
	if err == nil {
		in = l.situation(s, l.Now())
		err = adoptable(s, in, r)
	}
	if err != nil {
		l.mu.Unlock()
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.work = &work{declared: s.declared, cancel: cancel, what: "adopt", quiet: true}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		s.work, s.backoff = nil, backoff{}
		l.mu.Unlock()
		l.poke()
	}()
	v := Verdict{Act: ActAdopt, Kind: KindAdopt, Current: current(in.History), Reason: in.Adoption.reason()}
	a := &attempt{loop: l, stack: s, in: in, verdict: v, trigger: TriggerCLI, agreed: &r}
	err = a.takeOver(ctx)
	if err == nil {
		// Whoever agrees has seen what follows, and does not mean some day.
		l.mu.Lock()
		s.override = &override{s.declared, r.Actor}
		l.mu.Unlock()
	}
	return err
}

// adoptable refuses what there is nothing to adopt of, and what must not be.
func adoptable(s *stack, in Situation, r AdoptRequest) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("adopt stack %s: %w: %s", s.name, ErrNotApplicable, fmt.Sprintf(format, args...))
	}
	switch {
	case s.work != nil:
		return refuse("%s is under way", s.work.what)
	case in.Owner == "" && !in.unadopted():
		return refuse("nothing of it runs that is not this davit's already")
	case !in.Known:
		return refuse("no revision has been fetched yet")
	case in.Broken != nil:
		return fmt.Errorf("adopt stack %s: its files do not load: %w", s.name, in.Broken)
	case in.Declared == nil:
		return WithHint(refuse("the newest revision does not declare it"), "put its compose file into the repository first")
	case in.Adoption.Obstacle != nil:
		return fmt.Errorf("adopt stack %s: %w", s.name, in.Adoption.Obstacle)
	case len(in.Declared.Unset) > 0:
		return refuse("an image needs %s, and this commit has no version tag", in.Declared.Unset[0])
	case in.Owner != "" && !r.TakeOver:
		return WithHint(refuse("containers of it belong to another davit, instance %s", in.Owner),
			"if that davit does not run any more, say --take-over")
	}
	return nil
}

// reason is why a project is taken over, for the record.
func (a Adoption) reason() string {
	if a.Identical() {
		return "it runs as it is declared"
	}
	return "it runs otherwise than declared: " + a.Summary()
}

// takeOver records that what runs is davit's from now on. It touches no container.
func (a *attempt) takeOver(ctx context.Context) error {
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil {
		return err
	}
	adoption := NewAdoption(a.in.Declared, observed, a.loop.Instance)
	if a.agreed == nil && !adoption.Identical() && (a.loop.AdoptMode != AdoptAll || adoption.Owner != "") {
		return &Waiting{Reason: "it changed while it was being taken over"}
	}
	r, err := a.draft(ctx, adoption)
	if err != nil {
		return err
	}
	if err := a.loop.Executor.Preflight(ctx, Plan{Stack: a.stack.name}); err != nil {
		return err
	}
	if r, err = a.loop.History.Begin(ctx, r); err != nil {
		return fmt.Errorf("record the adoption of stack %s: %w", a.stack.name, err)
	}
	r.Outcome, r.Finished = Succeeded, a.loop.Now()
	a.finish(ctx, r)
	a.loop.Emit(a.event(EventAdopted, SeverityInfo, fmt.Sprintf("release #%d: adopted as it runs, nothing restarted: %s", r.Seq, r.Reason)))
	a.loop.keepImages(context.WithoutCancel(ctx), r)
	return nil
}

// draft is the release of an adoption, as far as it is known before it is recorded.
func (a *attempt) draft(ctx context.Context, adoption Adoption) (Release, error) {
	var err error
	if a.project, err = adoption.project(a.in.Declared); err != nil {
		return Release{}, err
	}
	revision := a.in.Revision
	r := Release{
		Stack: a.in.Stack, Kind: KindAdopt, Version: revision.Version,
		Revision: revision.String(), Commit: revision.Commit, Author: revision.Author, Subject: revision.Subject,
		Spec: a.project.Hash, Reason: adoption.reason(), Trigger: a.trigger, Actor: "davit", Started: a.loop.Now(),
	}
	if !adoption.Identical() {
		r.Version = "" // nobody knows which it is
	}
	if a.agreed != nil {
		r.Actor = a.agreed.Actor
	}
	if r.Services, err = adoption.record(ctx, a.loop.Engine, a.in.Declared); err != nil {
		return Release{}, err
	}
	r.Hash = releaseHash(r.Spec, imagesOf(r))
	if r.Project, err = a.project.Marshal(); err != nil {
		return Release{}, fmt.Errorf("render stack %s: %w", a.in.Stack, err)
	}
	return r, nil
}

// project is what runs as a project: the declared one where that is the same.
func (a Adoption) project(declared *compose.Project) (*compose.Project, error) {
	if len(a.Differences) == 0 {
		return declared, nil
	}
	runs := map[string]compose.Running{}
	for name, r := range a.services {
		as := compose.Running{Hash: a.spec(name, declared), Replicas: len(r.live())}
		runs[name] = as
	}
	return declared.AsRunning(runs)
}

// spec stands for what the containers of a service were made from.
func (a Adoption) spec(name string, declared *compose.Project) string {
	if s, ok := declared.Service(name); ok && a.services[name].equal {
		return s.Hash
	}
	c := a.services[name].containers[0]
	return "adopted:" + cmp.Or(c.ConfigHash, c.Spec, c.ID)
}

// record is what runs, by service, with the facts of the images that it runs.
func (a Adoption) record(ctx context.Context, engine Engine, declared *compose.Project) ([]ServiceRecord, error) {
	var out []ServiceRecord
	for _, name := range sortedKeys(a.services) {
		r := a.services[name]
		first := r.containers[0]
		image, err := engine.LocalImage(ctx, first.ImageID)
		if err != nil && !errors.Is(err, ErrImageMissing) {
			return nil, fmt.Errorf("look at the image that %s runs: %w", first.Name, err)
		}
		image.Ref, image.ID = first.ImageRef, first.ImageID
		rec := ServiceRecord{Name: name, Spec: a.spec(name, declared), Image: image, Outcome: "taken over, not restarted"}
		s, _ := declared.Service(name)
		u := &unit{Service: s}
		for _, c := range r.containers {
			rec.Containers = append(rec.Containers, c.ID)
			rec.Completed = rec.Completed || s.OneShot && u.completed(c)
			if held := unnamedIn(c); len(held) > 0 {
				rec.Data = append(rec.Data, held)
			}
		}
		out = append(out, rec)
	}
	return out, nil
}
