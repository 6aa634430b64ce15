package rollout

import (
	"context"
	"errors"
	"fmt"

	"davit/compose"
	"davit/reconcile"
)

// create makes the container of a StepCreate.
func (e *Executor) create(ctx context.Context, job reconcile.Job, t task) outcome {
	service, err := declared(job.Plan, t.step)
	if err != nil {
		return outcome{err: err}
	}
	id, err := e.engine.Create(ctx, reconcile.CreateRequest{
		Project: job.Plan.Project,
		Service: service,
		Image:   t.image,
		Number:  t.step.Replica.Number,
		Create:  t.step.Create,
		Restart: policy(t.step),
		Release: job.Release.Seq,
		Version: job.Release.Version,
		Peers:   t.peers,
	})
	return outcome{id: id, err: err}
}

// introduce changes the names by which a container of a declared service is found.
func introduce(plan reconcile.Plan, t task, change func(compose.Service) error) outcome {
	service, err := declared(plan, t.step)
	if err != nil {
		return outcome{err: err}
	}
	return outcome{err: change(service)}
}

// errPlan is the error of a plan that contradicts itself. No other content would
// mend it, so the content is not to blame.
var errPlan = errors.New("the plan is not consistent")

// declared finds the service that the step is for.
func declared(plan reconcile.Plan, step reconcile.Step) (compose.Service, error) {
	if plan.Project == nil {
		return compose.Service{}, fmt.Errorf("%w: it has no project", errPlan)
	}
	service, ok := plan.Project.Service(step.Replica.Service)
	if !ok {
		return compose.Service{}, fmt.Errorf("%w: its project has no service %q", errPlan, step.Replica.Service)
	}
	return service, nil
}
