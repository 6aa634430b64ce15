package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// Windows hold back what is new: content that never ran here, an image that came behind
// its tag, the removal of a stack. They hold back nothing that brings a good state back:
// content that was good here before, a rollback of any kind, a correction of drift; and
// nothing that an operator orders.

// opening is what the windows say that concern the stack: its own, and those of the host.
func (s Situation) opening() compose.Opening {
	if s.Declared == nil {
		return s.Windows.Opening(s.Now)
	}
	return s.Windows.Opening(s.Now, s.Declared.Settings.Windows)
}

// shut reports whether the declared content has to wait for its window, where it is not
// what runs.
func (s Situation) shut() bool {
	return s.Declared != nil && !s.Override && !s.Begun && lastGood(s.History, s.Declared.Hash) == nil && !s.opening().Open
}

// shutOut is the verdict where something new has to wait for its window: what runs is
// kept up meanwhile.
func (v Verdict) shutOut(s Situation, sync Sync) Verdict {
	o := s.opening()
	v.Shut, v.Opens = true, o.Next
	return v.keep(sync, windowText(o, s.Now))
}

// windowText is "window opens Sun 02:00 CET, in 5h".
func windowText(o compose.Opening, now time.Time) string {
	switch {
	case o.Err != nil:
		return "its windows cannot be read: " + o.Err.Error()
	case o.Next.IsZero():
		return "no window opens in sight"
	}
	return fmt.Sprintf("window opens %s, in %s", day(o.Next, now), until(o.Next.Sub(now)))
}

// day is a moment as somebody says it that looks at the calendar now.
func day(at, now time.Time) string {
	switch {
	case at.Sub(now) < 6*24*time.Hour:
		return at.Format("Mon 15:04 MST")
	case at.Year() == now.In(at.Location()).Year():
		return at.Format("Mon 2 Jan 15:04 MST")
	}
	return at.Format("Mon 2 Jan 2006 15:04 MST")
}

// until is how long it takes, no more exactly than anybody wants to know.
func until(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int((d+12*time.Hour)/(24*time.Hour)))
	case d >= time.Minute:
		return brief(d.Round(time.Minute))
	}
	return brief(d.Round(time.Second))
}

// override is an operator's word that content may go in though its windows are shut.
type override struct{ spec, actor string }

// PassWindows lets what is declared now go in though its windows are shut, for one stack
// or for "" all of them. It counts for that content and once.
func (l *Loop) PassWindows(ctx context.Context, stack, actor string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stack == "" {
		for _, name := range sortedKeys(l.stacks) {
			if l.inScope(name) {
				l.passWindows(l.stacks[name], actor)
			}
		}
		l.poke()
		return nil
	}
	s, err := l.known(ctx, stack)
	if err != nil {
		return err
	}
	l.passWindows(s, actor)
	l.poke()
	return nil
}

// passWindows is PassWindows for one stack. What is under way, and went on because its
// successor had to wait, gives way to it. The caller holds l.mu.
func (l *Loop) passWindows(s *stack, actor string) {
	busy := s.work != nil && !s.work.quiet
	v := Decide(l.situation(s, l.Now()))
	if !v.Shut || busy && s.work.declared == s.declared {
		return // nothing waits
	}
	s.override, s.backoff = &override{s.declared, actor}, backoff{}
	l.event(s, EventReleased, SeverityInfo, "let past its windows by "+actor)
	if busy {
		s.work.cancel(errSuperseded)
	}
}

// tooLate reports whether the window has closed while the attempt waited for its turn.
func (a *attempt) tooLate() bool {
	if a.verdict.Act != ActDeploy && a.verdict.Act != ActRemove {
		return false
	}
	in := a.in
	in.Now = a.loop.Now()
	return Decide(in).Shut
}

// begun reports whether an attempt at the declared content was cut off, by an operator who
// suspended it, say, and has left containers: what is half done is not left so because a
// window closed.
func (l *Loop) begun(history []Release, in Situation) bool {
	if in.Declared == nil {
		return false
	}
	cut := map[int64]bool{}
	for _, r := range history {
		if r.Outcome != Interrupted && r.Outcome != Cancelled || r.Spec != in.Declared.Hash {
			break
		}
		cut[r.Seq] = true
	}
	return len(cut) > 0 && slices.ContainsFunc(l.observed.Containers, func(c Container) bool {
		return c.Stack == in.Stack && c.Instance == l.Instance && cut[c.Release]
	})
}

// announceShut shows that something waits for its window, and says so once for each
// opening: to wait for that is no trouble, however long it lasts. It is one if the window
// has closed before what was tried in it could begin.
func (l *Loop) announceShut(s *stack, v Verdict, now time.Time) {
	before := s.view
	s.show(v.Sync, v.Reason, now)
	s.view.shut, s.view.opens = true, v.Opens
	if before.shut && before.sync == v.Sync && before.opens.Equal(v.Opens) {
		return
	}
	// A correction in between is no news of the window.
	again := !before.opens.IsZero() && before.opens.Equal(v.Opens)
	s.view.overdue = false
	if !before.shut {
		s.view.since = now
	}
	missed := !before.shut && before.reason != "" && (before.sync == SyncWaiting || before.sync == SyncStalled)
	if missed {
		l.event(s, EventWaiting, SeverityWarning, fmt.Sprintf("its window has closed, and it could not begin: %s; %s", before.reason, v.Reason))
		return
	}
	if s.view.err = ""; !again {
		l.event(s, EventWaiting, SeverityInfo, v.Reason)
	}
}

// foreshadow is the plan of what waits for its window; where something else is to be
// done now, that.
func (a *attempt) foreshadow(ctx context.Context, observed Observed) (Plan, error) {
	now, later := *a, *a
	now.verdict.Shut = false
	p, err := now.preview(ctx, observed)
	if err != nil || !p.Empty() {
		return p, err
	}
	later.in.Override = true
	later.verdict = Decide(later.in)
	p, err = later.preview(ctx, observed)
	if err != nil {
		var waiting *Waiting
		if errors.As(err, &waiting) {
			return Plan{Stack: a.stack.name, Waits: a.verdict.Reason, Notes: []string{Explanation(err)}}, nil
		}
		return p, err
	}
	p.Waits = a.verdict.Reason
	return p, nil
}

// WindowStatus is what a stack waits for that waits for its window.
type WindowStatus struct {
	// Opens is nil where that is not in sight.
	Opens *time.Time `json:"opens"`
}

// windowStatus is nil where the stack does not wait for a window.
func (v Verdict) windowStatus() *WindowStatus {
	if !v.Shut {
		return nil
	}
	w := &WindowStatus{}
	if !v.Opens.IsZero() {
		opens := v.Opens.UTC()
		w.Opens = &opens
	}
	return w
}
