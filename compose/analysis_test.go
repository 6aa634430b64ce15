package compose

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// decodeAnalysis reads an analysis block as a compose file has it.
func decodeAnalysis(t *testing.T, text string) (a *Analysis, errs []keyError) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	errs = analysis(&a)(v)
	return a, errs
}

func number64(f float64) *float64 { return &f }

func TestAnAnalysisThatSaysNothingLooksAtErrorsAndEnds(t *testing.T) {
	for _, text := range []string{"", "{}", "{metrics: [error_rate, restarts, oom_kills]}"} {
		a, errs := decodeAnalysis(t, text)
		if len(errs) > 0 {
			t.Fatalf("%q: %v", text, errs)
		}
		want := &Analysis{Interval: 10 * time.Second, Patience: 10 * time.Minute, Metrics: []Metric{
			{Kind: MetricErrorRate, Name: "error_rate", OverStable: number64(0.01), MinSamples: 50},
			{Kind: MetricRestarts, Name: "restarts", Max: number64(0), MinSamples: 1},
			{Kind: MetricOOMKills, Name: "oom_kills", Max: number64(0), MinSamples: 1},
		}}
		if !reflect.DeepEqual(a, want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", text, a, want)
		}
	}
}

func TestWhatAnAnalysisCanSay(t *testing.T) {
	a, errs := decodeAnalysis(t, `
interval: 30s
delay: 5
patience: 1h
metrics:
  - error_rate: {max: 5%, over_stable: 0.5%, min_samples: 300, no_data: fail, failure_limit: 2}
  - p99: {max: 800ms}
  - p99: {name: beside, over_stable: 25%, consecutive_failures: 3}
  - restarts: {max: 1}
  - cpu: {max: 1.5}
  - memory: {max: 400MiB, over_stable: 30%, failure_limit: 1}
  - prometheus: {name: checkout, server: main, query: ' sum(up{release=~"{{release}}"}) ', max: 0.01, min: -1, no_data: pass}
`)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want := &Analysis{Interval: 30 * time.Second, Delay: 5 * time.Second, Patience: time.Hour, Metrics: []Metric{
		{Kind: MetricErrorRate, Name: "error_rate", Max: number64(0.05), OverStable: number64(0.005), MinSamples: 300, NoData: NoDataFail, FailureLimit: 2},
		{Kind: MetricP99, Name: "p99", Max: number64(0.8), MinSamples: 100},
		{Kind: MetricP99, Name: "beside", OverStable: number64(0.25), MinSamples: 100, FailureLimit: -1, ConsecutiveFailures: 3},
		{Kind: MetricRestarts, Name: "restarts", Max: number64(1), MinSamples: 1},
		{Kind: MetricCPU, Name: "cpu", Max: number64(1.5), MinSamples: 1, FailureLimit: -1, ConsecutiveFailures: 3},
		{Kind: MetricMemory, Name: "memory", Max: number64(400 << 20), OverStable: number64(0.3), MinSamples: 1, FailureLimit: 1, ConsecutiveFailures: 3},
		{Kind: MetricPrometheus, Name: "checkout", Server: "main", Query: `sum(up{release=~"{{release}}"})`, Max: number64(0.01), Min: number64(-1), MinSamples: 1, NoData: NoDataPass},
	}}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
	asked := a.Metrics[6].Asked(func(word string) string { return "<" + word + ">" })
	if asked != `sum(up{release=~"<release>"})` {
		t.Errorf("asked %s", asked)
	}
}

