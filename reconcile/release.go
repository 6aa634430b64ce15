package reconcile

import (
	"time"
)

// Release is the append-only record of one attempt, successful or not. Sequence
// numbers are per stack, strictly increasing and never reused.
type Release struct {
	Stack    string
	Seq      int64
	Kind     ReleaseKind
	Version  string
	Revision string // Revision.String()
	Commit   string
	// Author and Subject are the commit's, for `history`.
	Author, Subject string

	// Spec is Project.Hash; Hash is Spec plus the resolved image IDs.
	Spec, Hash string
	// Project is the rendered project as compose.Project.Marshal gives it. The
	// store keeps it encrypted.
	Project []byte

	Outcome Outcome
	// Reason says why the release was made and, once it ended badly, why.
	Reason  string
	Failure string
	Trigger Trigger
	Actor   string

	// Restores is the sequence number of the release whose content this one
	// brought back, RollbackOf the one it left; 0 when neither applies.
	Restores, RollbackOf int64

	Started  time.Time
	Finished time.Time // zero while it runs
	// Recovery is how long it took, from the order, until what a release that goes back
	// brings back served; 0 for any other, and where that is not on record.
	Recovery time.Duration
	Services []ServiceRecord
}

// ServiceRecord is what one release ran for one service.
type ServiceRecord struct {
	Name  string
	Spec  string // Service.Hash
	Image Image
	// Containers are the IDs that ran it when the release ended.
	Containers []string
	// Failed are the IDs of containers that this release made and that failed, or that it
	// replaced because they had.
	Failed []string
	// Data are the volumes that nobody named, of each container that has some, by
	// path. When the containers are gone, only this says where the data is.
	Data []map[string]string
	// Completed is true for a one-shot that ended with code 0.
	Completed bool
	// Outcome is the gate's verdict in words: "healthy after 1.3s".
	Outcome string
	// Logs are the last lines of a failed container.
	Logs string
}

// Running reports whether the attempt has not ended.
func (r Release) Running() bool { return r.Outcome == OutcomeRunning }

// cutOff reports whether the attempt ended before it had come to anything, by nothing that
// its content did.
func (r Release) cutOff() bool {
	return r.Outcome == Interrupted || r.Outcome == Superseded || r.Outcome == Cancelled
}

// Good reports whether the release's content was proven, and is the stack's own since. A
// drill only visits what was proven before: nothing is ever returned to on its account.
func (r Release) Good() bool {
	return r.Outcome == Succeeded && r.Kind != KindNoop && r.Kind != KindRemove && r.Kind != KindDrill
}

// Service returns what the release ran for the service called name.
func (r Release) Service(name string) (ServiceRecord, bool) {
	for _, s := range r.Services {
		if s.Name == name {
			return s, true
		}
	}
	return ServiceRecord{}, false
}

// ReleaseKind says what a release is for.
type ReleaseKind int

const (
	KindDeploy ReleaseKind = iota
	// KindRollback: the declared content equals an earlier good release's.
	KindRollback
	// KindAutoRollback: the content that was tried failed.
	KindAutoRollback
	// KindManualRollback: an operator chose an earlier release.
	KindManualRollback
	// KindDriftFix: what ran had drifted from the current release.
	KindDriftFix
	KindAdopt
	// KindNoop: a new name or revision for what already runs.
	KindNoop
	// KindDrill: the way back was rehearsed. There are two of them, there and back.
	KindDrill
	// KindRemove: the stack was taken away; nothing of it is to run.
	KindRemove
)

var releaseKinds = [...]string{"deploy", "rollback", "auto-rollback", "manual-rollback", "drift-fix", "adopt", "noop", "drill", "remove"}

func (k ReleaseKind) String() string { return releaseKinds[k] }

// ParseReleaseKind is the inverse of String.
func ParseReleaseKind(s string) (ReleaseKind, error) {
	i, err := indexOf(releaseKinds[:], s, "release kind")
	return ReleaseKind(i), err
}

// Outcome is how a release ended.
type Outcome int

const (
	// OutcomeRunning: it has not ended; printed as "".
	OutcomeRunning Outcome = iota
	Succeeded
	Failed
	// Cancelled: an operator stopped it.
	Cancelled
	// Superseded: newer content arrived before it ended.
	Superseded
	// Interrupted: the agent died during it.
	Interrupted
	// Refused: it could not be started as asked, and nothing changed.
	Refused
)

var outcomes = [...]string{"", "succeeded", "failed", "cancelled", "superseded", "interrupted", "refused"}

func (o Outcome) String() string { return outcomes[o] }

// ParseOutcome is the inverse of String.
func ParseOutcome(s string) (Outcome, error) {
	i, err := indexOf(outcomes[:], s, "outcome")
	return Outcome(i), err
}

// Trigger is what made a release begin.
type Trigger int

const (
	TriggerPoll Trigger = iota
	TriggerStartup
	TriggerCLI
	TriggerDrift
	// TriggerFailure: a failed release, for the rollback that follows it.
	TriggerFailure
	// TriggerImage: an image reference means another image than before.
	TriggerImage
	// TriggerOverride: an operator's word that went past windows which were shut.
	TriggerOverride
	// TriggerSchedule: the time for it had come.
	TriggerSchedule
	// TriggerHealing: something that was in service failed by itself.
	TriggerHealing
)

var triggers = [...]string{"poll", "startup", "cli", "drift", "failure", "image", "override", "schedule", "healing"}

func (t Trigger) String() string { return triggers[t] }

// ParseTrigger is the inverse of String.
func ParseTrigger(s string) (Trigger, error) {
	i, err := indexOf(triggers[:], s, "trigger")
	return Trigger(i), err
}
