package analysis

import (
	"time"

	"davit/reconcile"
)

// Reading is what all sources said at one time.
type Reading struct {
	At time.Time
	// Edges are what the edge counted, and the edges before it that have something left.
	Edges []EdgeCounts
	// EdgeErr is why nobody knows.
	EdgeErr error
	// Containers are those that are there, of both sides, and EngineErr why nobody knows.
	Containers []Container
	EngineErr  error
	// Answers are to the queries, by the metric's name.
	Answers map[string]Answer
}

// EdgeCounts are what one edge has counted for a service since it began.
type EdgeCounts struct {
	// Since tells one edge from another.
	Since       time.Time
	Bounds      []time.Duration
	New, Stable Counts
}

// Counts only grow for as long as an edge lives.
type Counts struct {
	// Requests have ended, Errors of them speak against the release. Of Abandoned ones the
	// client left before an answer began: they prove neither.
	Requests, Errors, Abandoned int64
	// Buckets are latencies by the edge's bounds, the last those beyond all of them.
	Buckets []int64
}

// Container is one container of either side.
type Container struct {
	reconcile.Container
	// New is false for one of the stable release.
	New   bool
	Usage reconcile.Usage
}

// Answer is what a server said to a query.
type Answer struct {
	Value float64
	// None is why there is no value, "" where there is one.
	None string
	// Err is why there is no answer.
	Err error
}

// since is what c grew by from before. One that became less began anew: all that it
// has, it got meanwhile.
func (c Counts) since(before Counts) Counts {
	anew := c.Requests < before.Requests || c.Errors < before.Errors || c.Abandoned < before.Abandoned || len(c.Buckets) != len(before.Buckets)
	for i := range c.Buckets {
		anew = anew || c.Buckets[i] < before.Buckets[i]
	}
	if anew {
		return c
	}
	out := Counts{Requests: c.Requests - before.Requests, Errors: c.Errors - before.Errors, Abandoned: c.Abandoned - before.Abandoned, Buckets: make([]int64, len(c.Buckets))}
	for i := range c.Buckets {
		out.Buckets[i] = c.Buckets[i] - before.Buckets[i]
	}
	return out
}

// growth follows the counters of every edge.
type growth struct {
	// seen is what each had when it was last seen, by when it began.
	seen map[int64]EdgeCounts
	// last is when that was.
	last time.Time
}

// add is what both sides grew by since the reading before. What an edge counted before
// it was first seen is not known to be of this time, unless it began since.
func (g *growth) add(at time.Time, edges []EdgeCounts) (fresh, stable tally) {
	if g.seen == nil {
		g.seen = map[int64]EdgeCounts{}
	}
	for _, e := range edges {
		before, known := g.seen[e.Since.UnixNano()]
		if known || !g.last.IsZero() && e.Since.After(g.last) {
			fresh.add(e.New.since(before.New.like(e.New)), e.Bounds)
			stable.add(e.Stable.since(before.Stable.like(e.Stable)), e.Bounds)
		}
		g.seen[e.Since.UnixNano()] = e
	}
	g.last = at
	return fresh, stable
}

// like is c with as many buckets as o where it has none at all.
func (c Counts) like(o Counts) Counts {
	if len(c.Buckets) == 0 {
		c.Buckets = make([]int64, len(o.Buckets))
	}
	return c
}
