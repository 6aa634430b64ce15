package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/reconcile"
)

// How a gate looks at its container. Readiness that an event announces is
// noticed at once; the intervals are for when events are late or lost.
const (
	// pollMin is the interval after the first look. It grows by half each time.
	pollMin = 50 * time.Millisecond
	pollMax = 500 * time.Millisecond
	// lookLimit is how long the engine may take over one look.
	lookLimit = 10 * time.Second
	// outageLimit is how long a gate waits for an engine that does not answer.
	outageLimit = 30 * time.Second
)

// watch looks at the task's container until its gate is passed, has failed, or
// is given up.
func (e *Executor) watch(ctx context.Context, t task) (string, error) {
	// Listening begins before the first look, or a change in between were lost.
	rung, stop := e.bells.listen(t.id)
	defer stop()
	w := newWatch(t, time.Now())
	probes, checks := newProbing(e, t), newCheckup(e, t)
	defer checks.stop()
	defer probes.stop()
	for interval := pollMin; ; interval = min(interval*3/2, pollMax) {
		verdict, passed, err := e.look(ctx, t, w)
		if passed || err != nil {
			return verdict, err
		}
		next := min(probes.look(ctx, w), checks.look(ctx, w))
		if err := doze(ctx, min(interval, next, w.due(time.Now())), rung); err != nil {
			return "", err
		}
		probes.take(w)
		checks.take()
	}
}

// look is one look at the task's container.
func (e *Executor) look(ctx context.Context, t task, w *watch) (verdict string, passed bool, err error) {
	limit := min(lookLimit, time.Until(w.seen.Add(outageLimit)))
	looking, cancel := context.WithTimeout(ctx, limit)
	c, err := e.engine.Inspect(looking, t.id)
	cancel()
	now := time.Now()
	switch {
	case err == nil:
		known := w.known()
		if e.outage.since(known) {
			w.miss()
		}
		verdict, passed, err = w.look(c, now)
		if err != nil {
			err = failed(t.step, excused(t.step, e.doubt(ctx, known, err)))
		}
		return verdict, passed, err
	case ctx.Err() != nil:
		return "", false, errAbandoned
	case errors.Is(err, reconcile.ErrContainerMissing):
		return "", false, failed(t.step, err)
	case now.Sub(w.seen) < outageLimit:
		w.miss()
		return "", false, nil
	}
	if !errors.Is(err, reconcile.ErrEngineUnavailable) {
		err = fmt.Errorf("%w: %w", reconcile.ErrEngineUnavailable, err)
	}
	return "", false, failed(t.step, fmt.Errorf("no answer for %s: %w", span(now.Sub(w.seen)), err))
}

// excused makes of a bystander's fault something to wait for: the content that is
// deployed has no part in it.
func excused(step reconcile.Step, err error) error {
	var f *fault
	if !step.Gate.Bystander || !errors.As(err, &f) {
		return err
	}
	return &reconcile.Waiting{Reason: "waiting for " + step.Service, Err: errors.New(f.reason)}
}

// doze waits for d, for a ring, or for the end of the execution.
func doze(ctx context.Context, d time.Duration, rung <-chan struct{}) error {
	// Never less than a moment: a clock that was set back must not make it spin.
	timer := time.NewTimer(max(d, time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-rung:
	case <-ctx.Done():
		return errAbandoned
	}
	return nil
}

// pause waits for d, or for the end of the execution.
func pause(ctx context.Context, d time.Duration) error {
	return doze(ctx, d, nil)
}
