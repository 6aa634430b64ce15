package rollout

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"davit/reconcile"
)

// task is a step with what earlier steps of the plan found out filled in.
type task struct {
	step reconcile.Step
	// id is the container that the step acts on; "" where there is none yet.
	id string
	// started is when this execution started the container; zero if it did not.
	started time.Time
	image   reconcile.Image
	// peers are the containers that one to be created refers to.
	peers map[string][]reconcile.Peer
	// to are the containers that a shift is to, or those of a canary that is held.
	to []string
	// waits reports what is waited for.
	waits func(text string)
}

// outcome is what became of a task.
type outcome struct {
	task task
	at   time.Time
	// id and image are what a create and a pull gave.
	id    string
	image reconcile.Image
	// verdict is a passed gate's, in words.
	verdict string
	// said is what is to be recorded of a hook that ended well.
	said string
	// err says that the step did not succeed; errAbandoned that it was given up.
	err error
	// remark is what went wrong in a step that succeeded all the same.
	remark error
	// unrecorded is why the journal does not know how the step ended.
	unrecorded error
}

// pin identifies an image before and after it was pulled.
type pin struct{ ref, digest string }

func pinOf(i reconcile.Image) pin { return pin{ref: i.Ref, digest: i.Digest} }

// named is the replica without an ID, as steps name a container to be created.
func named(r reconcile.Replica) reconcile.Replica {
	r.ID = ""
	return r
}

// prepare makes a task of a step.
func (x *execution) prepare(step reconcile.Step) (task, error) {
	t := task{step: step, image: step.Image}
	switch step.Kind {
	case reconcile.StepPull, reconcile.StepBuild, reconcile.StepNetwork, reconcile.StepVolume, reconcile.StepPrune, reconcile.StepUnmake, reconcile.StepDelay:
		return t, nil
	case reconcile.StepCreate:
		if i, ok := x.pulled[pinOf(step.Image)]; ok {
			t.image = i
		}
		t.peers = x.peers(step)
		return t, nil
	}
	if step.Kind == reconcile.StepShift || step.Kind == reconcile.StepHold {
		var err error
		for _, r := range slices.Concat(step.Shift.To, step.Hold.Canary) {
			id, missing := x.container(step, r)
			t.to, err = append(t.to, id), errors.Join(err, missing)
		}
		return t, err
	}
	var err error
	if ofRelease(step) {
		t.id = step.Replica.ID // its container is its own to make
	} else if t.id, err = x.container(step, step.Replica); err != nil {
		return t, err
	}
	t.started = x.started[t.id]
	if i, ok := x.pulled[pinOf(step.Image)]; ok {
		t.image = i
	}
	t.peers = x.peers(step)
	return t, nil
}

// container is the ID of a replica that is there, or that an earlier step created.
func (x *execution) container(step reconcile.Step, r reconcile.Replica) (string, error) {
	if id := cmp.Or(r.ID, x.created[r]); id != "" {
		return id, nil
	}
	return "", failed(step, fmt.Errorf("%w: no earlier step created %s", errPlan, r))
}

// peers fills in the IDs of the containers that earlier steps created.
func (x *execution) peers(step reconcile.Step) map[string][]reconcile.Peer {
	out := map[string][]reconcile.Peer{}
	for service, list := range step.Create.Peers {
		for _, p := range list {
			id := p.Replica.ID
			if id == "" {
				id = x.created[p.Replica]
			}
			if id != "" {
				out[service] = append(out[service], reconcile.Peer{ID: id, Name: p.Name})
			}
		}
	}
	return out
}
