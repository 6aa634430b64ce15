package rollout

import (
	"fmt"
	"strings"
	"time"

	"davit/reconcile"
	"davit/rollout/probe"
)

// watch judges one container by successive looks at it. It has no clock: it is
// told the time of each look.
type watch struct {
	name string
	gate reconcile.Gate
	// began is when the watch began. For a monitor it moves when somebody
	// restarts the container by hand, since the watch is to be uninterrupted.
	began time.Time
	// notBefore bounds the container's own start time from below: a container
	// that this execution started cannot be older, whatever a remote engine's
	// clock says.
	notBefore time.Time

	looks int
	// started is the current start as the engine tells it, latest the same by the
	// agent's clock, and first the one that the timeout counts from.
	started, latest, first time.Time
	// restarts is the engine's count at the last look; crashes is by how much it
	// grew since the first.
	restarts, crashes int
	// stained is true while the container carries the mark of a kill for memory
	// from before the watch: the engine keeps it until the next start.
	stained bool
	// ready is since when the container is ready without interruption; zero while
	// it is not.
	ready time.Time
	// seen is the last look, away true since the engine did not answer after it,
	// and absent how long it did not answer in all, which is nobody's fault.
	seen   time.Time
	away   bool
	absent time.Duration

	// judge says what the gate's probes have found; nil where it has none. heard is the
	// answer to one that came since the last look, and last the container as it was then.
	judge *probe.Judge
	heard *finding
	last  reconcile.Container
	// opened is when the watch began, whatever became of the container since.
	opened time.Time
}

func newWatch(t task, now time.Time) *watch {
	w := &watch{name: t.step.Replica.String(), gate: t.step.Gate, began: now, seen: now, notBefore: t.started}
	if w.gate.Probes.Declared() {
		w.judge, w.opened = probe.NewJudge(w.gate.Probes), now
	}
	return w
}

// crashLoop is the number of restarts during a gate that make it hopeless.
const crashLoop = 2

// miss notes that the engine did not answer.
func (w *watch) miss() { w.away = true }

// known is since when nobody has seen what became of the container: its last look, or
// before that its start, if it was in this execution.
func (w *watch) known() time.Time {
	if w.looks == 0 && !w.notBefore.IsZero() {
		return w.notBefore
	}
	return w.seen
}

// look takes a look at the container into account. It returns the verdict in
// words once the watch has passed, and an error once it has failed.
func (w *watch) look(c reconcile.Container, now time.Time) (verdict string, passed bool, err error) {
	if w.away {
		w.absent += now.Sub(w.seen)
	}
	w.take(c, now)
	if verdict, passed = w.ended(c); passed {
		return verdict, true, nil
	}
	if err := w.broken(c, now); err != nil {
		return "", false, err
	}
	w.looks, w.seen, w.away, w.last = w.looks+1, now, false, c
	if verdict, passed = w.held(c, now); passed {
		return verdict, true, nil
	}
	return "", false, w.late(c, now)
}

// take compares the look with the last one.
func (w *watch) take(c reconcile.Container, now time.Time) {
	fresh := w.looks == 0 || !c.Started.Equal(w.started)
	restarted := w.looks > 0 && (fresh || c.Restarts != w.restarts)
	if w.looks > 0 && !w.away {
		w.crashes += max(c.Restarts-w.restarts, 0)
	}
	w.restarts = c.Restarts
	if restarted {
		w.began = now
	}
	if fresh {
		w.stained = c.OOMKilled && w.looks == 0 && w.notBefore.IsZero()
		w.started, w.latest = c.Started, w.start(c, now)
	}
	if w.first.IsZero() {
		w.first = w.latest
	}
	if w.judge != nil {
		w.consult(c, fresh || restarted)
	}
	switch {
	case !isReady(c) || w.judge != nil && !w.judge.Ready():
		w.ready = time.Time{}
	case w.judge == nil && c.Health == reconcile.HealthNone && fresh && !w.latest.IsZero():
		w.ready = w.latest
	case w.ready.IsZero() || restarted:
		w.ready = now
	}
}

// start is when the container started by the agent's clock; zero if it has not.
func (w *watch) start(c reconcile.Container, now time.Time) time.Time {
	switch {
	case c.Started.IsZero():
		return time.Time{}
	case c.Started.After(now):
		return now
	case c.Started.Before(w.notBefore):
		return w.notBefore
	}
	return c.Started
}

// isReady reports whether the container is ready as it stands.
func isReady(c reconcile.Container) bool {
	return c.State == reconcile.Running && (c.Health == reconcile.HealthNone || c.Health == reconcile.Healthy)
}

