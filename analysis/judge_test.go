package analysis

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
)

var began = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// some is an address of f, for bounds.
func some(f float64) *float64 { return &f }

func errorRate(edit func(*compose.Metric)) compose.Metric {
	m := compose.Metric{Kind: compose.MetricErrorRate, Name: "error_rate", OverStable: some(0.01), MinSamples: 50}
	if edit != nil {
		edit(&m)
	}
	return m
}

func p99(edit func(*compose.Metric)) compose.Metric {
	m := compose.Metric{Kind: compose.MetricP99, Name: "p99", OverStable: some(0.5), MinSamples: 100}
	if edit != nil {
		edit(&m)
	}
	return m
}

func query(edit func(*compose.Metric)) compose.Metric {
	m := compose.Metric{Kind: compose.MetricPrometheus, Name: "checkout", Query: "q", Max: some(0.01), MinSamples: 1}
	if edit != nil {
		edit(&m)
	}
	return m
}

func vital(kind compose.MetricKind, edit func(*compose.Metric)) compose.Metric {
	m := compose.Metric{Kind: kind, Name: kind.String(), MinSamples: 1}
	if kind == compose.MetricRestarts || kind == compose.MetricOOMKills {
		m.Max = some(0)
	} else {
		m.OverStable, m.FailureLimit, m.ConsecutiveFailures = some(0.5), -1, 3
	}
	if edit != nil {
		edit(&m)
	}
	return m
}

// scene tells a judge readings, ten seconds apart, until there is a finding.
type scene struct {
	*testing.T
	judge *Judge
	// next is the next reading. What one edge has counted goes on in the reading after.
	next     Reading
	finding  reconcile.Finding
	readings int
}

func (s *scene) edge() *EdgeCounts { return &s.next.Edges[0] }

// requests adds requests, of which so many are errors, all of this latency, to what the
// edge counted since the reading before.
func requests(side func(*EdgeCounts) *Counts, n, wrong int64, took time.Duration) func(*scene) {
	return func(s *scene) {
		c := side(s.edge())
		c.Requests, c.Errors = c.Requests+n, c.Errors+wrong
		c.Buckets = append([]int64(nil), c.Buckets...)
		at := 0
		for at < len(s.edge().Bounds) && took > s.edge().Bounds[at] {
			at++
		}
		c.Buckets[at] += n
	}
}

func fresh(e *EdgeCounts) *Counts  { return &e.New }
func stable(e *EdgeCounts) *Counts { return &e.Stable }

// both is what a reading in ordinary times adds.
func both(n, wrong, theirs, theirWrong int64) func(*scene) {
	return func(s *scene) {
		requests(fresh, n, wrong, 20*time.Millisecond)(s)
		requests(stable, theirs, theirWrong, 20*time.Millisecond)(s)
	}
}

func answers(v float64) func(*scene) {
	return func(s *scene) { s.next.Answers = map[string]Answer{"checkout": {Value: v}} }
}

func answer(a Answer) func(*scene) {
	return func(s *scene) { s.next.Answers = map[string]Answer{"checkout": a} }
}

func edgeDown(s *scene) { s.next.EdgeErr = errors.New("no edge is running") }

func nothing(*scene) {}

// newEdge is another edge, after a restart.
func newEdge(s *scene) {
	s.next.Edges = []EdgeCounts{counting(s.next.At.Add(-time.Second))}
}

// takeover is a successor, with the edge before as its elder.
func takeover(s *scene) {
	s.next.Edges = append([]EdgeCounts{counting(s.next.At.Add(-time.Second))}, s.next.Edges...)
}

func counting(since time.Time) EdgeCounts {
	var bounds []time.Duration
	for d := time.Millisecond; d < 10*time.Second; d = d * 5 / 4 {
		bounds = append(bounds, d)
	}
	none := func() Counts { return Counts{Buckets: make([]int64, len(bounds)+1)} }
	return EdgeCounts{Since: since, Bounds: bounds, New: none(), Stable: none()}
}

