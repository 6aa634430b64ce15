package reconcile

import (
	"context"
	"time"

	"davit/compose"
)

// Analyst judges what is new while it is held: a canary at its weight, or the batch of an update.
type Analyst interface {
	// Analyse tells every finding, until one is AnalysisFailed: nothing else is final, and
	// those but AnalysisRuns and AnalysisError come no earlier than c.Hold. Its error is
	// ctx's only; those of the sources are findings.
	Analyse(ctx context.Context, c Comparison, tell func(Finding)) error
}

// Comparison is what an analysis judges: the new release of a service beside the one
// that it replaces, while both get traffic.
type Comparison struct {
	Stack, Service string
	// New and Stable are the IDs of containers. What the edge counts of the service for the
	// releases that made New is the new one's, everything else the stable one's.
	New, Stable []string
	// Analysis says what is measured and asked for.
	Analysis compose.Analysis
	// Hold is how long the comparison takes at least; where there are doubts, as much
	// longer as Analysis.Patience.
	Hold time.Duration
}

// Finding is what an analysis came to.
type Finding struct {
	Outcome AnalysisOutcome
	// Reason is for a person at night: "error rate 4.2 % of 310 requests against 0.3 % of
	// 5890 of the stable release, limit 1.3 %".
	Reason string
}

// AnalysisOutcome is one of four, once an analysis has come to something.
type AnalysisOutcome int

const (
	// AnalysisRuns: it is not known yet.
	AnalysisRuns AnalysisOutcome = iota
	// AnalysisPassed: everything that was asked for was seen.
	AnalysisPassed
	// AnalysisFailed: the content is bad.
	AnalysisFailed
	// AnalysisInconclusive: too little was seen, or what was leaves doubt. A person is to
	// decide.
	AnalysisInconclusive
	// AnalysisError: nobody could measure. The content is not to blame.
	AnalysisError
)

func (o AnalysisOutcome) String() string {
	return [...]string{"running", "passed", "failed", "inconclusive", "error"}[o]
}

// Usage is what a container has used, the zero value for one that does not run.
type Usage struct {
	// At is when that was so, by the engine's clock.
	At time.Time
	// CPU is the time of all cores since it started. Memory is in bytes, without the page
	// cache that could be dropped.
	CPU    time.Duration
	Memory int64
}