// ended reports whether the container's own end is what was waited for, or is
// allowed. An end while the engine was away may have been the engine's doing.
func (w *watch) ended(c reconcile.Container) (string, bool) {
	allowed := !w.away && (w.gate.Kind == reconcile.GateCompleted || w.gate.MayComplete)
	if c.State != reconcile.Exited || c.ExitCode != 0 || !allowed {
		return "", false
	}
	return "completed" + after(c.Started, c.Finished), true
}

// broken finds what no further waiting will mend.
func (w *watch) broken(c reconcile.Container, now time.Time) error {
	switch c.State {
	case reconcile.Exited, reconcile.Dead:
		if w.away {
			return fmt.Errorf("%s stopped while the engine was away: %w", w.name, reconcile.ErrEngineUnavailable)
		}
		return &fault{reason: w.name + " " + c.End() + after(c.Started, c.Finished)}
	case reconcile.Restarting:
		if !w.away && !w.retries(c) {
			return &fault{reason: w.name + " is in a restart loop, it " + c.End()}
		}
	case reconcile.Running:
		switch {
		case c.OOMKilled && !w.stained:
			return &fault{reason: w.name + " ran out of memory" + after(w.latest, now)}
		case c.Health == reconcile.Unhealthy && w.gate.Kind != reconcile.GateCompleted:
			return &fault{reason: w.name + " became unhealthy" + after(w.latest, now)}
		}
	}
	if err := w.unanswered(); err != nil {
		return err
	}
	if w.crashes >= w.tolerance() && !w.retries(c) {
		times := ""
		if w.crashes > 1 {
			times = fmt.Sprintf(" %d times", w.crashes)
		}
		return &fault{reason: w.name + " restarted by itself" + times}
	}
	return nil
}

// tolerance is the number of crashes that are one too many.
func (w *watch) tolerance() int {
	if w.gate.Kind == reconcile.GateMonitor {
		return 1
	}
	return crashLoop
}

// retries reports whether a crash is only one of the attempts that a one-shot
// service was given.
func (w *watch) retries(c reconcile.Container) bool {
	return w.gate.Kind == reconcile.GateCompleted && strings.HasPrefix(c.Restart, "on-failure")
}

// held reports whether the condition has lasted for long enough.
func (w *watch) held(c reconcile.Container, now time.Time) (string, bool) {
	switch w.gate.Kind {
	case reconcile.GateMonitor:
		return "", now.Sub(w.began) >= w.gate.StableFor
	case reconcile.GateReady:
		if w.ready.IsZero() || now.Sub(w.ready) < w.gate.StableFor {
			return "", false
		}
		if w.judge != nil {
			return "ready" + after(w.latest, w.ready), true
		}
		if c.Health == reconcile.Healthy {
			return "healthy" + after(w.latest, w.ready), true
		}
		return "running for " + span(now.Sub(w.ready)), true
	}
	return "", false
}

// late reports that time is up. A container that is ready, and only has to stay
// so, is not late.
func (w *watch) late(c reconcile.Container, now time.Time) error {
	if w.gate.Timeout <= 0 || w.gate.Kind == reconcile.GateMonitor || !w.ready.IsZero() && w.gate.Kind == reconcile.GateReady {
		return nil
	}
	if now.Before(w.deadline()) {
		return nil
	}
	within := " within " + span(w.gate.Timeout)
	switch {
	case w.gate.Kind == reconcile.GateCompleted:
		return &fault{reason: w.name + " did not complete" + within + ": it is " + c.State.String()}
	case isReady(c) && w.judge != nil:
		return &fault{reason: w.name + " did not become ready" + within + ": " + w.unready()}
	case c.State == reconcile.Running:
		return &fault{reason: w.name + " did not become healthy" + within + ": its health is " + c.Health.String()}
	}
	return &fault{reason: w.name + " did not become ready" + within + ": it is " + c.State.String()}
}

// deadline is when the timeout ends.
func (w *watch) deadline() time.Time {
	from := w.first
	if from.IsZero() {
		from = w.began
	}
	if w.judge != nil && w.opened.After(from) {
		from = w.opened // before, nobody asked
	}
	return from.Add(w.gate.Timeout + w.absent)
}

// due is when the next look is worth while though nothing changes: a condition
// will have held, or time be up.
func (w *watch) due(now time.Time) time.Duration {
	switch {
	case w.gate.Kind == reconcile.GateMonitor:
		return w.began.Add(w.gate.StableFor).Sub(now)
	case w.gate.Kind == reconcile.GateReady && !w.ready.IsZero():
		return w.ready.Add(w.gate.StableFor).Sub(now)
	case w.gate.Timeout > 0:
		return w.deadline().Sub(now)
	}
	return pollMax
}
