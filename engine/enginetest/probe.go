package enginetest

import (
	"context"
	"net/netip"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/rollout/probe"
)

// Look implements rollout.Prober: whatever runs at that address answers every probe as
// its behaviour says. Networks have the same addresses here; one good answer of several
// is enough.
func (e *Engine) Look(ctx context.Context, _ *compose.Probe, at netip.Addr) (probe.Answer, error) {
	answer := probe.Answer{Output: "connection refused"}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	e.settle(now)
	for _, c := range e.containers {
		if c.face.State != reconcile.Running || !c.hasAddress(at.String()) {
			continue
		}
		if c.behaviour.answers(now.Sub(c.face.Started)) {
			answer = probe.Answer{OK: true}
		}
	}
	return answer, ctx.Err()
}

func (c *container) hasAddress(ip string) bool {
	for _, end := range c.face.Endpoints {
		if end.IP == ip {
			return true
		}
	}
	return false
}

// answers reports whether a probe of a container of that age succeeds.
func (b Behaviour) answers(age time.Duration) bool {
	return age >= b.AnswersAfter && (b.MuteAfter == 0 || age < b.MuteAfter)
}
