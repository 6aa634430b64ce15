package rollout

import (
	"context"
	"fmt"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// How long the engine may take over one call. Each is far beyond what a healthy
// engine needs on a slow disk; they exist so that a hanging one is noticed.
const (
	pullLimit = time.Hour // a build is one too
	callLimit = 5 * time.Minute
	// stopLimit comes on top of the declared grace period. It is generous because
	// the container that is stopped may have been made with a longer one.
	stopLimit = 10 * time.Minute
	// journalLimit is for one write to the journal.
	journalLimit = 30 * time.Second
)

// noRestart is the policy of a container that has not passed its gate: it must
// not come back by itself, be it after a crash or with the engine.
const noRestart = "no"

// perform carries out one step.
func (e *Executor) perform(abortable context.Context, job reconcile.Job, t task) outcome {
	var o outcome
	switch t.step.Kind {
	case reconcile.StepDelay:
		o.err = pause(abortable, t.step.Wait)
	case reconcile.StepGate, reconcile.StepMonitor:
		o.verdict, o.err = e.watch(abortable, t)
	case reconcile.StepDrain:
		o.verdict, o.err = e.drain(abortable, t)
	case reconcile.StepHold:
		o = e.hold(abortable, job, t)
	case reconcile.StepShift:
		o = e.handOver(abortable, job, t)
	case reconcile.StepHook:
		o = e.hooked(abortable, job, t)
	default:
		o = e.change(abortable, job, t)
	}
	o.task, o.at = t, time.Now()
	return o
}

// change makes one change to the engine, with the intention written down before
// and the end after it.
func (e *Executor) change(abortable context.Context, job reconcile.Job, t task) outcome {
	entry := entryOf(job, t)
	if err := e.write(abortable, e.journal.Intend, entry); err != nil {
		return outcome{err: failed(t.step, fmt.Errorf("write the intention to the journal: %w", err))}
	}
	o := e.call(abortable, job, t)
	if o.id != "" {
		entry.Container = o.id
	}
	entry.At = time.Now()
	if o.err != nil {
		entry.Err = e.scrub(o.err.Error())
	}
	// The change is made, whatever becomes of its record.
	o.unrecorded = e.write(abortable, e.journal.Done, entry)
	return o
}

// entryOf is the line of the journal for a step that begins now.
func entryOf(job reconcile.Job, t task) reconcile.Entry {
	return reconcile.Entry{
		Stack:     job.Plan.Stack,
		Seq:       job.Release.Seq,
		Step:      t.step.ID,
		Action:    line(t.step),
		Container: t.id,
		At:        time.Now(),
	}
}

// write adds to the journal even while the execution is ending: an intention
// without an end means a crash.
func (e *Executor) write(ctx context.Context, to func(context.Context, reconcile.Entry) error, entry reconcile.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalLimit)
	defer cancel()
	return to(ctx, entry)
}

// call is the step's one call to the engine.
func (e *Executor) call(abortable context.Context, job reconcile.Job, t task) outcome {
	if abortable.Err() != nil { // while the journal was being written
		return outcome{err: errAbandoned}
	}
	// A call that has begun is not walked away from: that would not undo it, and
	// nobody would know how it ended. A pull or a build alone changes nothing that runs, and
	// waiting for it could keep a newer revision out for an hour.
	ctx := context.WithoutCancel(abortable)
	if fetches(t.step) {
		ctx = abortable
	}
	ctx, cancel := context.WithTimeout(ctx, limit(job.Plan, t.step))
	defer cancel()
	began := time.Now()
	o := e.do(ctx, job, t)
	if o.err != nil && abortable.Err() == nil {
		o = e.again(ctx, job, t, began, o)
	}
	switch {
	case o.err == nil:
	case fetches(t.step) && abortable.Err() != nil:
		o.err = errAbandoned
	default:
		o.err = blame(t.step, o.err)
	}
	return o
}

// do asks the engine for what the step says.
func (e *Executor) do(ctx context.Context, job reconcile.Job, t task) outcome {
	plan, step := job.Plan, t.step
	switch step.Kind {
	case reconcile.StepPull:
		image, err := e.pulls.pull(ctx, step.Image)
		return outcome{image: image, err: err}
	case reconcile.StepBuild:
		image, err := e.engine.Build(ctx, step.Image)
		return outcome{image: image, err: e.cleanOutput(err)}
	case reconcile.StepNetwork:
		return outcome{err: e.engine.CreateNetwork(ctx, plan.Project, step.Resource)}
	case reconcile.StepVolume:
		return outcome{err: e.engine.CreateVolume(ctx, plan.Project, step.Resource)}
	case reconcile.StepUnplug:
		return outcome{err: e.engine.Disconnect(ctx, t.id, step.Resource)}
	case reconcile.StepPrune, reconcile.StepUnmake:
		return outcome{err: e.engine.RemoveNetwork(ctx, step.Network)}
	case reconcile.StepCreate:
		return e.create(ctx, job, t)
	case reconcile.StepStart:
		return outcome{err: e.engine.Start(ctx, t.id)}
	case reconcile.StepJoin:
		return introduce(plan, t, func(s compose.Service) error { return e.engine.Join(ctx, t.id, plan.Project, s) })
	case reconcile.StepLeave:
		return introduce(plan, t, func(s compose.Service) error { return e.engine.Leave(ctx, t.id, plan.Project, s) })
	case reconcile.StepPolicy:
		return outcome{err: e.engine.SetRestart(ctx, t.id, policy(step))}
	case reconcile.StepHook:
		return e.hook(ctx, job, t)
	case reconcile.StepShift:
		return outcome{err: e.shift(ctx, job, t)}
	case reconcile.StepStop:
		return outcome{err: e.engine.Stop(ctx, t.id)}
	case reconcile.StepRename:
		return outcome{err: e.engine.Rename(ctx, t.id, step.Resource)}
	case reconcile.StepRemove:
		return outcome{err: e.engine.Remove(ctx, t.id)}
	}
	return outcome{err: fmt.Errorf("%w: it has a step of kind %d", errPlan, step.Kind)}
}

// fetches reports whether the step only gets an image.
func fetches(step reconcile.Step) bool {
	return step.Kind == reconcile.StepPull || step.Kind == reconcile.StepBuild
}

// limit is how long the step's call may take.
func limit(plan reconcile.Plan, step reconcile.Step) time.Duration {
	switch step.Kind {
	case reconcile.StepPull, reconcile.StepBuild:
		return pullLimit
	case reconcile.StepHook:
		if ofRelease(step) {
			return callLimit // for the container, not for what it does
		}
		return step.Hook.Timeout + callLimit
	case reconcile.StepStop:
		if plan.Project == nil {
			return stopLimit
		}
		s, ok := plan.Project.Service(step.Replica.Service)
		if ok && s.Config.StopGracePeriod != nil {
			return stopLimit + time.Duration(*s.Config.StopGracePeriod)
		}
		return stopLimit
	}
	return callLimit
}

// policy is the restart policy that the step asks for.
func policy(step reconcile.Step) string {
	if step.Restart == "" {
		return noRestart
	}
	return step.Restart
}
