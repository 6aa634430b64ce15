package reconcile_test

import (
	"context"
	"slices"
	"time"

	"davit/analysis"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// analyses has the agents to come judge by what the edge counts.
func (h *host) analyses(edge *enginetest.Edge) {
	adjust := h.adjust
	h.adjust = func(o *reconcile.Options) {
		adjust(o)
		o.Analyst = &analysis.Analyst{Edge: counters{edge}, Engine: h.engine, Queries: noQueries{}}
	}
	h.stop()
	h.boot()
}

// counters are what the edge has counted, as an analysis asks for it.
type counters struct{ *enginetest.Edge }

// tells are the latencies that they tell apart.
var tells = []time.Duration{20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond, 100 * time.Millisecond,
	125 * time.Millisecond, 160 * time.Millisecond, 200 * time.Millisecond}

func (c counters) Counts(ctx context.Context, _, service string, releases []int64) ([]analysis.EdgeCounts, error) {
	table, err := c.Look(ctx)
	if err != nil {
		return nil, err
	}
	out := analysis.EdgeCounts{Since: table.Since, Bounds: tells}
	out.New.Buckets, out.Stable.Buckets = make([]int64, len(tells)+1), make([]int64, len(tells)+1)
	for release, a := range c.Tally(service).Releases {
		side := &out.Stable
		if slices.Contains(releases, release) {
			side = &out.New
		}
		side.Requests, side.Errors = side.Requests+int64(a.Requests), side.Errors+int64(a.Failed)
		for took, n := range a.Took {
			i, _ := slices.BinarySearch(tells, took)
			side.Buckets[i] += int64(n)
		}
	}
	return []analysis.EdgeCounts{out}, nil
}

// noQueries answers none.
type noQueries struct{}

func (noQueries) Ask(context.Context, string, string) analysis.Answer {
	return analysis.Answer{None: "nobody is asked here"}
}
