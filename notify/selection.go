package notify

import (
	"fmt"
	"slices"

	"davit/reconcile"
)

// Everything, as the only entry of Endpoint.Events, selects every kind of event.
const Everything = "*"

// DefaultEvents is what an endpoint is told that names no events: how releases
// end, and what wants a human.
func DefaultEvents() []string {
	return words(
		reconcile.EventReleaseSucceeded, reconcile.EventReleaseFailed, reconcile.EventRolledBack,
		reconcile.EventHeld, reconcile.EventUndecided, reconcile.EventDegraded, reconcile.EventDrillEnded, reconcile.EventDrillSkipped, reconcile.EventWaitingTooLong, reconcile.EventStalled,
		reconcile.EventSourceFailed, reconcile.EventSourceRecovered, reconcile.EventStateRecovered,
		reconcile.EventNotRestorable, reconcile.EventEdgeLost, reconcile.EventEdgeRecovered,
		reconcile.EventPortClosed, reconcile.EventPortOpened, reconcile.EventParked, reconcile.EventUnparked,
	)
}

// Kinds is every kind of event that an endpoint may name.
func Kinds() []string {
	return words(
		reconcile.EventReleaseStarted, reconcile.EventReleaseSucceeded, reconcile.EventReleaseFailed,
		reconcile.EventReleaseEnded, reconcile.EventRolledBack, reconcile.EventHeld, reconcile.EventReleased,
		reconcile.EventPromoted, reconcile.EventAborted, reconcile.EventUndecided, reconcile.EventDrillEnded, reconcile.EventDrillSkipped, reconcile.EventPinned, reconcile.EventSuspended,
		reconcile.EventWaiting, reconcile.EventWaitingTooLong,
		reconcile.EventStalled, reconcile.EventDegraded, reconcile.EventOrphaned, reconcile.EventUnadopted, reconcile.EventAdopted,
		reconcile.EventForeignChange, reconcile.EventStopped, reconcile.EventFileBackedUp, reconcile.EventFileRestored, reconcile.EventNewRevision,
		reconcile.EventSourceFailed, reconcile.EventSourceRecovered, reconcile.EventEngineLost,
		reconcile.EventEngineRecovered, reconcile.EventEdgeLost, reconcile.EventEdgeRecovered,
		reconcile.EventPortClosed, reconcile.EventPortOpened, reconcile.EventReplicaFailed, reconcile.EventReplicaEjected, reconcile.EventReplicaReturned,
		reconcile.EventParked, reconcile.EventUnparked, reconcile.EventStateRecovered, reconcile.EventDrift,
		reconcile.EventNotRestorable, reconcile.EventRemoved, reconcile.EventStepStarted,
		reconcile.EventStepDone, reconcile.EventStepFailed,
	)
}

func words(kinds ...reconcile.EventKind) []string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = string(k)
	}
	return list
}

// selection answers whether an endpoint wants a kind of event.
type selection map[string]bool

// newSelection refuses a word that is no kind: a misspelt one would otherwise
// mean silence on the day it matters.
func newSelection(events []string) (selection, error) {
	switch {
	case len(events) == 0:
		events = DefaultEvents()
	case len(events) == 1 && events[0] == Everything:
		events = Kinds()
	}
	known := Kinds()
	s := selection{}
	for _, e := range events {
		if !slices.Contains(known, e) {
			return nil, fmt.Errorf("there is no event %q", e)
		}
		s[e] = true
	}
	return s, nil
}