// container is one of a side, the first of it.
func container(side bool, edit func(*Container)) func(*scene) {
	return func(s *scene) {
		id := map[bool]string{true: "new", false: "old"}[side]
		c := Container{New: side, Container: reconcile.Container{ID: id, State: reconcile.Running}}
		if edit != nil {
			edit(&c)
		}
		s.next.Containers = append(s.next.Containers, c)
	}
}

func uses(side bool, cpu time.Duration, memory int64) func(*scene) {
	return func(s *scene) {
		container(side, func(c *Container) { c.Usage = reconcile.Usage{At: s.next.At, CPU: cpu, Memory: memory} })(s)
	}
}

func together(all ...func(*scene)) func(*scene) {
	return func(s *scene) {
		for _, f := range all {
			f(s)
		}
	}
}

func repeat(n int, f func(*scene)) (out []func(*scene)) {
	for range n {
		out = append(out, f)
	}
	return out
}

// play begins with a reading of what was counted before, and goes on with each of acts,
// the last again and again until it is over.
func play(t *testing.T, hold time.Duration, metrics []compose.Metric, acts ...func(*scene)) *scene {
	t.Helper()
	spec := compose.Analysis{Interval: 10 * time.Second, Patience: time.Minute, Metrics: metrics}
	s := &scene{T: t, judge: NewJudge(spec, began, hold), next: Reading{At: began, Edges: []EdgeCounts{counting(began.Add(-time.Hour))}}}
	// What both had counted before, and what an error before would be, is no matter.
	both(5, 5, 1000, 3)(s)
	both(0, 0, 0, 0)(s)
	if len(acts) > 0 {
		acts[0](s)
	}
	for i := 1; ; i++ {
		s.finding, s.readings = s.judge.Read(s.next), i
		if s.finding.Outcome != reconcile.AnalysisRuns || i > 1000 {
			return s
		}
		s.next = Reading{At: s.next.At.Add(10 * time.Second), Edges: append([]EdgeCounts(nil), s.next.Edges...)}
		acts[min(i, len(acts)-1)](s)
	}
}

