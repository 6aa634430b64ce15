package analysis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// shop is a service of which two containers run, on the in-memory engine, and what the
// edge and Prometheus say of it.
type shop struct {
	engine   *enginetest.Engine
	old, new string
	mu       sync.Mutex
	asked    []string
	releases []int64
	// down is how often the edge is still silent, bad the errors of 100 requests that it
	// counts with every question.
	down  int
	bad   int64
	edge  EdgeCounts
	reply Answer
}

func newShop(t *testing.T, bad enginetest.Behaviour) *shop {
	s := &shop{engine: enginetest.New(enginetest.Options{}), edge: counting(time.Now()), reply: Answer{Value: 1}}
	s.old = s.container(t, "shop:1", 6, enginetest.Behaviour{})
	s.new = s.container(t, "shop:2", 7, bad)
	return s
}

func (s *shop) container(t *testing.T, image string, release int64, b enginetest.Behaviour) string {
	t.Helper()
	config := types.ServiceConfig{Name: "web"}
	web := compose.Service{Name: "web", Config: config, Hash: "v1:" + image, Replicas: 1}
	p := &compose.Project{Name: "shop", Model: &types.Project{Name: "shop", Services: types.Services{"web": config}}, Services: []compose.Service{web}}
	name := fmt.Sprintf("shop-web-%d", release)
	id, err := s.engine.Create(t.Context(), reconcile.CreateRequest{
		Project: p, Service: web, Image: s.engine.AddImage(image, b), Number: int(release), Restart: "no", Release: release,
		Create: reconcile.Create{Name: name, Final: name},
	})
	if err == nil {
		err = s.engine.Start(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (s *shop) Counts(_ context.Context, stack, service string, releases []int64) ([]EdgeCounts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down > 0 {
		s.down--
		return nil, errors.New("no edge is running")
	}
	s.releases = releases
	if stack != "shop" || service != "web" {
		return nil, errors.New("who is that?")
	}
	s.edge.New.Requests, s.edge.New.Errors = s.edge.New.Requests+100, s.edge.New.Errors+s.bad
	s.edge.Stable.Requests += 1900
	return []EdgeCounts{s.edge}, nil
}

func (s *shop) Ask(_ context.Context, server, query string) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, server+": "+query)
	return s.reply
}

// analyse returns the first finding that is one, after how long there was it, and how often
// something was told.
func (s *shop) analyse(t *testing.T, a compose.Analysis) (f reconcile.Finding, took time.Duration, told int) {
	t.Helper()
	began := time.Now()
	s.follow(t, a, func(now reconcile.Finding) bool {
		f, took, told = now, time.Since(began), told+1
		return f.Outcome != reconcile.AnalysisRuns
	})
	return f, took, told
}

// follow analyses until enough says so of a finding, or the analysis ends by itself.
func (s *shop) follow(t *testing.T, a compose.Analysis, enough func(reconcile.Finding) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	analyst := Analyst{Edge: s, Engine: s.engine, Queries: s}
	err := analyst.Analyse(ctx, reconcile.Comparison{
		Stack: "shop", Service: "web", New: []string{s.new}, Stable: []string{s.old}, Analysis: a, Hold: time.Minute,
	}, func(f reconcile.Finding) {
		if enough(f) {
			cancel()
		}
	})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

func spec(metrics ...compose.Metric) compose.Analysis {
	return compose.Analysis{Interval: 10 * time.Second, Patience: time.Minute, Metrics: metrics}
}

func everything() compose.Analysis {
	return spec(append(compose.DefaultMetrics(), vital(compose.MetricCPU, nil), vital(compose.MetricMemory, nil), query(func(m *compose.Metric) {
		m.Server, m.Query, m.Max = "main", `errors{stack="{{stack}}",service="{{ service }}",release=~"{{release}}"}`, some(2)
	}))...)
}

func TestAGoodReleasePassesOnceItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, enginetest.Behaviour{})
		f, took, told := s.analyse(t, everything())
		if f.Outcome != reconcile.AnalysisPassed || took != time.Minute || told != 7 {
			t.Errorf("%s after %s, %d times: %s", f.Outcome, took, told, f.Reason)
		}
		if want := `main: errors{stack="shop",service="web",release=~"7"}`; s.asked[0] != want || len(s.asked) != 7 {
			t.Errorf("asked %q", s.asked)
		}
		if !slices.Equal(s.releases, []int64{7}) {
			t.Errorf("what is new are %v", s.releases)
		}
	})
}

func TestABadReleaseFailsWithTheFirstReadingThatShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, enginetest.Behaviour{})
		s.bad = 20
		f, took, _ := s.analyse(t, everything())
		if f.Outcome != reconcile.AnalysisFailed || took != 10*time.Second || !strings.HasPrefix(f.Reason, "error rate 20 % of 100 requests") {
			t.Errorf("%s after %s: %s", f.Outcome, took, f.Reason)
		}
	})
}

