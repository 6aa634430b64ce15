package reconcile

import "davit/compose"

// takingAway plans what only stops or removes containers of a stack: an operator's stop,
// what a failed release left, a removal.
func takingAway(stack, instance string, o Observed) *planner {
	return &planner{plan: Plan{Stack: stack}, stopped: map[string]int{}, owned: o.ownedBy(stack, instance), edge: o.Edge}
}

// stopAsMade plans a lasting stop of c with the hooks and the drain of the newest release
// that has run what it was made from.
func (p *planner) stopAsMade(c Container, history []Release, reason string) int {
	p.project = nil
	if r := makerOf(history, c); r != nil {
		if made, err := compose.Unmarshal(r.Project); err == nil { // what cannot be read hinders no stop
			p.project = made
		}
	}
	return p.stop(c, reason)
}

// makerOf is the newest release with what c was made from whose files are on record, nil
// where none is.
func makerOf(history []Release, c Container) *Release {
	for i := range history {
		if rec, there := history[i].Service(c.Service); there && rec.Spec == c.Spec && len(history[i].Project) > 0 {
			return &history[i]
		}
	}
	return nil
}

// final are the limits of a container that nobody takes over from: whoever waits for it
// to be gone does so no longer for a stream than by default, or for a request.
func final(d compose.Drain) compose.Drain {
	d.Streams = min(d.Streams, max(d.Timeout, compose.DefaultDrain().Streams))
	return d
}
