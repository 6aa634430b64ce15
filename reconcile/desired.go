package reconcile

import (
	"time"

	"davit/compose"
)

// Desired is what one stack shall run, and what the record says that planning
// needs to know. The planner reads nothing else besides Observed.
type Desired struct {
	Project *compose.Project
	// Images are the resolved images by service.
	Images map[string]Image
	// Instance is this davit's identity; containers of another are left alone.
	Instance string

	// From and To are versions for the heading; Revision is the short revision.
	From, To, Revision string
	// Release is the sequence number of the release that is to come.
	Release int64
	// Canaries are what is on record of each service's canary.
	Canaries map[string]CanaryState
	// Previous is the release that is current, nil before the first.
	Previous *Release
	// PreviousProject is what Previous declared, for the reasons; nil where that is
	// not on record.
	PreviousProject *compose.Project
	// Show is how values of environment variables are shown in reasons; nil for
	// not at all.
	Show func(value string) string
	// Settled is true when this very content is the current good release, so
	// that every step is a correction of drift.
	Settled bool
	// Returning is true for a rollback: rollback settings apply, and one-shot
	// services are not run.
	Returning bool
	// Completed names the one-shot services whose success with this very spec
	// and image is on record.
	Completed map[string]bool
	// Data are the unnamed volumes that the last good release's containers had, by
	// service. They are found again even when no container knows of them.
	Data map[string][]map[string]string
	// Failed are the containers of failed attempts; true while one is still kept
	// for inspection.
	Failed map[string]bool
	// Unproven are the sequence numbers of attempts that did not succeed, Served
	// the containers that a good release ran. A container of the one kind that is
	// not of the other was never in service.
	Unproven map[int64]bool
	Served   map[string]bool
	// Ran is when the last good release that ran a container ended, and Left when the first
	// one after it did, by its ID.
	Ran, Left map[string]time.Time
	// Strays are containers of this davit's other stacks, with those of their mounts
	// that both stacks do not declare to share.
	Strays []Container
	// Restarts are an operator's orders to replace what was made before, by service.
	Restarts map[string]restart
	// Handover says when ports may move from Docker to the edge.
	Handover Handover
	// Attempts are the sequence numbers of the attempts that were cut off and that this
	// one goes on with: together they are one release to a hook.
	Attempts map[int64]bool
	// HookRuns are the runs of hooks since the last good release, as far as the journal
	// knows of them.
	HookRuns []HookRun
	// History are the attempts on record, newest first: what ended during one was perhaps
	// stopped by it.
	History []Release
	// Healing is what is on record of each service that has failed by itself.
	Healing map[string]HealingState
	// Stopped is what an operator stopped and what is to stay so.
	Stopped []Stop
}
