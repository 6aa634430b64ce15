package reconcile_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// scripted is an analyst that comes to what its step's turn says, and, every half hour
// after, to what is later.
type scripted struct {
	mu       sync.Mutex
	findings []reconcile.Finding
	later    []reconcile.Finding
	asked    []reconcile.Comparison
}

func (s *scripted) Analyse(ctx context.Context, c reconcile.Comparison, tell func(reconcile.Finding)) error {
	s.mu.Lock()
	s.asked = append(s.asked, c)
	f := s.findings[min(len(s.asked), len(s.findings))-1]
	s.mu.Unlock()
	tell(reconcile.Finding{Reason: "12 of 50 requests"})
	wait := c.Hold + 10*time.Second
	if f.Outcome == reconcile.AnalysisFailed {
		wait = c.Hold / 2
	}
	for _, f := range append([]reconcile.Finding{f}, s.later...) {
		select {
		case <-time.After(wait):
			tell(f)
		case <-ctx.Done():
			return ctx.Err()
		}
		if f.Outcome == reconcile.AnalysisFailed {
			return nil
		}
		wait = 30 * time.Minute
	}
	<-ctx.Done()
	return ctx.Err()
}

// analysedOf is a canary that is analysed.
func analysedOf(tag string) string {
	return strings.Replace(canaryOf(tag), "hold: 2m}]", "hold: 2m}], analysis: {}", 1)
}

func TestAnAnalysisDecidesBetweenSteps(t *testing.T) {
	pass := reconcile.Finding{Outcome: reconcile.AnalysisPassed}
	for name, c := range map[string]struct {
		findings []reconcile.Finding
		running  string
		rollout  string
		asked    int
	}{
		"passed":       {[]reconcile.Finding{pass}, "web/2 shop:1.1", "", 0},
		"failed":       {[]reconcile.Finding{pass, {Outcome: reconcile.AnalysisFailed, Reason: "error rate 20 %"}}, "web/1 shop:1.0", "", 0},
		"inconclusive": {[]reconcile.Finding{{Outcome: reconcile.AnalysisInconclusive, Reason: "no data"}}, "web/1 shop:1.0, web/2 shop:1.1", "canary step 1 of 3, holding, 5 %, waits for somebody to promote or abort it: no data", 1},
		"error":        {[]reconcile.Finding{{Outcome: reconcile.AnalysisError, Reason: "no answer"}}, "web/1 shop:1.0, web/2 shop:1.1", "canary step 1 of 3, holding, 5 %, waits for somebody to promote or abort it: no answer", 1},
	} {
		t.Run(name, func(t *testing.T) {
			withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				stopsAfterReturn(h, edge)
				analyst, adjust := &scripted{findings: c.findings}, h.adjust
				h.adjust = func(o *reconcile.Options) {
					adjust(o)
					o.Analyst = analyst
				}
				h.stop()
				h.boot()
				h.push("v1.1.0", analysedOf("1.1"))
				h.pass(30 * time.Second)
				if got := h.rollout(); !strings.HasSuffix(got, "; so far: 12 of 50 requests") {
					t.Errorf("in the middle of its hold the status says %q", got)
				}
				h.pass(35 * time.Second)
				if name != "failed" && h.rollout() != "canary step 1 of 3, holding, 5 %, waits for its analysis: 12 of 50 requests" {
					t.Errorf("the status says %q", h.rollout())
				}
				h.pass(3 * time.Hour)
				h.expect("running", h.running(), c.running)
				h.expect("rollout", h.rollout(), c.rollout)
				if asked := h.emitted(reconcile.EventUndecided); asked != c.asked {
					t.Errorf("somebody was asked to decide %d times, want %d", asked, c.asked)
				}
				analyst.mu.Lock()
				defer analyst.mu.Unlock()
				if a := analyst.asked[0]; len(a.New) != 1 || len(a.Stable) != 1 || a.Hold != time.Minute || len(a.Analysis.Metrics) == 0 {
					t.Errorf("asked for %+v", a)
				}
			})
		})
	}
}

// What was good, or could not be measured, may turn bad for as long as it has traffic.
func TestACanaryThatTurnsBadLaterLosesItsWeightWhateverWasFoundBefore(t *testing.T) {
	for name, c := range map[string]struct {
		first, then reconcile.Finding
	}{
		"promotion is manual":      {reconcile.Finding{Outcome: reconcile.AnalysisPassed}, reconcile.Finding{Outcome: reconcile.AnalysisPassed}},
		"a source did not answer":  {reconcile.Finding{Outcome: reconcile.AnalysisError, Reason: "no answer"}, reconcile.Finding{Outcome: reconcile.AnalysisPassed}},
		"too little was there":     {reconcile.Finding{Outcome: reconcile.AnalysisInconclusive, Reason: "no data"}, reconcile.Finding{Outcome: reconcile.AnalysisRuns}},
		"there is doubt after all": {reconcile.Finding{Outcome: reconcile.AnalysisPassed}, reconcile.Finding{Outcome: reconcile.AnalysisInconclusive}},
	} {
		t.Run(name, func(t *testing.T) {
			withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
				stopsAfterReturn(h, edge)
				adjust := h.adjust
				h.adjust = func(o *reconcile.Options) {
					adjust(o)
					o.Analyst = &scripted{findings: []reconcile.Finding{c.first}, later: []reconcile.Finding{c.then, {Outcome: reconcile.AnalysisFailed, Reason: "error rate 50 %"}}}
				}
				h.stop()
				h.boot()
				h.push("v1.1.0", strings.Replace(analysedOf("1.1"), "analysis: {}", "analysis: {}, promotion: manual", 1))
				h.pass(50 * time.Minute)
				if shared(h, edge) == "" {
					t.Fatalf("it has no weight any more: %s", h.history())
				}
				h.pass(20 * time.Minute)
				returned(h, edge, "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
			})
		})
	}
}
