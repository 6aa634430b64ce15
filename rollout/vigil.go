package rollout

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/rollout/probe"
)

// vigilants is how many lasting probes are under way at once. One that hangs keeps its
// place for no longer than its timeout.
const vigilants = 64

// examiners is how many health checks are run at once. After the start of an engine all
// its containers wait for theirs, and have better things to do.
const examiners = 4

// Vigil makes the lasting probes of containers, for as long as they serve, and runs the
// health checks of those that the engine has not looked at since they started. It tells
// what was found to whoever asks, and does nothing about it.
type Vigil struct {
	executor *Executor
	changed  func(stack string)
	// nudge has one place: there may be something to do before the timer says so.
	nudge chan struct{}

	mu sync.Mutex
	// running is true while Run is: where nobody looks, nothing is said of anybody.
	running bool
	at      time.Time
	wards   map[string]*ward
	// looking is how many looks are under way, examining how many health checks.
	looking, examining int
}

var _ reconcile.Attendant = (*Vigil)(nil)

// ward is one container on which an eye is kept.
type ward struct {
	reconcile.Attended
	judge *probe.Judge
	// busy is true while a look at it is under way.
	busy bool
	told reconcile.Probed
	// examined is true while its health check is run, ahead of the engine.
	examined bool
	pace     pace
}

// NewVigil returns a Vigil that looks the way that e does, and calls changed with the
// stack of a container of which something else is known than before.
func NewVigil(e *Executor, changed func(stack string)) *Vigil {
	return &Vigil{executor: e, changed: changed, nudge: make(chan struct{}, 1), wards: map[string]*ward{}}
}

// Run looks until ctx ends, and returns when no look is under way any more.
func (v *Vigil) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	v.open(true)
	defer v.open(false)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(v.begin(ctx, &group, time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-v.nudge:
		case <-timer.C:
		}
	}
}

func (v *Vigil) open(running bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running = running
}

// idle is how long there is nothing to do where nobody is to be looked at.
const idle = time.Hour

// begin begins all looks that are due, and returns how long it is until the next.
func (v *Vigil) begin(ctx context.Context, group *sync.WaitGroup, now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	wait := idle
	for _, w := range v.wards {
		wait = min(wait, v.examine(ctx, group, w, now))
		kind, at, due := w.judge.Next()
		switch {
		case w.busy || !due || v.looking >= vigilants: // the end of a look nudges
		case at.After(now):
			wait = min(wait, at.Sub(now))
		default:
			w.busy = true
			v.looking++
			group.Go(func() { v.look(ctx, w, kind, now) })
		}
	}
	return wait
}

// examine has the health check of w run if it is time for it and the engine has no verdict,
// and returns how long it is until the next.
func (v *Vigil) examine(ctx context.Context, group *sync.WaitGroup, w *ward, now time.Time) time.Duration {
	switch {
	case w.Container.Health != reconcile.HealthStarting, w.examined, w.pace.over, v.examining >= examiners:
		return idle // the end of an examination nudges
	case w.pace.next.After(now):
		return w.pace.next.Sub(now)
	}
	w.examined = true
	v.examining++
	id, stack := w.Container.ID, w.Container.Stack
	group.Go(func() {
		err := v.executor.engine.Examine(ctx, id)
		v.mu.Lock()
		w.examined = false
		v.examining--
		w.pace.take(err, now, time.Now())
		v.mu.Unlock()
		if err == nil {
			v.changed(stack)
		}
		v.wake()
	})
	return idle
}

// look looks once at a container, and takes in what it has found.
func (v *Vigil) look(ctx context.Context, w *ward, kind probe.Kind, begun time.Time) {
	v.mu.Lock()
	of := w.Attended
	v.mu.Unlock()
	answer, err := v.executor.probe(ctx, of.Container.ID, w.judge.Probe(kind), address(of.Container, of.Networks))
	telling := err == nil && (answer.OK || v.still(ctx, of))
	v.mu.Lock()
	w.busy = false
	v.looking--
	if telling {
		answer.Output = v.executor.scrub(answer.Output)
		w.judge.Take(kind, begun, answer)
	} else {
		w.judge.Pass(kind, begun)
	}
	now := w.probed()
	news := now != w.told && v.wards[of.Container.ID] == w
	w.told = now
	v.mu.Unlock()
	if news {
		v.changed(of.Container.Stack)
	}
	v.wake()
}

// still reports whether the container runs as it did: only then a bad answer is its own.
// Engines give addresses away again, and what was stopped does not answer either.
func (v *Vigil) still(ctx context.Context, a reconcile.Attended) bool {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	c, err := v.executor.engine.Inspect(ctx, a.Container.ID)
	return err == nil && c.State == reconcile.Running && c.Started.Equal(a.Container.Started) &&
		address(c, a.Networks) == address(a.Container, a.Networks)
}

func (v *Vigil) wake() {
	select {
	case v.nudge <- struct{}{}:
	default:
	}
}

// Attend implements reconcile.Attendant.
func (v *Vigil) Attend(at time.Time, all []reconcile.Attended) map[string]reconcile.Probed {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.running {
		return nil
	}
	if !at.Before(v.at) {
		v.admit(all)
		v.at = at
	}
	known := map[string]reconcile.Probed{}
	for _, a := range all {
		if w := v.wards[a.Container.ID]; w != nil && w.Container.Started.Equal(a.Container.Started) {
			known[a.Container.ID] = w.probed()
		}
	}
	return known
}

// admit makes all the wards there are. What was found of a container holds until it starts
// again, or is asked otherwise.
func (v *Vigil) admit(all []reconcile.Attended) {
	wards := map[string]*ward{}
	for _, a := range all {
		w := v.wards[a.Container.ID]
		if w == nil || !w.Container.Started.Equal(a.Container.Started) || !reflect.DeepEqual(w.Probes, a.Probes) {
			now := time.Now()
			w = &ward{judge: probe.NewJudge(ofAge(a.Probes, now.Sub(a.Container.Started)))}
			w.judge.Begin(earlier(a.Container.Started, now))
			w.Attended = a
			w.told = w.probed()
			v.wake()
		}
		w.Attended = a
		wards[a.Container.ID] = w
	}
	v.wards = wards
}

// ofAge are the probes of a container that has run so long when an eye is first kept on
// it. Where a startup probe would have given up by then it has succeeded before: asked
// anew, a hiccup of what serves for weeks would count as a start that failed.
func ofAge(p compose.Probes, age time.Duration) compose.Probes {
	if s := p.Startup; s != nil && age > s.InitialDelay+time.Duration(s.Failure)*s.Interval {
		p.Startup = nil
	}
	return p
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// probed is what is known of the container.
func (w *ward) probed() reconcile.Probed {
	var p reconcile.Probed
	switch kind, verdict, output := w.judge.Verdict(); {
	case w.judge.Ready():
	case verdict == probe.Failing:
		p.Unready = w.failed(kind, output)
	case w.Probes.Declared():
		p.Pending = true
	}
	if kind, output, doomed := w.judge.Doomed(); doomed {
		p.Doomed = w.failed(kind, output)
	}
	return p
}

// failed says that a probe has: "liveness failed 3 times: connection refused".
func (w *ward) failed(kind probe.Kind, output string) string {
	text := kind.String() + " failed"
	if n := w.judge.Probe(kind).Failure; n > 1 {
		text += fmt.Sprintf(" %d times", n)
	}
	if output == "" {
		return text
	}
	return text + ": " + output
}
