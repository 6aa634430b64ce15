package reconcile

import "time"

// Hold says that a content failed and is not tried again.
type Hold struct {
	Stack string
	// Spec is the failed Project.Hash.
	Spec   string
	Seq    int64 // the release that failed
	Reason string
	// Paused leaves everything where the failure left it, instead of returning
	// to the last good release.
	Paused bool
	Since  time.Time
}

// Pin says that an operator fixed a stack on a release by hand.
type Pin struct {
	Stack string
	Seq   int64 // the release whose content is kept
	// Spec is what Git declared when the pin was set: the pin ends when this
	// stack's content there changes, unless Hold.
	Spec  string
	Hold  bool
	Actor string
	Since time.Time
}

// Suspension stops every action on a stack until it ends.
type Suspension struct {
	Stack  string
	Reason string
	Actor  string
	Since  time.Time
	// Until is when it ends by itself; zero for never.
	Until time.Time
}

// Active reports whether the suspension is in force at now.
func (s Suspension) Active(now time.Time) bool {
	return !s.Since.IsZero() && (s.Until.IsZero() || now.Before(s.Until))
}

// Stop says that an operator stopped something and wants it to stay so, until it is
// started by hand, by `davit start`, or by the next release.
type Stop struct {
	Service string
	// Container is the ID of the one that was stopped; "" for the whole service.
	Container string
	// Seq is the release whose content was stopped.
	Seq int64
	// Actor is who stopped it through davit, "" for whoever used another tool.
	Actor string
	Since time.Time
}

// Controls is what was decided about one stack outside Git. A nil field means
// that no such decision stands.
type Controls struct {
	Hold       *Hold
	Pin        *Pin
	Suspension *Suspension
	// Stops are sorted by service and container.
	Stops []Stop
}
