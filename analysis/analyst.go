package analysis

import (
	"context"
	"time"

	"davit/reconcile"
)

// readingLimit is how long all sources may take over one reading.
const readingLimit = 15 * time.Second

// questions is how many queries are under way at once.
const questions = 4

// Edge is whoever counts requests.
type Edge interface {
	// Counts are those of a service, by edge: of these releases, and of all others.
	Counts(ctx context.Context, stack, service string, releases []int64) ([]EdgeCounts, error)
}

// Engine is whoever runs the containers.
type Engine interface {
	// Inspect returns reconcile.ErrContainerMissing when it is gone, as Usage does.
	Inspect(ctx context.Context, id string) (reconcile.Container, error)
	Usage(ctx context.Context, id string) (reconcile.Usage, error)
}

// Queries is whoever answers queries.
type Queries interface {
	Ask(ctx context.Context, server, query string) Answer
}

// Analyst makes analyses, any number of them at once. Engine and Queries are required;
// without an Edge no metric of requests can be measured.
type Analyst struct {
	Edge    Edge
	Engine  Engine
	Queries Queries
}

// Analyse judges c, and tells after every reading what all of them come to, until they
// say that it failed. Its error is ctx's only.
//
// What passed is judged anew, by what comes from then on: it may turn bad for as long as it
// has traffic. Nothing is kept of an analysis that was cut off: another one begins with
// fresh counts.
func (a *Analyst) Analyse(ctx context.Context, c reconcile.Comparison, tell func(reconcile.Finding)) error {
	j := NewJudge(c.Analysis, time.Now(), c.Hold)
	s := &session{Analyst: a, Comparison: c, needs: needed(c.Analysis.Metrics)}
	for wait := c.Analysis.Delay; ; {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		r := s.read(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		f := j.Read(r)
		tell(f)
		switch f.Outcome {
		case reconcile.AnalysisFailed:
			return nil
		case reconcile.AnalysisPassed:
			j = NewJudge(c.Analysis, time.Now(), c.Hold)
		}
		wait = j.Next(time.Now())
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
