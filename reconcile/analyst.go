package reconcile

import (
	"context"
	"sync"
)

// analysing is the analysis of a canary that is held. It begins anew whenever the step is
// held again.
type analysing struct {
	found chan Finding
	end   func()
}

// analyse begins the analysis of s, nil where none is asked for.
func (a *attempt) analyse(ctx context.Context, s Step) *analysing {
	declared, _ := a.project.Service(s.Service)
	spec := declared.Settings.Analysis
	if declared.Settings.Canary != nil {
		spec = declared.Settings.Canary.Analysis
	}
	if spec == nil {
		return nil
	}
	out := &analysing{found: make(chan Finding, 1), end: func() {}}
	if a.loop.Analyst == nil {
		out.found <- Finding{Outcome: AnalysisError, Reason: "nobody here can analyse it"}
		return out
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	out.end = func() { cancel(); working.Wait() }
	c := a.comparison(s)
	if c.Analysis = *spec; len(c.Stable) == 0 {
		c.Analysis = spec.Alone()
	}
	working.Go(func() {
		// Its error is that the hold is over.
		_ = a.loop.Analyst.Analyse(ctx, c, func(f Finding) {
			select {
			case out.found <- f:
			case <-ctx.Done():
			}
		})
	})
	return out
}

// after is what there is to decide by once f has come after an earlier finding: what is in
// doubt stays so until somebody has decided, and what fails fails however good it was.
func (f Finding) after(before Finding) Finding {
	if before.Outcome == AnalysisRuns || f.Outcome == AnalysisFailed {
		return f
	}
	return before
}

// meanwhile is what there is to say of f while time has to pass anyway.
func (f *Finding) meanwhile() string {
	switch {
	case f == nil || f.Reason == "":
		return ""
	case f.Outcome == AnalysisInconclusive, f.Outcome == AnalysisError:
		return ", then for somebody to promote or abort it: " + f.Reason
	}
	return "; so far: " + f.Reason
}

// comparison is what the analysis of s is about.
func (a *attempt) comparison(s Step) Comparison {
	c := Comparison{Stack: a.stack.name, Service: s.Service, Hold: s.Hold.For}
	for _, r := range s.Hold.Canary {
		c.New = append(c.New, r.ID)
	}
	for _, r := range s.Hold.Stable {
		c.Stable = append(c.Stable, r.ID)
	}
	return c
}
