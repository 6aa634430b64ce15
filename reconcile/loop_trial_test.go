package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// judgedOf is the shop with three replicas, each batch of which is analysed.
func judgedOf(tag string) string {
	return published(tag) + "    deploy: {replicas: 3}\n    x-davit: {monitor: 30s, analysis: {}}\n"
}

// withJudged is withEdge on a host whose analyst comes to these findings, one after the
// other, and on which 1.0 runs.
func withJudged(t *testing.T, findings []reconcile.Finding, f func(t *testing.T, h *host, analyst *scripted)) {
	t.Helper()
	withEdge(t, func(t *testing.T, h *host, _ *enginetest.Edge) {
		h.remembers()
		analyst, adjust := &scripted{findings: findings}, h.adjust
		h.adjust = func(o *reconcile.Options) {
			adjust(o)
			o.Analyst = analyst
		}
		h.stop()
		h.boot()
		h.push("v1.0.0", judgedOf("1.0"))
		h.pass(2 * time.Minute)
		h.expect("what comes for the first time is not judged", h.history(), "#1 deploy v1.0.0 succeeded")
		f(t, h, analyst)
	})
}

func TestEachBatchIsJudgedBesideWhatIsLeft(t *testing.T) {
	withJudged(t, []reconcile.Finding{{Outcome: reconcile.AnalysisPassed}}, func(t *testing.T, h *host, analyst *scripted) {
		h.push("v1.1.0", judgedOf("1.1"))
		h.pass(time.Second)
		h.expect("rollout", h.rollout(), "starting, 1 of 3 replicas, waits for web/4: healthcheck within 2m")
		h.pass(19 * time.Second)
		h.expect("running", h.running(), "web/2 shop:1.0, web/3 shop:1.0, web/4 shop:1.1")
		if got := h.rollout(); !strings.HasPrefix(got, "holding, 1 of 3 replicas, waits for the end of its hold at ") {
			t.Errorf("the status says %q", got)
		}
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/4 shop:1.1, web/5 shop:1.1, web/6 shop:1.1")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		var sizes []int
		for _, c := range analyst.asked {
			sizes = append(sizes, len(c.New), len(c.Stable))
		}
		if want := []int{1, 2, 2, 1, 3, 0}; !slices.Equal(sizes, want) {
			t.Errorf("new and stable were %v, want %v", sizes, want)
		}
		if last := analyst.asked[len(analyst.asked)-1].Analysis.Metrics[0]; last.OverStable != nil || last.Max == nil {
			t.Errorf("with nothing to compare with it asks for %+v", last)
		}
	})
}

func TestTheStatusOfASetThatIsJudgedIsThatOfItsStrategy(t *testing.T) {
	withJudged(t, []reconcile.Finding{{Outcome: reconcile.AnalysisInconclusive, Reason: "no data"}}, func(t *testing.T, h *host, _ *scripted) {
		h.push("v1.1.0", strings.Replace(judgedOf("1.1"), "{monitor", "{strategy: blue-green, monitor", 1))
		h.pass(time.Second)
		h.expect("rollout", h.rollout(), "starting, 1 of 3 replicas, waits for web/4: healthcheck within 2m")
		h.pass(time.Hour)
		h.expect("rollout", h.rollout(), "holding, 3 of 3 replicas, waits for somebody to promote or abort it: no data")
		h.expect("strategy", h.status().Services[0].Rollout.Strategy, "blue-green")
	})
}

func TestABatchThatFailsItsAnalysisGoesBack(t *testing.T) {
	withJudged(t, []reconcile.Finding{{Outcome: reconcile.AnalysisPassed}, {Outcome: reconcile.AnalysisFailed, Reason: "error rate 20 %"}}, func(t *testing.T, h *host, _ *scripted) {
		h.push("v1.1.0", judgedOf("1.1"))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.0, web/3 shop:1.0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("failure", h.release(2).Failure, "error rate 20 %, at 2 of 3 replicas")
	})
}

func TestABatchInDoubtWaitsForSomebody(t *testing.T) {
	doubt := []reconcile.Finding{{Outcome: reconcile.AnalysisInconclusive, Reason: "no data"}, {Outcome: reconcile.AnalysisPassed}}
	for name, c := range map[string]struct {
		says    func(h *host) error
		history string
	}{
		"promoted": {func(h *host) error { return h.loop.Promote(h.t.Context(), "shop", "ann") }, "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded"},
		"aborted":  {func(h *host) error { return h.loop.Abort(h.t.Context(), "shop", "ann") }, "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1"},
	} {
		t.Run(name, func(t *testing.T) {
			withJudged(t, doubt, func(t *testing.T, h *host, _ *scripted) {
				h.push("v1.1.0", judgedOf("1.1"))
				h.pass(time.Hour)
				h.expect("rollout", h.rollout(), "holding, 1 of 3 replicas, waits for somebody to promote or abort it: no data")
				if h.emitted(reconcile.EventUndecided) != 1 {
					t.Errorf("nobody is asked to decide:\n%s", h.story())
				}
				if err := c.says(h); err != nil {
					t.Fatal(err)
				}
				h.pass(10 * time.Minute)
				h.expect("history", h.history(), c.history)
			})
		})
	}
}

func TestAnAgentThatDiesWhileABatchIsJudgedJudgesItAgain(t *testing.T) {
	withJudged(t, []reconcile.Finding{{Outcome: reconcile.AnalysisPassed}}, func(t *testing.T, h *host, analyst *scripted) {
		h.push("v1.1.0", judgedOf("1.1"))
		h.pass(20 * time.Second)
		h.stop()
		h.pass(20 * time.Second)
		h.expect("running", h.running(), "web/2 shop:1.0, web/3 shop:1.0, web/4 shop:1.1")
		h.boot()
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 interrupted\n#3 deploy v1.1.0 succeeded")
		if n := len(analyst.asked); n != 4 {
			t.Errorf("%d analyses were begun, want one for each batch and one more", n)
		}
	})
}

// TestAJudgedUpdateKilledAtAnyMutationConverges: nobody serves less for it.
func TestAJudgedUpdateKilledAtAnyMutationConverges(t *testing.T) {
	judged := func(tag string) string {
		return published(tag) + "    deploy: {replicas: 3}\n    x-davit: {monitor: 5s, analysis: {metrics: [restarts]}}\n"
	}
	story := crashStory{first: judged("1.0"), then: []string{judged("1.1")}, floor: 3, edged: true, judged: true}
	want, mutations := story.run(t, 0, enginetest.Before)
	for n := 1; n <= mutations; n++ {
		for _, moment := range []enginetest.Moment{enginetest.Before, enginetest.After} {
			if got, _ := story.run(t, n, moment); got != want {
				t.Errorf("killed %s mutation %d of %d:\n got %s\nwant %s", moment, n, mutations, got, want)
			}
		}
	}
	t.Logf("%d mutations: %s", mutations, want)
}
