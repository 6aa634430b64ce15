package reconcile

import (
	"context"
	"time"
)

// History is the record of releases.
type History interface {
	// Releases returns a stack's releases, newest first; limit 0 means all.
	Releases(ctx context.Context, stack string, limit int) ([]Release, error)
	// Begin records the start of r and returns it with its sequence number. One that has
	// a number is the newest of its stack, did not succeed, and goes on: it is tried
	// again under that number.
	Begin(ctx context.Context, r Release) (Release, error)
	// Finish records how r ended. A release is finished once.
	Finish(ctx context.Context, r Release) error
	// Stacks names every stack with a release, sorted.
	Stacks(ctx context.Context) ([]string, error)
}

// Decisions is the record of what was decided outside Git.
type Decisions interface {
	Controls(ctx context.Context, stack string) (Controls, error)
	// SetHold, SetPin and SetSuspension store a decision; nil removes it.
	SetHold(ctx context.Context, stack string, h *Hold) error
	SetPin(ctx context.Context, stack string, p *Pin) error
	SetSuspension(ctx context.Context, stack string, s *Suspension) error
	// SetStops stores all that is stopped of a stack.
	SetStops(ctx context.Context, stack string, stops []Stop) error
}

// Journal is written before every mutation and after it, so that a crash leaves
// a trace of what was under way, and a full disk stops a rollout before it
// changes anything.
type Journal interface {
	// Intend records that a step is about to run. Its error forbids the step.
	Intend(ctx context.Context, e Entry) error
	// Done records how the step ended.
	Done(ctx context.Context, e Entry) error
}

// JournalReader tells what the journal has of a release, in the order in which it was
// intended.
type JournalReader interface {
	Journal(ctx context.Context, stack string, seq int64) ([]JournalEntry, error)
}

// JournalEntry is one step of a release as the journal has it.
type JournalEntry struct {
	// Entry is the step as it was intended, with the error it ended in and, once
	// it is done, the container it acted on.
	Entry
	// Done is false while the step is under way, and for ever if the agent died
	// during it.
	Done bool
}

// Entry is one line of the journal.
type Entry struct {
	Stack string
	Seq   int64 // release
	Step  int
	// Action is the step as the plan prints it.
	Action string
	// Container is the ID of the container, or, of the run of a release's hook, its name.
	Container string
	At        time.Time
	Err       string
}
