package main

import "davit/reconcile"

// eventKinds are all kinds of events, those that a webhook can ask for by name
// included.
func eventKinds() []reconcile.EventKind {
	return []reconcile.EventKind{
		reconcile.EventReleaseStarted, reconcile.EventReleaseSucceeded, reconcile.EventReleaseFailed, reconcile.EventReleaseEnded,
		reconcile.EventRolledBack, reconcile.EventHeld, reconcile.EventReleased, reconcile.EventPinned, reconcile.EventSuspended,
		reconcile.EventWaiting, reconcile.EventWaitingTooLong, reconcile.EventStalled, reconcile.EventOrphaned, reconcile.EventUnadopted,
		reconcile.EventNewRevision, reconcile.EventSourceFailed, reconcile.EventSourceRecovered,
		reconcile.EventEngineLost, reconcile.EventEngineRecovered, reconcile.EventStateRecovered, reconcile.EventDrift,
		reconcile.EventNotRestorable, reconcile.EventRemoved, reconcile.EventStepStarted, reconcile.EventStepDone, reconcile.EventStepFailed,
	}
}
