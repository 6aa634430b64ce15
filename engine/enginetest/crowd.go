package enginetest

import (
	"maps"
	"slices"
	"time"

	"davit/reconcile"
)

const (
	// parks is how long the edge lets a request wait while nobody is there to answer it.
	parks = 10 * time.Second
	// follows is how long after a container has started again the edge hands it something
	// though no table says so.
	follows = 5 * time.Second
)

// crowd are clients of one service, who ask the edge at a steady rate.
type crowd struct {
	service string
	every   time.Duration
	next    time.Time
	// waiting are requests that nobody was there to answer, by when they came.
	waiting []time.Time
	// turn is whose turn it is, by container: what it is owed of all that was dealt.
	turn  map[string]float64
	tally Tally
}

// Tally is what became of a crowd's requests.
type Tally struct {
	Requests, Failed int
	// Releases are those that a release was handed.
	Releases map[int64]Answers
}

// Answers are the requests that a release was handed.
type Answers struct {
	Requests, Failed int
	// Took are all of them, by how long they took.
	Took map[time.Duration]int
}

// Crowd has so many requests a second come to a service from now on. They are dealt out
// by the table's weights among those that run, one after the other, and each is over at
// once: its time is only told. One that finds nobody waits.
func (x *Edge) Crowd(service string, rate int) {
	x.set(func() {
		x.crowds = append(x.crowds, &crowd{service: service, every: time.Second / time.Duration(rate), next: x.engine.now(),
			turn: map[string]float64{}, tally: Tally{Releases: map[int64]Answers{}}})
	})
}

// Tally is what became of the requests to a service so far.
func (x *Edge) Tally(service string) Tally {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	x.engine.settle(x.engine.now())
	for _, c := range x.crowds {
		if c.service != service {
			continue
		}
		t := c.tally
		t.Releases = maps.Clone(t.Releases)
		for release, a := range t.Releases {
			a.Took = maps.Clone(a.Took)
			t.Releases[release] = a
		}
		return t
	}
	return Tally{}
}

// deal hands out what comes until then. It stops early, and says so, when a container
// could not bear it: what follows from that may come before the rest.
func (x *Edge) deal(until time.Time) (interrupted bool) {
	for {
		var first *crowd
		for _, c := range x.crowds {
			if !c.next.After(until) && (first == nil || c.next.Before(first.next)) {
				first = c
			}
		}
		if first == nil {
			return false
		}
		at := first.next
		first.next = at.Add(first.every)
		if x.ask(first, at) {
			return true
		}
	}
}

// ask is one more request, and whatever waits for the same. It reports whether a
// container ended of it.
func (x *Edge) ask(c *crowd, at time.Time) bool {
	c.tally.Requests++
	c.waiting = append(c.waiting, at)
	for len(c.waiting) > 0 {
		chosen, release := x.choose(c, at)
		switch {
		case x.away: // nobody listens
			c.tally.Failed++
		case chosen != nil:
			good, ended := x.engine.serve(chosen, at)
			c.count(release, good, chosen.behaviour.Latency)
			if ended {
				c.waiting = c.waiting[1:]
				return true
			}
		case at.Sub(c.waiting[0]) < parks:
			return false
		default:
			c.tally.Failed++
		}
		c.waiting = c.waiting[1:]
	}
	return false
}

func (c *crowd) count(release int64, good bool, took time.Duration) {
	a := c.tally.Releases[release]
	if a.Requests++; !good {
		a.Failed++
		c.tally.Failed++
	}
	if a.Took == nil {
		a.Took = map[time.Duration]int{}
	}
	a.Took[took]++
	c.tally.Releases[release] = a
}

// choose is whose turn it is among those that the edge hands what is new, and that run;
// nil for nobody.
func (x *Edge) choose(c *crowd, at time.Time) (chosen *container, release int64) {
	i := slices.IndexFunc(x.table.Routes, func(r reconcile.Route) bool { return r.Service == c.service })
	if i < 0 {
		return nil, 0
	}
	route := x.table.Routes[i]
	var able []reconcile.Member
	size := map[int64]int{}
	for _, m := range route.Members {
		if there, ok := x.engine.containers[m.Container]; ok && m.Draining.IsZero() && there.runsFor(m, at) {
			able = append(able, m)
			size[m.Release]++
		}
	}
	total, most := 0.0, 0.0
	for _, m := range able {
		share := 1.0
		if len(route.Weights) > 0 {
			share = float64(route.Weights[m.Release]) / float64(size[m.Release])
		}
		total += share
		c.turn[m.Container] += share
		if owed := c.turn[m.Container]; share > 0 && (chosen == nil || owed > most) {
			chosen, release, most = x.engine.containers[m.Container], m.Release, owed
		}
	}
	if chosen != nil {
		c.turn[chosen.face.ID] -= total
	}
	return chosen, release
}

// runsFor reports whether the container runs as the table means m, or has for long enough
// that the edge sees for itself what became of it.
func (c *container) runsFor(m reconcile.Member, at time.Time) bool {
	again := !at.Before(c.face.Started.Add(follows)) && c.well(at)
	return c.face.Running() && (c.face.Started.Equal(m.Started) || again)
}

// serve has a container answer a request: whether well, and whether it ended of it.
func (e *Engine) serve(c *container, at time.Time) (good, ended bool) {
	b := c.behaviour
	c.asked++
	if b.DiesAt > 0 && c.asked == b.DiesAt {
		code := b.ExitCode
		if b.OOM {
			code = 137
		}
		e.exit(c, due{at: at, what: exits, code: code, oom: b.OOM})
		e.writers.record(e.containers)
		return false, true
	}
	if c.asked > b.ErrorsFrom {
		c.wrong += b.Errors
	}
	switch {
	case c.checked && c.face.Health == reconcile.Unhealthy, !b.answers(at.Sub(c.face.Started)):
		return false, false
	case c.wrong >= 1:
		c.wrong--
		return false, false
	}
	return true, false
}
