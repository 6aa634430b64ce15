package reconcile

import (
	"context"
	"slices"
	"time"
)

// chart is what the loop has seen of a container over time, which no snapshot says.
type chart struct {
	started  time.Time
	restarts int
	// crashes are when its policy was seen to start it again, oldest first; unwell is since
	// when its health check fails, zero while it does not.
	crashes []time.Time
	unwell  time.Time
}

const (
	// crashWindow is the time in which crashes are counted, and crashLimit the number of
	// them that make a loop.
	crashWindow = 5 * time.Minute
	crashLimit  = 3
	// unwellFor is how long a health check has to fail, after it has failed often enough to
	// make its container unhealthy, before the container is replaced.
	unwellFor = 30 * time.Second
)

// charts are those of all containers by ID, as of the newest snapshot.
type charts struct {
	at time.Time
	of map[string]chart
	// answering is since when the engine has answered every time.
	answering time.Time
}

// see takes a snapshot into account, unless a newer one was.
func (all *charts) see(o Observed) {
	if all.answering.IsZero() {
		all.answering = o.At
	}
	if o.At.Before(all.at) {
		return
	}
	now := map[string]chart{}
	for _, c := range o.Containers {
		before, known := all.of[c.ID]
		now[c.ID] = before.next(c, known, o.At)
	}
	all.at, all.of = o.At, now
}

// next is the chart after c was seen as it is.
func (x chart) next(c Container, known bool, at time.Time) chart {
	out := chart{started: c.Started, restarts: c.Restarts}
	for _, t := range x.crashes {
		if at.Sub(t) < crashWindow {
			out.crashes = append(out.crashes, t)
		}
	}
	if known {
		for range min(c.Restarts-x.restarts, crashLimit) {
			out.crashes = append(out.crashes, at)
		}
	}
	switch {
	case c.State != Running || c.Health != Unhealthy:
	case x.unwell.IsZero() || !x.started.Equal(c.Started):
		out.unwell = at
	default:
		out.unwell = x.unwell
	}
	return out
}

// fill writes down in a snapshot what is known of its containers over time.
func (all *charts) fill(o *Observed) {
	o.Answering = all.answering
	for i := range o.Containers {
		c := &o.Containers[i]
		x := all.of[c.ID]
		c.Crashes, c.Unwell = len(x.crashes), x.unwell
	}
}

// examine adds to a snapshot, which nobody else has, what is known of its containers
// besides. The caller holds l.mu.
func (l *Loop) examine(o *Observed) {
	l.charts.see(*o)
	l.charts.fill(o)
	if l.Attendant == nil {
		return
	}
	known := l.Attendant.Attend(o.At, l.attended(*o))
	for i := range o.Containers {
		p := known[o.Containers[i].ID]
		p.Unready, p.Doomed = l.Scrub(p.Unready), l.Scrub(p.Doomed)
		o.Containers[i].Probed = p
	}
}

// unanswered notes that the engine did not answer, unless nobody waited for it.
func (l *Loop) unanswered(ctx context.Context) {
	if ctx.Err() == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.charts.answering = time.Time{}
	}
}

// looping reports whether c starts again and again by itself.
func (c Container) looping() bool {
	return c.Crashes >= crashLimit && slices.Contains([]ContainerState{Running, Restarting}, c.State)
}