func TestEachAnalysisComesToWhatItsReadingsProve(t *testing.T) {
	const minute = time.Minute
	tolerant := func(total, row int) func(*compose.Metric) {
		return func(m *compose.Metric) { m.FailureLimit, m.ConsecutiveFailures = total, row }
	}
	noData := func(n compose.NoData) func(*compose.Metric) { return func(m *compose.Metric) { m.NoData = n } }
	one := func(m compose.Metric) []compose.Metric { return []compose.Metric{m} }
	first := func(acts ...func(*scene)) []func(*scene) { return append([]func(*scene){nothing}, acts...) }
	for name, c := range map[string]struct {
		metrics  []compose.Metric
		acts     []func(*scene)
		outcome  reconcile.AnalysisOutcome
		readings int // 0 is any number
		says     string
	}{
		"a release without errors passes once its time is over": {
			one(errorRate(nil)), first(both(100, 0, 1900, 4)), reconcile.AnalysisPassed, 7, "error rate 0 % of 600 requests against 0.21 % of 11400 of the stable release, limit 1.2 %"},
		"one that passes with few requests says what they can hide": {
			one(errorRate(nil)), first(both(10, 0, 190, 0)), reconcile.AnalysisPassed, 7, "limit 1 % (so few can hide up to 4.9 %)"},
		"a fifth of errors fails at once": {
			one(errorRate(nil)), first(both(100, 20, 1900, 6)), reconcile.AnalysisFailed, 2, "error rate 20 % of 100 requests against 0.32 % of 1900 of the stable release, limit 1.3 %"},
		"four percent fail": {
			one(errorRate(nil)), first(both(310, 13, 5890, 18)), reconcile.AnalysisFailed, 2, "error rate 4.2 % of 310 requests against 0.31 % of 5890 of the stable release, limit 1.3 %"},
		"what both suffer is not the new one's fault": {
			one(errorRate(nil)), first(both(100, 30, 1900, 590)), reconcile.AnalysisPassed, 7, ""},
		"an absolute limit holds for what both suffer": {
			one(errorRate(func(m *compose.Metric) { m.Max = some(0.05) })), first(both(100, 30, 1900, 590)), reconcile.AnalysisFailed, 2, "limit 5 %"},
		"one error in fifty is doubt and no failure": {
			one(errorRate(nil)), first(both(50, 1, 950, 0), both(50, 0, 950, 0)), reconcile.AnalysisPassed, 7, "0.33 % of 300"},
		"doubt to the end is for a person": {
			one(errorRate(nil)), first(both(0, 0, 0, 0), both(50, 1, 950, 0), both(0, 0, 950, 0)), reconcile.AnalysisInconclusive, 13, "error rate 2 % of 50 requests against 0 % of"},
		"no request at all is for a person": {
			one(errorRate(nil)), first(both(0, 0, 1900, 0)), reconcile.AnalysisInconclusive, 13, "error_rate: the edge counted no request of the new release"},
		"too few requests are for a person": {
			one(errorRate(nil)), first(both(2, 0, 1900, 0)), reconcile.AnalysisInconclusive, 13, "error rate 0 % of 24 requests against 0 % of 22800 of the stable release, limit 1 %: too few, it takes 50"},
		"too few are waited for": {
			one(errorRate(nil)), first(both(5, 0, 1900, 0)), reconcile.AnalysisPassed, 11, "of 50 requests"},
		"too few of the stable release are for a person": {
			one(errorRate(nil)), first(both(100, 0, 1, 0)), reconcile.AnalysisInconclusive, 13, "the stable release had only 12 to compare with, it takes 50"},
		"missing data pass where the operator says so": {
			one(errorRate(noData(compose.NoDataPass))), first(nothing), reconcile.AnalysisPassed, 7, "no request of the new release; that passes by no_data"},
		"missing data fail where the operator says so": {
			one(errorRate(noData(compose.NoDataFail))), first(nothing), reconcile.AnalysisFailed, 7, "that fails by no_data"},
		"three answers that are errors fail, though the edge then passes the replica over": {
			one(errorRate(nil)), first(both(3, 3, 97, 0), both(0, 0, 100, 0)), reconcile.AnalysisFailed, 2, "error rate 100 % of 3 requests"},
		"two errors before anybody else came prove nothing": {
			one(errorRate(nil)), first(both(2, 2, 98, 0), both(100, 0, 1900, 0)), reconcile.AnalysisPassed, 7, ""},
		"a release that is just at its limit passes": {
			one(errorRate(func(m *compose.Metric) { m.OverStable, m.Max = nil, some(0.02) })),
			append(first(), repeat(400, both(50, 1, 1000, 0))...), reconcile.AnalysisPassed, 7, "error rate 2 % of 300"},
		"a release that all clients leave is for a person": {
			one(errorRate(nil)), first(func(s *scene) { both(20, 0, 1900, 0)(s); fresh(s.edge()).Abandoned += 20 }), reconcile.AnalysisInconclusive, 13, "all clients of the new release, 240, left before they had an answer"},
		"a failure that is tolerated is not the end": {
			one(errorRate(tolerant(1, 0))), first(both(100, 50, 1900, 0), both(100, 0, 1900, 0)), reconcile.AnalysisPassed, 7, "error rate 0 % of 500"},
		"more than are tolerated are": {
			one(errorRate(tolerant(1, 0))), first(both(100, 50, 1900, 0)), reconcile.AnalysisFailed, 3, "(2 measurements failed, 2 in a row)"},
		"failures in a row are, and not those with a good one between": {
			one(errorRate(tolerant(-1, 2))), first(both(100, 50, 1900, 0), both(100, 0, 1900, 0), both(100, 50, 1900, 0), both(100, 0, 1900, 0)), reconcile.AnalysisPassed, 7, ""},
		"an edge that restarts takes nothing with it but its counts": {
			one(errorRate(nil)), first(both(100, 0, 1900, 0), together(newEdge, both(100, 20, 1900, 0))), reconcile.AnalysisFailed, 3, "20 % of 100"},
		"what an elder ends counts beside its successor": {
			one(errorRate(nil)), first(both(100, 0, 1900, 0), together(takeover, func(s *scene) {
				s.next.Edges[1].New.Requests, s.next.Edges[1].New.Errors = s.next.Edges[1].New.Requests+60, s.next.Edges[1].New.Errors+60
				both(40, 0, 1900, 0)(s)
			})), reconcile.AnalysisFailed, 3, "60 % of 100"},
		"p99 twice that of the stable release fails": {
			one(p99(nil)), first(together(requests(fresh, 200, 0, 400*time.Millisecond), requests(stable, 3800, 0, 200*time.Millisecond))), reconcile.AnalysisFailed, 2, "against"},
		"p99 as that of the stable release passes": {
			one(p99(nil)), first(both(100, 0, 1900, 0)), reconcile.AnalysisPassed, 7, "p99"},
		"a few milliseconds more are nobody's concern": {
			one(p99(nil)), first(together(requests(fresh, 200, 0, 5*time.Millisecond), requests(stable, 3800, 0, 2*time.Millisecond))), reconcile.AnalysisPassed, 7, ""},
		"p99 beyond a limit of its own fails": {
			one(p99(func(m *compose.Metric) { m.OverStable, m.Max = nil, some(0.8) })), first(requests(fresh, 200, 0, 2*time.Second)), reconcile.AnalysisFailed, 2, "limit 800ms"},
		"one slow request in a hundred is none too many": {
			one(p99(func(m *compose.Metric) { m.OverStable, m.Max = nil, some(0.8) })), first(together(requests(fresh, 198, 0, 20*time.Millisecond), requests(fresh, 1, 0, 2*time.Second))), reconcile.AnalysisPassed, 7, ""},
		"an edge that does not answer is asked again": {
			one(errorRate(nil)), first(both(100, 0, 1900, 0), edgeDown, edgeDown, edgeDown, both(100, 0, 1900, 0)), reconcile.AnalysisPassed, 7, "of 300"},
		"four times in a row are an error": {
			one(errorRate(nil)), first(both(100, 0, 1900, 0), edgeDown), reconcile.AnalysisError, 6, "error_rate could not be measured 4 times in a row: no edge is running"},
		"an answer within its limit passes": {
			one(query(nil)), []func(*scene){answers(0.004)}, reconcile.AnalysisPassed, 7, "checkout is 0.004, limit 0.01"},
		"an answer beyond it fails": {
			one(query(nil)), []func(*scene){answers(0.2)}, reconcile.AnalysisFailed, 1, "checkout is 0.2, limit 0.01"},
		"an answer below its least fails": {
			one(query(func(m *compose.Metric) { m.Max, m.Min = nil, some(0.99) })), []func(*scene){answers(0.5)}, reconcile.AnalysisFailed, 1, "checkout is 0.5, at least 0.99 is asked for"},
		"an answer that is not a number is for a person": {
			one(query(nil)), []func(*scene){answers(math.NaN())}, reconcile.AnalysisInconclusive, 13, "checkout: the answer is not a number"},
		"an empty answer is for a person": {
			one(query(nil)), []func(*scene){answer(Answer{None: "the query has no result"})}, reconcile.AnalysisInconclusive, 13, "checkout: the query has no result"},
		"an empty answer after good ones is no pass": {
			one(query(nil)), append(repeat(5, answers(0.001)), answer(Answer{None: "the query has no result"})), reconcile.AnalysisInconclusive, 13, "no result"},
		"an infinite answer beyond the limit fails": {
			one(query(nil)), []func(*scene){answers(math.Inf(1))}, reconcile.AnalysisFailed, 1, "+Inf"},
		"an infinite answer within it is no pass": {
			one(query(nil)), []func(*scene){answers(math.Inf(-1))}, reconcile.AnalysisInconclusive, 13, "infinite"},
		"a query that nobody made is an error": {
			one(query(nil)), []func(*scene){nothing}, reconcile.AnalysisError, 4, "checkout could not be measured 4 times in a row"},
		"a server that is down is an error": {
			one(query(nil)), []func(*scene){answer(Answer{Err: errors.New("connection refused")})}, reconcile.AnalysisError, 4, "connection refused"},
		"a failed answer that is tolerated leaves doubt until a good one comes": {
			one(query(tolerant(9, 0))), append(repeat(6, answers(0.001)), answers(0.2), answers(0.001)), reconcile.AnalysisPassed, 8, ""},
		"a container that restarts fails": {
			one(vital(compose.MetricRestarts, nil)), []func(*scene){container(true, nil), container(true, func(c *Container) { c.Restarts = 1 })}, reconcile.AnalysisFailed, 2, "containers of the new release restarted or ended 1 time, limit 0"},
		"one that ended fails": {
			one(vital(compose.MetricRestarts, nil)), []func(*scene){container(true, func(c *Container) { c.State = reconcile.Exited })}, reconcile.AnalysisFailed, 1, "1 time"},
		"one that a person stopped does not": {
			one(vital(compose.MetricRestarts, nil)), []func(*scene){container(true, func(c *Container) { c.State, c.StopByHand = reconcile.Exited, true })}, reconcile.AnalysisPassed, 7, ""},
		"a stable one that restarts does not": {
			one(vital(compose.MetricRestarts, nil)), []func(*scene){together(container(true, nil), container(false, func(c *Container) { c.Restarts = 9 }))}, reconcile.AnalysisPassed, 7, "0 times"},
		"restarts before and after somebody started it add up": {
			one(vital(compose.MetricRestarts, func(m *compose.Metric) { m.Max = some(3) })),
			[]func(*scene){container(true, func(c *Container) { c.Restarts = 2 }), container(true, nil), container(true, func(c *Container) { c.Restarts = 2 })}, reconcile.AnalysisFailed, 3, "4 times, limit 3"},
		"an OOM kill fails": {
			one(vital(compose.MetricOOMKills, nil)), []func(*scene){container(true, func(c *Container) { c.OOMKilled, c.Finished = true, began })}, reconcile.AnalysisFailed, 1, "killed for lack of memory 1 time"},
		"a release without containers is for a person": {
			one(vital(compose.MetricRestarts, nil)), []func(*scene){container(false, nil)}, reconcile.AnalysisInconclusive, 13, "no container of the new release is there"},
		"CPU that is too much three times in a row fails": {
			one(vital(compose.MetricCPU, nil)), busy(0.2, 0.9), reconcile.AnalysisFailed, 4, "CPU 0.90 cores against 0.20 cores of the stable release, limit 0.30 cores (3 measurements failed, 3 in a row)"},
		"CPU as that of the stable release passes": {
			one(vital(compose.MetricCPU, nil)), busy(0.2, 0.21), reconcile.AnalysisPassed, 7, ""},
		"idle containers differ for no reason": {
			one(vital(compose.MetricCPU, nil)), busy(0.001, 0.01), reconcile.AnalysisPassed, 7, ""},
		"memory beyond its limit fails": {
			one(vital(compose.MetricMemory, func(m *compose.Metric) { m.OverStable, m.Max = nil, some(400<<20) })), []func(*scene){uses(true, 1, 500<<20)}, reconcile.AnalysisFailed, 3, "memory 500.0 MiB, limit 400.0 MiB"},
		"memory without a stable release to compare with is for a person": {
			one(vital(compose.MetricMemory, nil)), []func(*scene){uses(true, 1, 500<<20)}, reconcile.AnalysisInconclusive, 13, "nothing of the stable release runs"},
		"one that fails decides, whatever others say": {
			[]compose.Metric{errorRate(nil), query(nil)}, []func(*scene){together(answers(1), edgeDown)}, reconcile.AnalysisFailed, 1, "checkout is 1"},
		"all have to pass": {
			[]compose.Metric{errorRate(nil), query(nil)}, []func(*scene){answers(0), together(answers(0), both(100, 0, 1900, 0))}, reconcile.AnalysisPassed, 7, "error rate 0 % of 600 requests against 0 % of 11400 of the stable release, limit 1 %; checkout is 0, limit 0.01"},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, minute, c.metrics, c.acts...)
			if s.finding.Outcome != c.outcome || c.readings > 0 && s.readings != c.readings || !strings.Contains(s.finding.Reason, c.says) {
				t.Errorf("%s after %d readings: %s\nwant %s after %d: %s", s.finding.Outcome, s.readings, s.finding.Reason, c.outcome, c.readings, c.says)
			}
		})
	}
}