func TestMistakesInAnAnalysis(t *testing.T) {
	for text, want := range map[string]string{
		"metrics":                                                            ": must be a mapping",
		"{metric: []}":                                                       "metric: unknown key: there are delay, interval, metrics, patience",
		"{interval: 100ms}":                                                  "interval: 100ms is out of range",
		"{interval: 2h}":                                                     "interval: 2h0m0s is out of range: at most 1h0m0s",
		"{metrics: []}":                                                      "metrics: must be a list of 1 to 32 metrics",
		"{metrics: {p99: {max: 1s}}}":                                        "metrics: must be a list of 1 to 32 metrics",
		"{metrics: [p98]}":                                                   `metrics[0]: unknown metric "p98": there are error_rate, p99, restarts`,
		"{metrics: [{error_rate: {}, p99: {}}]}":                             "metrics[0]: must be one metric such as",
		"{metrics: [1]}":                                                     "metrics[0]: must be one metric such as",
		"{metrics: [p99, p99]}":                                              "metrics[1]: p99 is there twice: give each a name of its own",
		"{metrics: [{error_rate: {max: 0.01}}]}":                             `metrics[0].error_rate.max: must be a percentage such as 1% or 0.5%, at most 100%, not "0.01"`,
		"{metrics: [{error_rate: {max: 101%}}]}":                             "metrics[0].error_rate.max: must be a percentage",
		"{metrics: [{error_rate: {max: -1%}}]}":                              "metrics[0].error_rate.max: must be a percentage",
		"{metrics: [{error_rate: {max: NaN%}}]}":                             "metrics[0].error_rate.max: must be a percentage",
		"{metrics: [{error_rate: {min: 1%}}]}":                               "metrics[0].error_rate.min: unknown key",
		"{metrics: [{error_rate: {min_samples: 0}}]}":                        "metrics[0].error_rate.min_samples: must be a number from 1",
		"{metrics: [{error_rate: {no_data: ok}}]}":                           "metrics[0].error_rate.no_data: must be one of hold, pass, fail",
		"{metrics: [{error_rate: {failure_limit: -1}}]}":                     "metrics[0].error_rate.failure_limit: must be a number from 0",
		"{metrics: [{p99: {max: 0}}]}":                                       "metrics[0].p99.max: 0s is out of range",
		"{metrics: [{restarts: {max: -1}}]}":                                 "metrics[0].restarts.max: must be a number of at least 0",
		"{metrics: [{restarts: {failure_limit: 1}}]}":                        "metrics[0].restarts.failure_limit: unknown key",
		"{metrics: [cpu]}":                                                   "metrics[0].cpu: needs max or over_stable",
		"{metrics: [{memory: {max: lots}}]}":                                 "metrics[0].memory.max: must be a size such as 400MiB",
		"{metrics: [{memory: {max: 0}}]}":                                    "metrics[0].memory.max: must be a size such as 400MiB",
		"{metrics: [prometheus]}":                                            "metrics[0].prometheus: needs a query",
		"{metrics: [{prometheus: {query: up}}]}":                             "metrics[0].prometheus: needs max or min",
		"{metrics: [{prometheus: {query: up, min: 2, max: 1}}]}":             "metrics[0].prometheus: min is more than max",
		"{metrics: [{prometheus: {query: up, max: .inf}}]}":                  "metrics[0].prometheus.max: must be a number",
		"{metrics: [{prometheus: {query: '', max: 1}}]}":                     "metrics[0].prometheus.query: must be a query",
		"{metrics: [{prometheus: {query: 'a{{b}}', max: 1}}]}":               "metrics[0].prometheus.query: unknown placeholder {{b}}: there are {{stack}}, {{service}}, {{release}}",
		"{metrics: [{prometheus: {query: a, max: 1, server: 'http://x'}}]}":  "metrics[0].prometheus.server: must be the name of a server under prometheus in the host's configuration",
		"{metrics: [{prometheus: {query: a, max: 1, address: 'http://x'}}]}": "metrics[0].prometheus.address: unknown key",
	} {
		_, errs := decodeAnalysis(t, text)
		got := ""
		for _, e := range errs {
			got += e.key + ": " + e.err.Error() + "\n"
		}
		if len(errs) != 1 || !strings.Contains(got, want) {
			t.Errorf("%s:\ngot  %swant %s", text, got, want)
		}
	}
}

func TestAnalysisOfBatches(t *testing.T) {
	s := settingsOf(t, `ports: ["80:80"], x-davit: {analysis: {interval: 5s}}`)
	if s.Analysis == nil || s.Analysis.Interval != 5*time.Second || len(s.Analysis.Metrics) != 3 {
		t.Errorf("got %+v", s.Analysis)
	}
	s = settingsOf(t, `x-davit: {analysis: {metrics: [restarts]}}`) // which takes no port
	if s.Analysis == nil || len(s.Analysis.Metrics) != 1 {
		t.Errorf("got %+v", s.Analysis)
	}
	for name, c := range map[string]struct{ block, want string }{
		"of a canary": {"ports: [80], x-davit: {strategy: canary, canary: {steps: [{weight: 5}]}, analysis: {}}", "x-davit.analysis: judges batches: that of a canary is canary.analysis"},
		"no port":     {"x-davit: {analysis: {}}", "x-davit.analysis: error_rate is counted at published ports, and this service publishes none: name other metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, one("services:\n  a:\n    {image: a, "+c.block+"}\n"))
			_, err := Load(t.Context(), find(t, root), options(root))
			if err == nil || !strings.Contains(err.Error(), "compose.yaml:3: services.a."+c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWithNothingToCompareWithErrorsAreHeldAgainstNone(t *testing.T) {
	point, five, half := 0.01, 0.05, 0.5
	a := Analysis{Metrics: []Metric{
		{Kind: MetricErrorRate, Name: "compared", OverStable: &point},
		{Kind: MetricErrorRate, Name: "both", OverStable: &point, Max: &five},
		{Kind: MetricErrorRate, Name: "bounded", Max: &five},
		{Kind: MetricP99, Name: "slower", OverStable: &half},
		{Kind: MetricP99, Name: "slow", OverStable: &half, Max: &five},
		{Kind: MetricPrometheus, Name: "asked", Min: &five},
	}}
	got := map[string]float64{}
	for _, m := range a.Alone().Metrics {
		if m.OverStable != nil {
			t.Errorf("%s is compared", m.Name)
		}
		if got[m.Name] = -1; m.Max != nil {
			got[m.Name] = *m.Max
		}
	}
	if want := map[string]float64{"compared": point, "both": point, "bounded": five, "slow": five, "asked": -1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if a.Metrics[0].OverStable == nil {
		t.Error("the analysis itself has changed")
	}
}
