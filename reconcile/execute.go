package reconcile

import (
	"context"
	"time"

	"davit/compose"
)

// Executor carries out plans. It decides nothing.
type Executor interface {
	// Preflight says why the plan cannot be begun on this host as it is: a full
	// disk. It is asked before a release is recorded; Execute asks again.
	Preflight(ctx context.Context, p Plan) error
	// Execute runs the plan's steps, each after its prerequisites succeeded, and
	// returns when no step runs any more. Cancelling ctx ends it at the next safe
	// point: a call to the engine that has begun is allowed to finish.
	Execute(ctx context.Context, job Job) Result
}

// Job is a plan together with the release that it belongs to.
type Job struct {
	Plan    Plan
	Release Release
	// Report receives an event for every step. It never blocks for long.
	Report func(Event)
	// Watching is called once nothing is left but to watch what serves already; nil for
	// nobody who wants to know.
	Watching func()
	// Follow is told of every step that begins, waits and ends; nil for nobody who wants to
	// know.
	Follow func(StepNews)
	// Holder says when canaries may go on; where there is none, time alone does.
	Holder Holder
}

// StepNews is what has happened to a step of a Job.
type StepNews struct {
	Step Step
	// Ended is true once it does no more, Done when it has succeeded.
	Ended, Done bool
	// Waits is what it waits for besides its own work, "" for nothing.
	Waits string
}

// Holder decides what becomes of canaries that are held.
type Holder interface {
	// Hold returns once that is known of the one that a StepHold holds. The canary is
	// watched meanwhile. Its error is that of ctx.
	Hold(ctx context.Context, s Step) (Ruling, error)
}

// Ruling is what becomes of a canary.
type Ruling struct {
	// Failed is true for content that is to go back.
	Failed bool
	// Reason is why, in words.
	Reason string
}

// Result is what became of a Job.
type Result struct {
	// Done are the IDs of the steps that succeeded, in order of completion.
	Done []int
	// Containers are the IDs that StepCreate gave, by replica (with an empty ID).
	Containers map[Replica]string
	// Gates holds the verdict on each service whose gate passed, in words.
	Gates map[string]string
	// Served is when the last replica that the plan brings was ready and had what it was to
	// get; zero for a plan that brings none.
	Served time.Time
	// Waited is how long, by service, a replica had been waited for when the execution
	// ended early: since one became ready last, or since one was waited for at all.
	Waited map[string]time.Duration
	// Begun are the IDs of the steps that were begun, however they ended.
	Begun []int
	// Hooks is what became of each service's hooks that ended well, and what they said.
	Hooks map[string]string
	// Failure is set when the content failed: it was started, or could have
	// been, and was found wanting.
	Failure *Failure
	// Err is set for everything else that ended the execution early: a cancelled
	// context, an unreachable engine, a full disk, a failed pull.
	Err error
}

// Failure is the verdict on content that failed.
type Failure struct {
	Step Step
	// Container is the ID of the container that failed, if there is one.
	Container string
	// Reason is one sentence: "web/3 exited with code 2 after 1.3s".
	Reason string
	// Logs are its last log lines and last health probe's output.
	Logs string
}

// CreateRequest is all that the engine needs to create one container.
type CreateRequest struct {
	Project *compose.Project
	Service compose.Service
	Image   Image
	Number  int
	Create  Create
	// Restart is the policy the container is born with.
	Restart string
	// Release and Version go into its labels.
	Release int64
	Version string
	// Peers are the containers, by service, whose namespaces, volumes or names the
	// container shares: `network_mode: service:db`, volumes_from, links.
	Peers map[string][]Peer
}

// Peer is a container of another service that one to be created refers to.
type Peer struct {
	ID, Name string
}
