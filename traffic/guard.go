package traffic

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Guard looks after load balancers of the host's own as the edge does after itself: an
// address is used only while it is known to belong to its container, and one that was
// restarted is told again what it serves. It works only while its process lives.
type Guard struct {
	Balancers []*Steered
	Lookout   Lookout
	// Lost is called when a balancer does not do any more what it was told, or can be
	// told something again. It must return quickly.
	Lost func()
	Log  *slog.Logger
}

// guardRound is how often balancers are looked at: a reload of HAProxy empties its
// backends.
const guardRound = 500 * time.Millisecond

// Run returns when ctx ends.
func (g *Guard) Run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	doubt := make(chan struct{}, 1)
	raise := func() {
		select {
		case doubt <- struct{}{}:
		default: // it is to look already
		}
	}
	for _, s := range g.Balancers {
		parts.Go(func() { g.attend(ctx, s, raise) })
	}
	raise() // nobody has watched until now
	parts.Go(func() {
		err := g.Lookout.Watch(ctx, func(error) { raise() }, func(container string) {
			if slices.Contains(g.containers(), container) {
				raise()
			}
		})
		if err != nil && ctx.Err() == nil {
			g.Log.ErrorContext(ctx, "the engine is not watched any more", "error", err)
		}
	})
	g.confirm(ctx, doubt)
}

// containers are those behind any of the balancers.
func (g *Guard) containers() []string {
	var out []string
	for _, s := range g.Balancers {
		t, err := s.Table()
		if err != nil {
			continue // whoever tells it something says so
		}
		for _, b := range t.ends() {
			out = append(out, b.Container)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// confirm looks at the engine whenever there is a doubt, and again until there is none.
func (g *Guard) confirm(ctx context.Context, doubt <-chan struct{}) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-doubt:
		case <-again:
		}
		again = nil
		if !g.look(ctx) {
			again = time.After(lookAgain)
		}
	}
}

// look confirms what is behind the balancers, by the engine, and while that is away by
// the containers' processes. It reports whether the engine has confirmed all of it.
func (g *Guard) look(ctx context.Context) bool {
	within, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	sightings, err := g.Lookout.Look(within, g.containers())
	if ctx.Err() != nil {
		return true
	}
	all := err == nil
	for _, s := range g.Balancers {
		told := s.vouch(ctx, func(b Backend) bool {
			known := slices.ContainsFunc(sightings, b.sightedAs) || err != nil && g.felt(b)
			all = all && known
			return known
		}, g.Log)
		all = all && told
	}
	return all
}

// felt reports whether b's process lives, and has the address.
func (g *Guard) felt(b Backend) bool {
	if b.Process == 0 {
		return false
	}
	p, err := feel(processes, b.Container, b.Process)
	if err != nil {
		g.Log.Debug("a container can be vouched for by its engine only", "replica", b.Replica, "error", err)
		return false
	}
	defer p.end()
	return p.at(b.Address.Addr())
}

// sightedAs reports whether s is the life of the container that b means, at its address.
func (b Backend) sightedAs(s Sighting) bool {
	return s.Container == b.Container && s.Started.Equal(b.Started) && slices.Contains(s.Addresses, b.Address.Addr())
}

// remindAfter is after how many rounds it is tried again to mend what is still lost.
const remindAfter = 10

// attend looks at one balancer again and again. One that has lost what it was told is
// told that again at once. It calls Lost, and raise when the balancer took another table,
// whose addresses are to be confirmed as well.
func (g *Guard) attend(ctx context.Context, s *Steered, raise func()) {
	round := time.NewTicker(guardRound)
	defer round.Stop()
	lost, away, generation := 0, false, int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-round.C:
		}
		t, standing, err := s.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		gone := errors.Is(err, ErrBalancerAway)
		holds := err == nil && standing.Holds && t.Generation > 0
		switch {
		case gone && !away:
			g.Log.WarnContext(ctx, "a load balancer does not answer", "balancer", s.Name, "error", err)
		case away && !gone:
			g.Log.InfoContext(ctx, "a load balancer answers again", "balancer", s.Name)
			g.Lost() // somebody may wait for it
		}
		if away = gone; gone {
			lost = 0
			continue
		}
		if generation != t.Generation {
			generation = t.Generation
			raise()
		}
		due := lost%remindAfter == 0
		if holds || due && err == nil && t.Generation > 0 && s.again(ctx, g.Log) {
			lost = 0
			continue
		}
		if due {
			g.Lost()
		}
		lost++
	}
}
