package rollout

import (
	"context"

	"davit/compose"
	"davit/reconcile"
)

// Engine is what the executor needs of a container engine. Every method of
// Resources and Containers is one mutation and is safe to repeat: what is
// already so is not an error.
type Engine interface {
	Resources
	Containers
	Adjuster
	Watcher
}

// Resources makes what containers need before they are created.
type Resources interface {
	// Pull fetches exactly the image that i pins and returns it with its ID.
	Pull(ctx context.Context, i reconcile.Image) (reconcile.Image, error)
	// Build makes the image that i.Build describes, unless the engine has one made of
	// the same, and returns it with its ID. Its error is a reconcile.BuildFailure
	// where the build itself failed.
	Build(ctx context.Context, i reconcile.Image) (reconcile.Image, error)
	// CreateNetwork and CreateVolume take the key in the project's model.
	CreateNetwork(ctx context.Context, p *compose.Project, key string) error
	CreateVolume(ctx context.Context, p *compose.Project, key string) error
	RemoveNetwork(ctx context.Context, id string) error
}

// Containers makes, starts, stops and removes containers.
type Containers interface {
	Create(ctx context.Context, r reconcile.CreateRequest) (id string, err error)
	Start(ctx context.Context, id string) error
	// Stop sends the container's stop signal and waits its grace period.
	Stop(ctx context.Context, id string) error
	// Remove removes a stopped container and never its volumes.
	Remove(ctx context.Context, id string) error
}

// Adjuster changes a container that exists.
type Adjuster interface {
	// Join gives the container every alias that the service declares, its own
	// name included, in every network of the service, keeping its addresses.
	Join(ctx context.Context, id string, p *compose.Project, s compose.Service) error
	// Leave takes those names from a stopped container, so that it can start again
	// without being found before it is ready.
	Leave(ctx context.Context, id string, p *compose.Project, s compose.Service) error
	// SetRestart sets the restart policy, in Compose's words, and verifies it.
	SetRestart(ctx context.Context, id, policy string) error
	// Run runs the command of a hook in a running container. Its error is a
	// reconcile.HookFailure when the command ran and failed.
	Run(ctx context.Context, id string, h reconcile.Hook) error
	// RunFirst runs a pre_start hook to its end, in a container of its own with the
	// volumes of the container with that ID. Its error is as that of Run.
	RunFirst(ctx context.Context, id string, r reconcile.CreateRequest, h reconcile.Hook) error
	// Disconnect takes the container out of the network of that name.
	Disconnect(ctx context.Context, id, network string) error
	Rename(ctx context.Context, id, name string) error
}

// Watcher looks at a container, or the engine, without changing it.
type Watcher interface {
	// Answers reports whether the engine takes a new connection and answers over it,
	// as one that is on its way down does not.
	Answers(ctx context.Context) error
	// Inspect returns reconcile.ErrContainerMissing when it is gone.
	Inspect(ctx context.Context, id string) (reconcile.Container, error)
	// Examine runs the health check of a running container once, without waiting for the
	// engine to do so, and has Inspect know of its success. Its error is a
	// reconcile.HookFailure when the check ran and failed.
	Examine(ctx context.Context, id string) error
	// Evidence is what a person wants to see of a failed container: its last
	// health probe's output and its last log lines.
	Evidence(ctx context.Context, id string, lines int) (string, error)
}
