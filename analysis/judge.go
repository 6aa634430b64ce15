package analysis

import (
	"fmt"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// Judge follows one analysis. It has no clock: time passes by the readings that it is
// told, which are in order.
type Judge struct {
	spec  compose.Analysis
	begun time.Time
	hold  time.Duration

	growth  growth
	vitals  *vitals
	courses []*course
}

// NewJudge begins an analysis that is held for so long at least.
func NewJudge(spec compose.Analysis, begun time.Time, hold time.Duration) *Judge {
	j := &Judge{spec: spec, begun: begun, hold: hold, vitals: newVitals()}
	for _, m := range spec.Metrics {
		j.courses = append(j.courses, &course{metric: m, last: standing{scant, m.Name + ": nothing was measured"}})
	}
	return j
}

// Read takes a reading, and says what all of them come to.
func (j *Judge) Read(r Reading) reconcile.Finding {
	var requests sides
	if r.EdgeErr == nil {
		requests.fresh, requests.stable = j.growth.add(r.At, r.Edges)
	}
	if r.EngineErr == nil {
		j.vitals.add(r.Containers)
	}
	for _, c := range j.courses {
		switch {
		case c.requests() && r.EdgeErr != nil:
			c.trouble(r.EdgeErr)
		case c.requests():
			c.grow(requests)
		case c.metric.Kind == compose.MetricPrometheus:
			c.answer(r.Answers)
		case r.EngineErr != nil:
			c.trouble(r.EngineErr)
		default:
			c.measure(j.vitals.judge(c.metric))
		}
	}
	return j.finding(r.At)
}

// answer takes the answer to the metric's query.
func (c *course) answer(all map[string]Answer) {
	a, asked := all[c.metric.Name]
	switch {
	case !asked:
		c.trouble(fmt.Errorf("query %s was not made", c.metric.Name))
	case a.Err != nil:
		c.trouble(a.Err)
	default:
		c.measure(a.judge(c.metric))
	}
}

// again is how long after a source did not answer it is asked once more.
const again = 10 * time.Second

// Next is how long after a reading at now the next one is due: sooner than the interval
// where the step's time is over before, and when a source did not answer.
func (j *Judge) Next(now time.Time) time.Duration {
	for _, c := range j.courses {
		if c.errors > 0 {
			return again
		}
	}
	if left := j.hold - now.Sub(j.begun); left > 0 {
		return min(j.spec.Interval, left)
	}
	return j.spec.Interval
}

// sorted are the texts of all metrics, by what they mean at the end of the step.
type sorted struct{ failed, lost, open, passed []string }

func (j *Judge) sort(due bool) sorted {
	var s sorted
	for _, c := range j.courses {
		st := c.standing()
		switch n := c.metric.NoData; {
		case st.ruling == bad:
			s.failed = append(s.failed, st.text)
		case c.errors >= giveUp:
			s.lost = append(s.lost, fmt.Sprintf("%s could not be measured %d times in a row: %v", c.metric.Name, c.errors, c.err))
		case c.errors > 0:
			s.open = append(s.open, fmt.Sprintf("%s could not be measured: %v", c.metric.Name, c.err))
		case st.ruling == good:
			s.passed = append(s.passed, st.text)
		case st.ruling == scant && n == compose.NoDataPass:
			s.passed = append(s.passed, st.text+"; that passes by no_data")
		case st.ruling == scant && n == compose.NoDataFail && due:
			s.failed = append(s.failed, st.text+"; that fails by no_data")
		default:
			s.open = append(s.open, st.text)
		}
	}
	return s
}

func (j *Judge) finding(now time.Time) reconcile.Finding {
	lasted := now.Sub(j.begun)
	due := lasted >= j.hold
	s := j.sort(due)
	switch {
	case len(s.failed) > 0:
		return reconcile.Finding{Outcome: reconcile.AnalysisFailed, Reason: list(s.failed)}
	case len(s.lost) > 0:
		return reconcile.Finding{Outcome: reconcile.AnalysisError, Reason: list(s.lost)}
	case due && len(s.open) == 0:
		return reconcile.Finding{Outcome: reconcile.AnalysisPassed, Reason: list(s.passed)}
	case due && lasted >= j.hold+j.spec.Patience:
		return reconcile.Finding{Outcome: reconcile.AnalysisInconclusive, Reason: list(s.open)}
	case len(s.open) > 0:
		return reconcile.Finding{Reason: list(s.open)}
	}
	return reconcile.Finding{Reason: "good so far: " + list(s.passed)}
}