// busy are containers of both sides that use so many cores.
func busy(theirs, ours float64) (out []func(*scene)) {
	for i := range 100 {
		spent := func(cores float64) time.Duration { return time.Duration(cores * float64(i) * float64(10*time.Second)) }
		out = append(out, together(uses(true, spent(ours), 1), uses(false, spent(theirs), 1)))
	}
	return out
}

// TestNoSequenceOfReadingsPassesABadRelease: whatever happens to edges meanwhile, a
// release with a fifth of errors never passes, and one with none never fails.
func TestNoSequenceOfReadingsPassesABadRelease(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		share := []float64{0, 0.2}[random.IntN(2)]
		var acts []func(*scene)
		for range 30 {
			n := random.Int64N(200)
			wrong := int64(0)
			for range n {
				if random.Float64() < share {
					wrong++
				}
			}
			act := both(n, wrong, 10*n+random.Int64N(100), 0)
			switch random.IntN(8) {
			case 0:
				act = edgeDown
			case 1:
				act = together(newEdge, act)
			case 2:
				act = together(takeover, act)
			}
			acts = append(acts, act)
		}
		s := play(t, 2*time.Minute, []compose.Metric{errorRate(nil)}, append([]func(*scene){nothing}, acts...)...)
		if share > 0 && s.finding.Outcome == reconcile.AnalysisPassed || share == 0 && s.finding.Outcome == reconcile.AnalysisFailed {
			t.Errorf("seed %d, %g of errors: %s: %s", seed, share, s.finding.Outcome, s.finding.Reason)
		}
	}
}

