package compose

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Analysis is how a new release is judged beside the one that it replaces, while both
// get traffic.
type Analysis struct {
	// Interval is the time between two readings. Default 10 s.
	Interval time.Duration
	// Delay is how long after its step began the first reading is, for what a container
	// does only while it warms up. Default 0.
	Delay time.Duration
	// Patience is how much longer than its step is held an analysis goes on where data are
	// missing or leave doubt, before it is inconclusive. Default 10 minutes.
	Patience time.Duration
	// Metrics are never empty: where nothing is said they are DefaultMetrics.
	Metrics []Metric
}

// Metric is one thing that is measured, and what is asked of it.
type Metric struct {
	Kind MetricKind
	// Name tells it from the others of its analysis: its kind's, where nothing is said.
	Name string
	// Max and Min bound what is measured of the new release; nil is no bound. An error
	// rate is a share of 1, a latency is in seconds, CPU in cores, memory in bytes. Only a
	// query has Min.
	Max, Min *float64
	// OverStable is how much worse than the stable release the new one may be, nil for
	// any: for an error rate a share that is added to the stable one's (0.01 is one
	// percentage point), for anything else a part of it (0.5 is half as much again).
	OverStable *float64
	// Server is the Prometheus server, as the host's configuration names it, "" for the
	// only one; Query is what it is asked. Of a query only.
	Server, Query string
	// MinSamples is how much a pass takes: requests, or readings of what is no count of
	// requests. Defaults are those of MetricKind.samples.
	MinSamples int
	// NoData is what becomes of the metric if there is less when its step's time is over.
	NoData NoData
	// FailureLimit is how many failed measurements are tolerated in all, and
	// ConsecutiveFailures at how many in a row the metric fails; -1 and 0 are any number.
	FailureLimit, ConsecutiveFailures int
}

// MetricKind is where a metric comes from.
type MetricKind int

const (
	// MetricErrorRate is the share of requests that ended in an error, by the edge.
	MetricErrorRate MetricKind = iota
	// MetricP99 is the time that 99 of 100 requests take at most, by the edge.
	MetricP99
	// MetricRestarts counts how often containers restarted or ended.
	MetricRestarts
	// MetricOOMKills counts how often one was killed for lack of memory.
	MetricOOMKills
	// MetricCPU is what the busiest container uses, in cores.
	MetricCPU
	// MetricMemory is what the largest container uses, without the page cache that could be
	// dropped.
	MetricMemory
	// MetricPrometheus is the answer to a query.
	MetricPrometheus
)

func (k MetricKind) String() string {
	return [...]string{"error_rate", "p99", "restarts", "oom_kills", "cpu", "memory", "prometheus"}[k]
}

// samples is the default of Metric.MinSamples. Fewer than a hundred requests have no
// hundredth part.
func (k MetricKind) samples() int {
	switch k {
	case MetricErrorRate:
		return 50
	case MetricP99:
		return 100
	}
	return 1
}

// NoData is what becomes of a metric that has too few samples.
type NoData int

const (
	// NoDataHold goes on measuring for as long as Analysis.Patience, and is then
	// inconclusive.
	NoDataHold NoData = iota
	NoDataPass
	NoDataFail
)

func (n NoData) String() string { return [...]string{"hold", "pass", "fail"}[n] }

// DefaultMetrics are those of an analysis that names none: errors, at most one
// percentage point more than the stable release has, and no container that restarts or
// is killed.
func DefaultMetrics() []Metric {
	var out []Metric
	for _, kind := range []MetricKind{MetricErrorRate, MetricRestarts, MetricOOMKills} {
		m := newMetric(kind)
		m.settle(nil)
		out = append(out, m)
	}
	return out
}

// newMetric is a metric of which nothing was said.
func newMetric(kind MetricKind) Metric {
	m := Metric{Kind: kind, Name: kind.String(), MinSamples: kind.samples()}
	if kind == MetricCPU || kind == MetricMemory {
		// One peak is no growth.
		m.FailureLimit, m.ConsecutiveFailures = -1, 3
	}
	return m
}

// settle fills in what follows from what was said.
func (m *Metric) settle(said map[string]any) {
	_, total := said["failure_limit"]
	if _, row := said["consecutive_failures"]; row && !total {
		m.FailureLimit = -1
	}
	if m.Max != nil || m.Min != nil || m.OverStable != nil {
		return
	}
	point, half, none := 0.01, 0.5, 0.0
	switch m.Kind {
	case MetricErrorRate:
		m.OverStable = &point
	case MetricP99:
		m.OverStable = &half
	case MetricRestarts, MetricOOMKills:
		m.Max = &none
	}
}

// analysis accepts an analysis block.
func analysis(into **Analysis) setter {
	return func(v any) []keyError {
		a := Analysis{Interval: 10 * time.Second, Patience: 10 * time.Minute, Metrics: DefaultMetrics()}
		errs := decodeBlock(v, nil, map[string]setter{
			"interval": between(&a.Interval, time.Second, time.Hour),
			"delay":    between(&a.Delay, 0, 24*time.Hour),
			"patience": between(&a.Patience, 0, 24*time.Hour),
			"metrics":  metrics(&a.Metrics),
		})
		*into = &a
		return errs
	}
}

