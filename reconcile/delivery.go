package reconcile

import "time"

// Delivery is one event on its way to one receiver outside davit. It survives a
// restart and is sent at least once, always under the same ID.
type Delivery struct {
	// ID is the same for every attempt, so that a receiver can tell a repetition.
	ID string
	// Target names the receiver. It is never its address, which may be a secret.
	Target string
	Event  Event
	// Key says what the delivery tells, apart from when. It is dropped as a
	// repetition if the last one to the same Target about the same stack has the
	// same Key and is younger than Window. What happens again after something else
	// did is told again.
	Key    string
	Window time.Duration
	// Created is when the event was put in line, Due when the next attempt is.
	Created, Due time.Time
	// Attempts is how many have failed so far.
	Attempts int
}
