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
func (e *Engine) Look(ctx context.Context, p *compose.Probe, at netip.Addr) (probe.Answer, error) {
	answer := probe.Answer{Output: "connection refused"}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	e.settle(now)
	for _, c := range e.containers {
		if c.face.State != reconcile.Running || !c.hasAddress(at.String()) {
			continue
		}
		if !c.silent[port(p)] && c.behaviour.answers(now.Sub(c.face.Started)) {
			answer = probe.Answer{OK: true}
		}
	}
	return answer, ctx.Err()
}

// port is where the probe asks; 0 for a command.
func port(p *compose.Probe) uint16 {
	switch {
	case p.HTTP != nil:
		return p.HTTP.Port
	case p.GRPC != nil:
		return p.GRPC.Port
	}
	return p.TCP
}

// Silence has a container answer no probe at a port any more, until it starts again;
// or, with false, answer again.
func (e *Engine) Silence(id string, port uint16, silent bool) {
	e.byHand(id, func(c *container, _ time.Time) {
		if c.silent == nil {
			c.silent = map[uint16]bool{}
		}
		c.silent[port] = silent
	})
}

// Sicken has the health check of a container fail from now on, or, with false, succeed
// again.
func (e *Engine) Sicken(id string, sick bool) {
	health := reconcile.Healthy
	if sick {
		health = reconcile.Unhealthy
	}
	e.byHand(id, func(c *container, now time.Time) { e.happen(c, due{at: now, what: becomes, health: health}) })
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