// analysisMistakes are what keeps batches of a service from being judged. Published says
// whether it has ports at which requests are counted.
func (s ServiceSettings) analysisMistakes(published bool) []keyError {
	const key = extension + ".analysis"
	switch {
	case s.Analysis == nil:
		return nil
	case s.Strategy == StrategyCanary:
		return []keyError{{key, errors.New("judges batches: that of a canary is canary.analysis")}}
	case published:
		return nil
	}
	for _, m := range s.Analysis.Metrics {
		if m.requests() {
			return []keyError{{key, fmt.Errorf("%s is counted at published ports, and this service publishes none: name other metrics", m.Name)}}
		}
	}
	return nil
}

// requests reports whether m is measured of requests.
func (m Metric) requests() bool { return m.Kind == MetricErrorRate || m.Kind == MetricP99 }

// Starves reports whether m can never be passed where nobody counts requests.
func (m Metric) Starves() bool { return m.requests() && m.NoData != NoDataPass }

// Alone is the analysis of a release beside which nothing of the stable one runs: its
// errors are held against none at all, and what only a comparison bounds is left out.
func (a Analysis) Alone() Analysis {
	var out []Metric
	for _, m := range a.Metrics {
		if m.Kind == MetricErrorRate && m.OverStable != nil && (m.Max == nil || *m.OverStable < *m.Max) {
			m.Max = m.OverStable
		}
		if m.OverStable = nil; m.Max != nil || m.Min != nil {
			out = append(out, m)
		}
	}
	a.Metrics = out
	return a
}

// maxMetrics is more than anybody reads at night.
const maxMetrics = 32

func metrics(into *[]Metric) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok || len(list) == 0 || len(list) > maxMetrics {
			return wrong("must be a list of 1 to %d metrics such as error_rate: {max: 1%%}", maxMetrics)
		}
		var out []Metric
		var errs []keyError
		seen := map[string]bool{}
		for i, entry := range list {
			at := fmt.Sprintf("[%d]", i)
			m, wrongs := decodeMetric(entry)
			for _, e := range wrongs {
				errs = append(errs, keyError{join(at, e.key), e.err})
			}
			if len(wrongs) == 0 && seen[m.Name] {
				errs = append(errs, keyError{at, fmt.Errorf("%s is there twice: give each a name of its own", m.Name)})
			}
			seen[m.Name] = true
			out = append(out, m)
		}
		*into = out
		return errs
	}
}

// decodeMetric reads "restarts", or a mapping with one kind as its only key.
func decodeMetric(v any) (Metric, []keyError) {
	if name, ok := v.(string); ok {
		v = map[string]any{name: nil}
	}
	block, ok := v.(map[string]any)
	if !ok || len(block) != 1 {
		return Metric{}, wrong("must be one metric such as error_rate: {max: 1%%}")
	}
	for kind := MetricErrorRate; kind <= MetricPrometheus; kind++ {
		said, ok := block[kind.String()]
		if !ok {
			continue
		}
		m := newMetric(kind)
		errs := decodeBlock(said, nil, m.setters())
		m.settle(below(block, kind.String()))
		if len(errs) == 0 {
			errs = m.contradictions()
		}
		for i := range errs {
			errs[i].key = join(kind.String(), errs[i].key)
		}
		return m, errs
	}
	var kinds []string
	for kind := MetricErrorRate; kind <= MetricPrometheus; kind++ {
		kinds = append(kinds, kind.String())
	}
	return Metric{}, wrong("unknown metric %q: there are %s", keys(block)[0], strings.Join(kinds, ", "))
}

// setters are the keys that a metric of its kind has.
func (m *Metric) setters() map[string]setter {
	out := map[string]setter{
		"name":                 metricName(&m.Name),
		"min_samples":          count(&m.MinSamples),
		"no_data":              word(&m.NoData, []NoData{NoDataHold, NoDataPass, NoDataFail}),
		"failure_limit":        tolerated(&m.FailureLimit),
		"consecutive_failures": count(&m.ConsecutiveFailures),
	}
	switch m.Kind {
	case MetricErrorRate:
		out["max"], out["over_stable"] = share(&m.Max, 100), share(&m.OverStable, 100)
	case MetricP99:
		out["max"], out["over_stable"] = latency(&m.Max), share(&m.OverStable, maxExcess)
	case MetricRestarts, MetricOOMKills:
		out["max"] = number(&m.Max, 0)
		// They are counted from a container's start: what failed once stays so.
		delete(out, "failure_limit")
		delete(out, "consecutive_failures")
	case MetricCPU:
		out["max"], out["over_stable"] = number(&m.Max, 0), share(&m.OverStable, maxExcess)
	case MetricMemory:
		out["max"], out["over_stable"] = byteSize(&m.Max), share(&m.OverStable, maxExcess)
	case MetricPrometheus:
		out["server"], out["query"] = serverName(&m.Server), query(&m.Query)
		out["max"], out["min"] = number(&m.Max, math.Inf(-1)), number(&m.Min, math.Inf(-1))
	}
	return out
}

// contradictions are mistakes that no single key has.
func (m *Metric) contradictions() []keyError {
	switch {
	case m.Kind == MetricPrometheus && m.Query == "":
		return wrong("needs a query")
	case m.Kind == MetricPrometheus && m.Max == nil && m.Min == nil:
		return wrong("needs max or min: without a bound every answer would pass")
	case m.Min != nil && m.Max != nil && *m.Min > *m.Max:
		return wrong("min is more than max: no answer could pass")
	case (m.Kind == MetricCPU || m.Kind == MetricMemory) && m.Max == nil && m.OverStable == nil:
		return wrong("needs max or over_stable: without a bound everything would pass")
	}
	return nil
}
