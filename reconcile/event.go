package reconcile

import "time"

// Event is something that happened. Events are the loop's only output: history,
// notifications, the log and the API are readers of one stream.
type Event struct {
	// ID is given by the store, strictly increasing.
	ID       int64     `json:"id"`
	At       time.Time `json:"at"`
	Stack    string    `json:"stack,omitempty"`
	Service  string    `json:"service,omitempty"`
	Kind     EventKind `json:"kind"`
	Severity Severity  `json:"severity"`
	// Message is for people; secrets never appear in it.
	Message string `json:"message"`
	Seq     int64  `json:"seq,omitempty"`
	Version string `json:"version,omitempty"`
	Commit  string `json:"commit,omitempty"`
}

// EventKind names an event for machines.
type EventKind string

const (
	EventReleaseStarted   EventKind = "ReleaseStarted"
	EventReleaseSucceeded EventKind = "ReleaseSucceeded"
	EventReleaseFailed    EventKind = "ReleaseFailed"
	EventReleaseEnded     EventKind = "ReleaseEnded" // cancelled, superseded, interrupted, refused
	EventRolledBack       EventKind = "RolledBack"
	EventHeld             EventKind = "Held"
	EventReleased         EventKind = "Released"     // a hold, pin or suspension ended
	EventPromoted         EventKind = "Promoted"     // an operator let a canary go on
	EventAborted          EventKind = "Aborted"      // an operator put an end to a release that was under way
	EventUndecided        EventKind = "Undecided"    // a release waits for an operator to promote or abort it
	EventDrillEnded       EventKind = "DrillEnded"   // the stack is back from it
	EventDrillSkipped     EventKind = "DrillSkipped" // one that was ordered, or due, was not held
	EventPinned           EventKind = "Pinned"
	EventSuspended        EventKind = "Suspended"
	EventWaiting          EventKind = "Waiting"
	EventWaitingTooLong   EventKind = "WaitingTooLong"
	EventStalled          EventKind = "Stalled"
	EventOrphaned         EventKind = "Orphaned"
	EventUnadopted        EventKind = "Unadopted"
	EventAdopted          EventKind = "Adopted"
	EventForeignChange    EventKind = "ForeignChange"
	EventReplicaFailed    EventKind = "ReplicaFailed" // and its release goes on with another one
	EventDegraded         EventKind = "Degraded"      // a service fails by itself, and is not healed any more
	EventStopped          EventKind = "StoppedByOperator"
	EventNewRevision      EventKind = "NewRevision"
	EventSourceFailed     EventKind = "SourceFailed"
	EventSourceRecovered  EventKind = "SourceRecovered"
	EventEngineLost       EventKind = "EngineLost"
	EventEngineRecovered  EventKind = "EngineRecovered"
	EventEdgeLost         EventKind = "EdgeLost"
	EventEdgeRecovered    EventKind = "EdgeRecovered"
	EventPortClosed       EventKind = "PortClosed" // the edge cannot open it
	EventPortOpened       EventKind = "PortOpened"
	EventReplicaEjected   EventKind = "ReplicaEjected" // passed over at the edge, since it fails
	EventReplicaReturned  EventKind = "ReplicaReturned"
	EventParked           EventKind = "Parked" // what comes to a port at the edge finds nobody
	EventUnparked         EventKind = "Unparked"
	EventStateRecovered   EventKind = "StateRecovered"
	EventDrift            EventKind = "DriftDetected"
	EventNotRestorable    EventKind = "ReleaseNotRestorable"
	EventFileBackedUp     EventKind = "FileBackedUp"
	EventFileRestored     EventKind = "FileRestored"
	EventRemoved          EventKind = "StackRemoved"
	EventStepStarted      EventKind = "StepStarted"
	EventStepDone         EventKind = "StepDone"
	EventStepFailed       EventKind = "StepFailed"
)

// Severity orders events for readers that want only some.
type Severity string

const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
)
