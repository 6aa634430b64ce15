package rollout

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"davit/reconcile"
)

// execution is one run of one plan. Everything in it belongs to the goroutine in
// run; a step's goroutine gets a task and hands back an outcome.
type execution struct {
	executor *Executor
	job      reconcile.Job
	steps    *graph

	running  map[int]task
	outcomes chan outcome
	notices  chan notice
	// calls counts the running steps that change the engine.
	calls    int
	quiet    *quiet
	progress *progress
	// ledger is what the budgets have given out.
	ledger *ledger
	// watching is true once nothing is left but monitors.
	watching bool

	// What earlier steps of this plan learned.
	created map[reconcile.Replica]string
	pulled  map[pin]reconcile.Image
	started map[string]time.Time

	begun []int
	done  []int
	gates map[string]string
	// hooks is what became of the hooks that ended well, by service.
	hooks  map[string]string
	causes []cause
	// served is when what the plan brings was last given something: readiness, a name, traffic.
	served time.Time
	// abort gives up what only waits.
	abort func()
}

func newExecution(e *Executor, job reconcile.Job, steps *graph) *execution {
	return &execution{
		executor: e,
		job:      job,
		steps:    steps,
		running:  map[int]task{},
		outcomes: make(chan outcome),
		notices:  make(chan notice),
		quiet:    newQuiet(job.Plan.ProgressTimeout),
		progress: newProgress(),
		ledger:   newLedger(),
		created:  map[reconcile.Replica]string{},
		pulled:   map[pin]reconcile.Image{},
		started:  map[string]time.Time{},
		gates:    map[string]string{},
		hooks:    map[string]string{},
	}
}

// run carries the plan out and returns when none of its goroutines is left.
func (x *execution) run(ctx context.Context) reconcile.Result {
	defer x.quiet.stop()
	defer x.progress.timer.Stop()
	abortable, abort := context.WithCancel(ctx)
	defer abort()
	x.abort = abort
	var group sync.WaitGroup
	defer group.Wait()
	cancelled := ctx.Done()
	for {
		x.begin(abortable, &group)
		if ctx.Err() != nil && len(x.causes) == 0 {
			x.end(cause{err: context.Cause(ctx), cancelled: true})
		}
		if len(x.running)+len(x.ledger.asked) == 0 {
			return x.conclude(ctx)
		}
		x.noteWatching()
		select {
		case s := <-x.ledger.sights:
			x.weigh(s)
		case o := <-x.outcomes:
			x.settle(o)
		case n := <-x.notices:
			x.reportWaiting(n)
		case <-cancelled:
			cancelled = nil // noted above
		case <-x.quiet.timer.C:
			x.stalled()
		case <-x.progress.timer.C:
			x.overdue()
		}
	}
}

// end ends the execution: nothing begins any more, and what only waits is given
// up.
func (x *execution) end(c cause) {
	if c.at.IsZero() {
		c.at = time.Now()
	}
	if len(x.causes) == 0 {
		x.progress.waited = x.waited(c)
	}
	x.causes = append(x.causes, c)
	x.abort()
}

// begin starts every step that may begin now.
func (x *execution) begin(abortable context.Context, group *sync.WaitGroup) {
	for abortable.Err() == nil {
		x.ask(abortable, group)
		step, ok := x.steps.next(x.admits)
		if !ok {
			return
		}
		t, err := x.prepare(step)
		if err != nil {
			x.end(cause{step: step, err: err})
			x.reportFailed(outcome{task: t, err: err})
			return
		}
		t.waits = func(text string) {
			select {
			case x.notices <- notice{step, text}:
			case <-abortable.Done():
			}
		}
		x.running[step.ID] = t
		x.attend(step)
		x.begun = append(x.begun, step.ID)
		if step.Kind.Mutates() {
			x.calls++
		}
		if step.Kind == reconcile.StepStart {
			x.started[t.id] = time.Now()
		}
		x.reportStarted(step)
		group.Go(func() { x.outcomes <- x.executor.perform(abortable, x.job, t) })
	}
}

// admits holds changes back while too many are under way. Waiting is free.
func (x *execution) admits(s reconcile.Step) bool {
	return x.ledger.solvent(s) && (!s.Kind.Mutates() || x.calls < x.executor.parallel)
}

// noteWatching says, once, that all that is left is to watch what serves already.
func (x *execution) noteWatching() {
	if x.watching || x.job.Watching == nil || x.steps.left != len(x.running) || len(x.causes) > 0 {
		return
	}
	for _, t := range x.running {
		if t.step.Kind != reconcile.StepMonitor {
			return
		}
	}
	x.watching = true
	x.job.Watching()
}

// settle takes in how a step ended.
func (x *execution) settle(o outcome) {
	step := o.task.step
	delete(x.running, step.ID)
	if step.Kind.Mutates() {
		x.calls--
	}
	x.quiet.broken()
	if o.id != "" {
		// Even of a create that failed: what exists must not be forgotten.
		x.created[named(step.Replica)] = o.id
	}
	if o.err != nil {
		if !errors.Is(o.err, errAbandoned) {
			x.end(cause{step: step, container: cmp.Or(o.task.id, o.id), err: o.err, at: o.at})
		}
		x.reportFailed(o)
		return
	}
	switch step.Kind {
	case reconcile.StepPull, reconcile.StepBuild:
		x.pulled[pinOf(step.Image)] = o.image
	case reconcile.StepGate:
		x.gates[step.Service] = o.verdict
	case reconcile.StepHook:
		x.hooks[step.Service] = strings.TrimLeft(x.hooks[step.Service]+"\n"+o.said, "\n")
	}
	if serves(step) {
		x.served = time.Now()
	}
	x.done = append(x.done, step.ID)
	x.made(step)
	x.steps.succeeded(step.ID)
	x.reportDone(o)
}

// serves reports whether the step, once done, has brought a replica nearer to its callers.
func serves(s reconcile.Step) bool {
	switch s.Kind {
	case reconcile.StepGate:
		return !s.Gate.Bystander
	case reconcile.StepJoin:
		return true
	case reconcile.StepShift:
		return len(s.Shift.To) > 0
	}
	return false
}

// conclude turns what happened into the result. The context is for evidence.
func (x *execution) conclude(ctx context.Context) reconcile.Result {
	result := reconcile.Result{Done: x.done, Containers: x.created, Gates: x.passed(), Begun: x.begun, Hooks: x.hooks, Served: x.served, Waited: x.progress.waited}
	if x.steps.left == 0 {
		return result // a cancellation that came too late to end anything
	}
	result.Failure, result.Err = verdict(x.causes)
	result.Err = x.executor.clean(result.Err)
	if f := result.Failure; f != nil {
		f.Reason = x.executor.scrub(f.Reason)
		f.Logs = x.executor.evidence(ctx, f.Container)
	}
	return result
}

// passed returns the verdicts of the services that have no gate left to pass. A
// service of which one replica passed and another did not is not proven.
func (x *execution) passed() map[string]string {
	gates := maps.Clone(x.gates)
	for id, s := range x.steps.steps {
		if s.Kind == reconcile.StepGate && !slices.Contains(x.done, id) {
			delete(gates, s.Service)
		}
	}
	return gates
}
