package reconcile

import "slices"

// What is not possible yet is tried again and again, with backoff. A correction, and
// whatever ended before it had changed anything, is one release all the while, and one
// line of the history: when it began, and why it has not come to its end so far. What
// it says of itself is told when it is news.

// goesOn is the release that r takes up again; zero for a new one.
func (a *attempt) goesOn(r Release) Release {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if len(a.stack.history) == 0 {
		return Release{}
	}
	last := a.stack.history[0]
	if last.Kind != r.Kind || last.Spec != r.Spec || last.Commit != r.Commit || last.Version != r.Version || last.Reason != r.Reason {
		return Release{}
	}
	fruitless := last.Outcome == Interrupted && a.stack.fruitless == last.Seq
	corrects := r.Kind == KindDriftFix && (last.Outcome == Interrupted || last.Outcome == Failed)
	another := a.errand != nil && a.errand.seq != last.Seq // order of the same words
	if !fruitless && !corrects || last.Trigger != r.Trigger && r.Kind == KindDriftFix || another && r.Kind == KindDriftFix {
		return Release{}
	}
	return last
}

// resume puts the release that goes on into the loop's mirror of the history.
func (a *attempt) resume(r Release) {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	s := a.stack
	s.history = slices.Clone(s.history)
	s.history[0] = r
	s.work.quiet = false
	if r.Kind == KindDriftFix && a.first.drifts() {
		s.fixes = append(s.fixes, a.loop.Now())
	}
	if a.verdict.Act != ActKeep {
		s.barred = false
	}
}

// news reports whether it is worth saying how r ended: unless it has gone on, and
// ended like that before.
func (a *attempt) news(r Release) bool {
	return a.before.Seq == 0 || a.before.Outcome != r.Outcome || a.before.Failure != r.Failure
}
