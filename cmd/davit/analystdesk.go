package main

import (
	"context"
	"slices"

	"davit/analysis"
	"davit/traffic"
)

// counters is the edge as an analysis knows it.
type counters struct{ edge *traffic.Client }

// Counts implements analysis.Edge.
func (c counters) Counts(ctx context.Context, stack, service string, releases []int64) ([]analysis.EdgeCounts, error) {
	report, err := c.edge.Signals(ctx)
	if err != nil {
		return nil, err
	}
	out := []analysis.EdgeCounts{edgeCounts(report, stack, service, releases)}
	for _, elder := range report.Elders {
		out = append(out, edgeCounts(elder, stack, service, releases))
	}
	return out, nil
}

// edgeCounts adds up what one edge counted for the replicas of a service, those of these
// releases and all others. A replica that is gone goes on to count with its release.
func edgeCounts(r traffic.SignalReport, stack, service string, releases []int64) analysis.EdgeCounts {
	out := analysis.EdgeCounts{Since: r.Since, Bounds: r.Bounds}
	for _, s := range r.Replicas {
		if s.Stack != stack || s.Service != service {
			continue
		}
		side := &out.Stable
		if slices.Contains(releases, s.Release) {
			side = &out.New
		}
		side.Requests, side.Errors, side.Abandoned = side.Requests+s.Requests, side.Errors+s.Errors, side.Abandoned+s.Abandoned
		for len(side.Buckets) < len(s.Buckets) {
			side.Buckets = append(side.Buckets, 0)
		}
		for i, n := range s.Buckets {
			side.Buckets[i] += n
		}
	}
	return out
}

// analyst makes analyses with what this host has: balancers that serve ports in the
// edge's place count nothing.
func (h *host) analyst(config Config) *analysis.Analyst {
	a := &analysis.Analyst{Engine: h.engine, Queries: analysis.NewPrometheus(config.Prometheus)}
	if h.edge != nil {
		a.Edge = counters{h.edge}
	}
	return a
}
