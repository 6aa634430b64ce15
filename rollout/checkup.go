package rollout

import (
	"context"
	"errors"
	"sync"
	"time"

	"davit/reconcile"
)

// How often a checkup looks. The first look is at once; the pause doubles from the first
// to the longest, and is never shorter than the look before it took.
const (
	checkupMin = 100 * time.Millisecond
	checkupMax = 2 * time.Second
)

// pace says when the health check of a container is run next. The zero value is at once.
type pace struct {
	next  time.Time
	pause time.Duration
	// over is true once there is nothing more to be found out.
	over bool
}

// take takes the end of a look into account. An engine that does not let one look is not
// asked again, nor is a check run again that hangs, which nobody can end.
func (p *pace) take(err error, begun, now time.Time) {
	p.pause = max(checkupMin, min(2*p.pause, checkupMax))
	p.next = now.Add(max(p.pause, now.Sub(begun)))
	var failed *reconcile.HookFailure
	if errors.As(err, &failed) {
		p.over = failed.TimedOut > 0
		return
	}
	p.over = err == nil || !circumstantial(err)
}

// checkup has the health check of one gate's container run for as long as the engine has
// no verdict. The engine's first look comes a whole interval after the start, which is 30 s
// where nobody says otherwise: time that a replacement, or a way back, would only wait. What
// it finds, the next look at the container tells; that it fails is said by nobody but the
// engine, in its own time.
type checkup struct {
	executor *Executor
	id       string
	pace     pace
	// started is when the container did that pace is about.
	started time.Time
	// ended has one place, so that whoever looked can always leave; busy is true until
	// that was taken.
	ended chan error
	busy  bool
	begun time.Time
	end   context.CancelFunc
	group sync.WaitGroup
}

func newCheckup(e *Executor, t task) *checkup {
	return &checkup{executor: e, id: t.id, ended: make(chan error, 1), end: func() {}}
}

// stop gives up the look that is under way and waits for its end.
func (k *checkup) stop() {
	k.end()
	k.group.Wait()
}

// look begins the next look if it is time for it, and returns how long there is until
// then.
func (k *checkup) look(ctx context.Context, w *watch) time.Duration {
	now := time.Now()
	if !k.busy && !w.last.Started.Equal(k.started) {
		k.pace, k.started = pace{}, w.last.Started // what was found out was of another run
	}
	switch {
	case k.pace.over || k.busy || w.away || w.gate.Kind != reconcile.GateReady,
		w.last.State != reconcile.Running || w.last.Health != reconcile.HealthStarting:
		return pollMax
	case k.pace.next.After(now):
		return k.pace.next.Sub(now)
	}
	k.busy, k.begun = true, now
	ctx, k.end = context.WithCancel(ctx)
	k.group.Go(func() {
		err := k.executor.engine.Examine(ctx, k.id)
		k.ended <- err
		if err == nil {
			k.executor.bells.ring(k.id)
		}
	})
	return pollMax
}

// take makes out of the end of a look when the next one is.
func (k *checkup) take() {
	select {
	case err := <-k.ended:
		k.end()
		k.busy = false
		k.pace.take(err, k.begun, time.Now())
	default:
	}
}
