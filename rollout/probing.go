package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/rollout/probe"
)

// Prober looks at containers over the network.
type Prober interface {
	// Look looks once, within the probe's timeout. Its error says nothing of the
	// container: the look could not be made.
	Look(ctx context.Context, p *compose.Probe, at netip.Addr) (probe.Answer, error)
}

// finding is what one look of a probe found, and of whom.
type finding struct {
	kind  probe.Kind
	begun time.Time
	// started and address are the container's before the look. It is an answer of that
	// container only if they are the same after it: engines give addresses away again.
	started time.Time
	address netip.Addr
	answer  probe.Answer
	err     error
}

// probing has the probes of one gate made, one at a time, beside the looks at what the
// engine says: a probe that hangs must not hide that the container has ended.
type probing struct {
	executor *Executor
	task     task
	// answers has one place, so that whoever looked can always leave; busy is true until
	// the answer was taken.
	answers chan finding
	busy    bool
	end     context.CancelFunc
	group   sync.WaitGroup
}

func newProbing(e *Executor, t task) *probing {
	return &probing{executor: e, task: t, answers: make(chan finding, 1), end: func() {}}
}

// stop gives up the look that is under way and waits for its end.
func (p *probing) stop() {
	p.end()
	p.group.Wait()
}

// look begins the next look if it is time for it, and returns how long there is until
// then. Its end rings for the container.
func (p *probing) look(ctx context.Context, w *watch) time.Duration {
	if w.judge == nil || p.busy || w.away || w.last.State != reconcile.Running {
		return pollMax
	}
	kind, at, ok := w.judge.Next()
	now := time.Now()
	switch {
	case !ok:
		return pollMax
	case at.After(now):
		return at.Sub(now)
	}
	look := w.judge.Probe(kind)
	s := finding{kind: kind, begun: now, started: w.last.Started, address: address(w.last, w.gate.Networks)}
	p.busy = true
	ctx, p.end = context.WithCancel(ctx)
	p.group.Go(func() {
		s.answer, s.err = p.executor.probe(ctx, p.task.id, look, s.address)
		p.answers <- s
		p.executor.bells.ring(p.task.id)
	})
	return pollMax
}

// take hands the answer of a look that has ended to the watch, which judges it by what
// the engine says next.
func (p *probing) take(w *watch) {
	select {
	case s := <-p.answers:
		p.end()
		p.busy, w.heard = false, &s
	default:
	}
}

// probe is one look at the container with that ID.
func (e *Executor) probe(ctx context.Context, id string, p *compose.Probe, at netip.Addr) (probe.Answer, error) {
	switch {
	case len(p.Exec) > 0:
		return e.ask(ctx, id, p)
	case !at.IsValid():
		return probe.Answer{Output: "the container has no address that this host reaches"}, nil
	}
	return e.prober.Look(ctx, p, at)
}

// ask runs the command of a probe.
func (e *Executor) ask(ctx context.Context, id string, p *compose.Probe) (probe.Answer, error) {
	h := reconcile.Hook{Phase: reconcile.HookProbe, Timeout: p.Timeout}
	h.Command = p.Exec
	limited, cancel := context.WithTimeout(ctx, p.Timeout+lookLimit)
	defer cancel()
	err := e.engine.Run(limited, id, h)
	var failed *reconcile.HookFailure
	switch {
	case err == nil:
		return probe.Answer{OK: true}, nil
	case errors.As(err, &failed):
		return probe.Answer{Output: probe.Line(failed.Error()), Lingers: failed.TimedOut > 0}, nil
	case !circumstantial(err):
		return probe.Answer{Output: probe.Line(err.Error())}, nil
	}
	return probe.Answer{}, fmt.Errorf("run the command of probe %s: %w", p, err)
}

// address is where the host reaches the container: in the first of the networks that it
// is in. Whatever has the host's network has the host's own address.
func address(c reconcile.Container, networks []string) netip.Addr {
	for _, name := range networks {
		if name == "host" {
			return netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		if ip, err := netip.ParseAddr(c.Endpoints[name].IP); err == nil {
			return ip
		}
	}
	return netip.Addr{}
}

// consult has the watch's judge take into account what was heard since the last look: c
// is the container now, anew true if it has started since.
func (w *watch) consult(c reconcile.Container, anew bool) {
	if anew && !w.latest.IsZero() {
		w.judge.Begin(w.latest)
	}
	s := w.heard
	w.heard = nil
	switch {
	case s == nil || anew:
	case s.err != nil || c.State != reconcile.Running || !c.Started.Equal(s.started) || address(c, w.gate.Networks) != s.address:
		w.judge.Pass(s.kind, s.begun)
	default:
		w.judge.Take(s.kind, s.begun, s.answer)
	}
}

// unanswered finds that a container's probes have failed for good. That it is not ready
// yet is no failure before the gate's time is up; that it was and is not any more is one
// while it is watched.
func (w *watch) unanswered() error {
	if w.judge == nil {
		return nil
	}
	kind, verdict, output := w.judge.Verdict()
	if verdict != probe.Failing || kind == probe.Readiness && w.gate.Kind != reconcile.GateMonitor {
		return nil
	}
	p := w.judge.Probe(kind)
	times := ""
	if p.Failure > 1 {
		times = fmt.Sprintf(" %d times in a row", p.Failure)
	}
	return &fault{reason: fmt.Sprintf("%s failed its %s probe %s%s: %s", w.name, kind, p, times, output)}
}

// unready says what of its probes a container still lacks.
func (w *watch) unready() string {
	kind, _, output := w.judge.Verdict()
	if output == "" {
		output = "it has not succeeded often enough"
	}
	return fmt.Sprintf("%s probe %s: %s", kind, w.judge.Probe(kind), output)
}