// TestAReleaseThatKeepsItsLimitSeldomFails: by chance alone, about once in a thousand
// looks.
func TestAReleaseThatKeepsItsLimitSeldomFails(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	failed := 0
	const rollouts = 400
	for range rollouts {
		var acts []func(*scene)
		for range 20 {
			wrong := int64(0)
			for range 60 {
				if random.Float64() < 0.01 {
					wrong++
				}
			}
			acts = append(acts, both(60, wrong, 1000, 10))
		}
		s := play(t, 2*time.Minute, []compose.Metric{errorRate(func(m *compose.Metric) { m.OverStable, m.Max = nil, some(0.01) })}, append([]func(*scene){nothing}, acts...)...)
		if s.finding.Outcome == reconcile.AnalysisFailed {
			failed++
		}
	}
	if failed > rollouts/20 {
		t.Errorf("%d of %d failed that were just as good as they had to be", failed, rollouts)
	}
}

// TestWhatIsReadTwiceCountsOnce: sums over any way of cutting time into readings are the
// same.
func TestWhatIsReadTwiceCountsOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var g growth
		e := counting(began.Add(-time.Hour))
		e.New.Requests, e.New.Buckets[2] = 10, 10
		g.add(began, []EdgeCounts{e})
		var want, got int64
		for i := range 50 {
			n := random.Int64N(10)
			want += n
			e.New.Requests += n
			e.New.Buckets = append([]int64(nil), e.New.Buckets...)
			e.New.Buckets[2] += n
			for range random.IntN(3) {
				fresh, _ := g.add(began.Add(time.Duration(i)*time.Second), []EdgeCounts{e})
				got += fresh.requests
			}
		}
		fresh, _ := g.add(began.Add(time.Hour), []EdgeCounts{e})
		if got += fresh.requests; got != want || fresh.latency.total() != fresh.requests {
			t.Fatalf("%d requests, not %d", got, want)
		}
	}
}

// TestAnElderOfLongAgoBringsNothingNew: an edge that is first seen in the middle may have
// counted at any time.
func TestAnElderOfLongAgoBringsNothingNew(t *testing.T) {
	var g growth
	g.add(began, []EdgeCounts{counting(began.Add(-time.Minute))})
	elder := counting(began.Add(-time.Hour))
	elder.New.Requests, elder.New.Errors = 1000, 1000
	if fresh, _ := g.add(began.Add(10*time.Second), []EdgeCounts{counting(began.Add(-time.Minute)), elder}); fresh.requests != 0 {
		t.Errorf("%d requests of an elder that nobody saw before", fresh.requests)
	}
	elder.New.Requests += 3
	if fresh, _ := g.add(began.Add(20*time.Second), []EdgeCounts{elder}); fresh.requests != 3 {
		t.Errorf("%d requests", fresh.requests)
	}
}
