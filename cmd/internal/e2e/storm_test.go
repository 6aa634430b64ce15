package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// storms are how many rollouts are disturbed, each at a moment of its own; with -soak
// as many as the flag says.
func storms() int {
	if *soak {
		return *stormy
	}
	return 6
}

// blow is one disturbance of a rollout under load.
type blow struct {
	name string
	// strike does the harm and takes it away again.
	strike func(q *terminal, v *visitors)
}

// blows are what is killed in turn. What callers may notice of each is what the
// operator of such a host is told: of a dead agent nothing; of a dead edge that nobody has the
// ports until its supervisor has it back; of a dead engine, which takes the containers along when
// it comes back, that they are refused with a reason.
func blows() []blow {
	return []blow{
		{"the agent is killed", func(q *terminal, v *visitors) {
			q.agent.Kill()
			v.more(5)
			q.agent.Start()
		}},
		{"the edge is killed", func(q *terminal, v *visitors) {
			v.torn.Store(true)
			v.strict.Store(false)
			q.edge.restart()
			v.more(5)
			v.torn.Store(false)
		}},
		{"the engine is killed", func(q *terminal, v *visitors) {
			v.strict.Store(false)
			q.engine.Kill()
			q.engine.Start()
		}},
	}
}

// TestRolloutsSurviveWhateverIsKilledAtRandomMoments: under load, each rollout is
// struck at a moment that its seed says, and ends as if nothing had happened.
func TestRolloutsSurviveWhateverIsKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	q := newTerminal(t, "storm", 2)
	v := q.visit()
	v.more(10)
	for seed := range storms() {
		chance := rand.New(rand.NewPCG(uint64(seed), 5))
		b := blows()[seed%len(blows())]
		after := time.Duration(chance.Int64N(int64(4 * time.Second)))
		ok := t.Run(fmt.Sprintf("seed %d: %s %s after the push", seed, b.name, after.Round(time.Millisecond)), func(t *testing.T) {
			v.strict.Store(true)
			before := v.refused.Load()
			commit := q.renew(seed + 1)
			time.Sleep(after)
			b.strike(q, v)
			q.deployed(commit)
			for service := range q.ports {
				q.ready(service, 2)
			}
			v.strict.Store(true)
			v.more(20)
			t.Logf("refused meanwhile: %d", v.refused.Load()-before)
		})
		if !ok {
			return
		}
	}
}
