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
	r, err := request(job, t)
	if err != nil {
		return outcome{err: err}
	}
	id, err := e.engine.Create(ctx, r)
	return outcome{id: id, err: err}
}

// request is all that the engine needs to know of the task's container.
func request(job reconcile.Job, t task) (reconcile.CreateRequest, error) {
	service, err := declared(job.Plan, t.step)
	return reconcile.CreateRequest{
		Project: job.Plan.Project,
		Service: service,
		Image:   t.image,
		Number:  t.step.Replica.Number,
		Create:  t.step.Create,
		Restart: policy(t.step),
		Release: job.Release.Seq,
		Version: job.Release.Version,
		Peers:   t.peers,
	}, err
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