func TestContainersThatEndFailTheRelease(t *testing.T) {
	for name, c := range map[string]struct {
		does enginetest.Behaviour
		says string
	}{
		"it ends":                   {enginetest.Behaviour{Exits: true, ExitAfter: 25 * time.Second, ExitCode: 1}, "restarted or ended 1 time"},
		"it is killed":              {enginetest.Behaviour{Exits: true, ExitAfter: 25 * time.Second, OOM: true}, "killed for lack of memory 1 time"},
		"it keeps a processor busy": {enginetest.Behaviour{Cores: 1}, "CPU 1.00 cores against 0.00 cores"},
		"it is large":               {enginetest.Behaviour{Memory: 1 << 30}, "memory 1025.0 MiB against 1.0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _, _ := newShop(t, c.does).analyse(t, everything())
				if f.Outcome != reconcile.AnalysisFailed || !strings.Contains(f.Reason, c.says) {
					t.Errorf("%s: %s", f.Outcome, f.Reason)
				}
			})
		})
	}
}

func TestAnEdgeThatIsAwayIsAskedAgainAndGivenUpInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, enginetest.Behaviour{})
		a := spec(errorRate(nil))
		a.Interval = time.Second
		s.down = 3
		if f, took, _ := s.analyse(t, a); f.Outcome != reconcile.AnalysisPassed || took != time.Minute {
			t.Errorf("%s after %s: %s", f.Outcome, took, f.Reason)
		}
		s.down = 9
		if f, took, _ := s.analyse(t, a); f.Outcome != reconcile.AnalysisError || took != 30*time.Second || s.down != 5 {
			t.Errorf("%s after %s: %s", f.Outcome, took, f.Reason)
		}
	})
}

func TestAnEngineThatIsAwayIsNoFaultOfTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, enginetest.Behaviour{})
		s.engine.StopDaemon()
		f, _, _ := s.analyse(t, everything())
		if f.Outcome != reconcile.AnalysisError || !strings.Contains(f.Reason, reconcile.ErrEngineUnavailable.Error()) {
			t.Errorf("%s: %s", f.Outcome, f.Reason)
		}
	})
}

func TestAnAnalysisEndsWhenItIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, enginetest.Behaviour{})
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		analyst := Analyst{Edge: s, Engine: s.engine, Queries: s}
		err := analyst.Analyse(ctx, reconcile.Comparison{Stack: "shop", Service: "web", New: []string{s.new}, Analysis: everything(), Hold: time.Minute}, func(f reconcile.Finding) {
			if f.Outcome != reconcile.AnalysisRuns {
				t.Errorf("%s: %s", f.Outcome, f.Reason)
			}
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestWithoutAnEdgeNoRequestCanBeJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, enginetest.Behaviour{})
		ctx, cancel := context.WithCancel(t.Context())
		analyst := Analyst{Engine: s.engine, Queries: s}
		var f reconcile.Finding
		err := analyst.Analyse(ctx, reconcile.Comparison{Stack: "shop", Service: "web", New: []string{s.new}, Analysis: spec(errorRate(nil))}, func(now reconcile.Finding) {
			if f = now; f.Outcome != reconcile.AnalysisRuns {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || f.Outcome != reconcile.AnalysisError || !strings.Contains(f.Reason, "there is no edge that counts requests") {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

// The edge counts on while Prometheus is away, and after everything was good.
func TestAReleaseThatTurnsBadFailsWhateverWasFoundBefore(t *testing.T) {
	for name, c := range map[string]struct {
		first reconcile.AnalysisOutcome
		reply Answer
	}{
		"a server does not answer": {reconcile.AnalysisError, Answer{Err: errors.New("connection refused")}},
		"it has passed":            {reconcile.AnalysisPassed, Answer{Value: 1}},
		"a query has no result":    {reconcile.AnalysisInconclusive, Answer{None: "no data"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, enginetest.Behaviour{})
				s.reply = c.reply
				var found []reconcile.AnalysisOutcome
				var turned time.Time
				s.follow(t, everything(), func(f reconcile.Finding) bool {
					if f.Outcome != reconcile.AnalysisRuns {
						found = append(found, f.Outcome)
					}
					if turned.IsZero() && len(found) > 0 {
						s.bad, turned = 50, time.Now()
					}
					return len(found) > 9
				})
				if last := found[len(found)-1]; found[0] != c.first || last != reconcile.AnalysisFailed || time.Since(turned) > time.Minute {
					t.Errorf("found %v, the last %s after it turned bad", found, time.Since(turned))
				}
			})
		})
	}
}
