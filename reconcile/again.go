package reconcile

import "slices"

// A correction that is not possible yet is tried again and again, with backoff. It is
// one release all the while, and one line of the history: when it began, and why it
// has not come to its end so far. What it says of itself is told when it is news.

// goesOn is the release that the correction r takes up again; zero for a new one.
func (a *attempt) goesOn(r Release) Release {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if r.Kind != KindDriftFix || len(a.stack.history) == 0 {
		return Release{}
	}
	last := a.stack.history[0]
	ended := last.Outcome == Interrupted || last.Outcome == Failed
	if !ended || last.Kind != r.Kind || last.Spec != r.Spec || last.Reason != r.Reason || last.Trigger != r.Trigger {
		return Release{}
	}
	if a.errand != nil && a.errand.seq != last.Seq {
		return Release{} // another order of the same words
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
	s.fixes = append(s.fixes, a.loop.Now())
}

// news reports whether it is worth saying how r ended: unless it has gone on, and
// ended like that before.
func (a *attempt) news(r Release) bool {
	return a.before.Seq == 0 || a.before.Outcome != r.Outcome || a.before.Failure != r.Failure
}
