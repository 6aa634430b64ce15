package rollout

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"davit/reconcile"
	"davit/rollout/probe"
)

// DefaultParallel is how many changes to the engine a plan has under way at once
// where Options does not say.
const DefaultParallel = 16

// Options is what an Executor works with. Engine and Journal are required.
type Options struct {
	Engine  Engine
	Journal reconcile.Journal
	// Edge carries out shifts and drains; nil where no plan has any.
	Edge Edge
	// Prober makes the probes that go over a network; nil is one that does.
	Prober Prober
	// Preflight, if there is one, must agree before a plan's first change.
	Preflight Preflight
	// Scrub removes known secret values from text that leaves the executor: event
	// messages, reasons and log lines. Nil leaves them as they are.
	Scrub  func(string) string
	Logger *slog.Logger
	// Parallel is the number of changes that one plan may have under way at once;
	// 0 means DefaultParallel. Gates, monitors and delays do not count. Plans do
	// not wait for one another: a rollback is not held up by another stack's
	// pulls.
	Parallel int
}

// Executor carries out plans, any number of them at once.
type Executor struct {
	engine    Engine
	edge      Edge
	prober    Prober
	journal   reconcile.Journal
	preflight Preflight
	scrub     func(string) string
	log       *slog.Logger
	parallel  int
	bells     bells
	outage    outage
	pulls     pulls
}

var _ reconcile.Executor = (*Executor)(nil)

// New returns an Executor that works with o.
func New(o Options) *Executor {
	e := &Executor{
		engine:    o.Engine,
		edge:      o.Edge,
		prober:    o.Prober,
		journal:   o.Journal,
		preflight: o.Preflight,
		scrub:     o.Scrub,
		log:       o.Logger,
		parallel:  o.Parallel,
		pulls:     pulls{engine: o.Engine},
	}
	if e.prober == nil {
		e.prober = probe.Dialer{}
	}
	if e.scrub == nil {
		e.scrub = func(text string) string { return text }
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.parallel <= 0 {
		e.parallel = DefaultParallel
	}
	return e
}

// Execute implements reconcile.Executor. Report is called from the calling
// goroutine only, so events arrive in order.
//
// Result.Gates names a service only if every gate that the plan has for it
// passed, and gives the verdict of the last.
func (e *Executor) Execute(ctx context.Context, job reconcile.Job) reconcile.Result {
	steps, err := newGraph(job.Plan.Steps)
	if err != nil {
		return refused(fmt.Errorf("execute plan of stack %s: %w", job.Plan.Stack, err))
	}
	if err := e.Preflight(ctx, job.Plan); err != nil {
		return refused(err)
	}
	return newExecution(e, job, steps).run(ctx)
}

// Changed wakes the gates and monitors that watch the container, so that they
// look at it now instead of at their next poll. An empty id wakes all of them,
// as is right after events were lost. It never blocks.
func (e *Executor) Changed(containerID string) { e.bells.ring(containerID) }

// Lost says that the engine's events are not heard any more: it was stopped, or died. What
// has ended when it is looked at next may have ended with it, and is nobody's fault.
func (e *Executor) Lost() { e.outage.begin(time.Now()) }

// Recovered says that they are heard again.
func (e *Executor) Recovered() { e.outage.end(time.Now()) }

// Preflight implements reconcile.Executor: it asks whether a plan that changes
// anything may begin.
func (e *Executor) Preflight(ctx context.Context, plan reconcile.Plan) error {
	if e.preflight == nil {
		return nil
	}
	for _, s := range plan.Steps {
		if s.Kind.Mutates() {
			if err := e.preflight.Check(ctx, plan); err != nil {
				return fmt.Errorf("preflight of stack %s: %w", plan.Stack, err)
			}
			return nil
		}
	}
	return nil
}

func refused(err error) reconcile.Result {
	return reconcile.Result{
		Containers: map[reconcile.Replica]string{},
		Gates:      map[string]string{},
		Err:        err,
	}
}
