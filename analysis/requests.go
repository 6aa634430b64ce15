package analysis

import (
	"fmt"
	"math"
	"strings"

	"davit/compose"
)

// ruling is what a metric's data say.
type ruling int

const (
	// scant data say nothing yet.
	scant ruling = iota
	good
	// doubtful data are not good, and may be so by chance.
	doubtful
	bad
)

// standing is a ruling in words.
type standing struct {
	ruling ruling
	text   string
}

// negligibleLatency is by how many seconds a latency may always exceed the stable one's.
const negligibleLatency = 0.010

// limit is one bound on a metric of requests.
type limit struct {
	// at is where the metric is no longer good; sure is what it takes to be bad, further
	// off where the stable release, which it is compared with, is known only so well.
	at, sure float64
}

// sides are the requests of both releases at one time.
type sides struct{ fresh, stable tally }

func (s *sides) plus(o sides) {
	s.fresh.plus(o.fresh)
	s.stable.plus(o.stable)
}

// judge rules on the requests of s by m, which is of an error rate or a latency.
func (s sides) judge(m compose.Metric) standing {
	if m.Kind == compose.MetricP99 {
		return s.latency(m)
	}
	return s.errors(m)
}

func (s sides) errors(m compose.Metric) standing {
	n := s.fresh.answered()
	// Counters are read one after the other, while requests end.
	wrong := min(s.fresh.errors, n)
	if n <= 0 {
		return standing{scant, m.Name + ": " + s.nobody()}
	}
	e := exhibit{metric: m, n: n, beyond: func(float64) int64 { return wrong }, value: float64(wrong) / float64(n)}
	e.share = func(at float64) float64 { return at }
	text := fmt.Sprintf("error rate %s of %s", percent(e.value), times(int(n), "request"))
	if m.Max != nil {
		e.limits = append(e.limits, limit{*m.Max, *m.Max})
	}
	if m.OverStable != nil {
		theirs := s.stable.answered()
		failed := min(s.stable.errors, theirs)
		if theirs < int64(m.MinSamples) {
			e.alone = theirs
		} else {
			rate := float64(failed) / float64(theirs)
			text += fmt.Sprintf(" against %s of %d of the stable release", percent(rate), theirs)
			e.limits = append(e.limits, limit{rate + *m.OverStable, upper(failed, theirs) + *m.OverStable})
		}
	}
	if e.limited() {
		text += ", limit " + percent(e.strictest())
	}
	return e.judge(named(m, text), percent)
}

func (s sides) latency(m compose.Metric) standing {
	n := s.fresh.latency.total()
	if n <= 0 {
		return standing{scant, m.Name + ": " + s.nobody()}
	}
	e := exhibit{metric: m, n: n, beyond: s.fresh.latency.slower, value: s.fresh.latency.quantile(0.99)}
	e.share = func(float64) float64 { return 0.01 }
	text := fmt.Sprintf("p99 %s of %s", seconds(e.value), times(int(n), "request"))
	if m.Max != nil {
		e.limits = append(e.limits, limit{*m.Max, *m.Max})
	}
	if m.OverStable != nil {
		theirs, p99 := s.stable.latency.total(), s.stable.latency.quantile(0.99)
		if theirs < int64(m.MinSamples) || math.IsInf(p99, 1) {
			e.alone = theirs
		} else {
			text += fmt.Sprintf(" against %s of %d of the stable release", seconds(p99), theirs)
			more := func(than float64) float64 { return max(than*(1+*m.OverStable), than+negligibleLatency) }
			e.limits = append(e.limits, limit{more(p99), more(s.stable.latency.ceiling(surelyHigher(0.99, theirs)))})
		}
	}
	if e.limited() {
		text += ", limit " + seconds(e.strictest())
	}
	return e.judge(named(m, text), seconds)
}

// surelyHigher is a quantile that is as far above q as n samples leave possible.
func surelyHigher(q float64, n int64) float64 {
	return min(1, q+2.33*math.Sqrt(q*(1-q)/float64(n)))
}

// nobody says why there is nothing to judge.
func (s sides) nobody() string {
	if s.fresh.abandoned > 0 {
		return fmt.Sprintf("all clients of the new release, %d, left before they had an answer", s.fresh.abandoned)
	}
	return "the edge counted no request of the new release"
}

// named puts the metric's own name, if it was given one, before text.
func named(m compose.Metric, text string) string {
	if m.Name != m.Kind.String() {
		return m.Name + ": " + text
	}
	return text
}

// exhibit is what a metric of requests is judged by.
type exhibit struct {
	metric compose.Metric
	// n are the requests, value is what they come to.
	n     int64
	value float64
	// beyond counts those that are bad by a limit, share is how many of all may be.
	beyond func(limit float64) int64
	share  func(limit float64) float64
	limits []limit
	// alone are the requests of a stable release that has too few to compare with.
	alone int64
}

func (e exhibit) limited() bool { return len(e.limits) > 0 }

func (e exhibit) strictest() float64 {
	at := math.Inf(1)
	for _, l := range e.limits {
		at = min(at, l.at)
	}
	return at
}

// judge rules on e, whose numbers text has already.
func (e exhibit) judge(text string, words func(float64) string) standing {
	enough := e.n >= int64(e.metric.MinSamples)
	for _, l := range e.limits {
		k := e.beyond(l.sure)
		if e.value > l.at && (enough || k >= fewest) && tail(k, e.n, e.share(l.sure)) <= chance {
			return standing{bad, text}
		}
	}
	switch compared := e.metric.OverStable == nil || len(e.limits) == bounds(e.metric); {
	case !enough:
		return standing{scant, fmt.Sprintf("%s: too few, it takes %d", text, e.metric.MinSamples)}
	case !compared:
		return standing{scant, fmt.Sprintf("%s: the stable release had only %d to compare with, it takes %d", text, e.alone, e.metric.MinSamples)}
	case e.value > e.strictest():
		return standing{doubtful, text + ": over it, but may be by chance"}
	}
	return standing{good, text + e.hidden(words)}
}

// bounds is how many limits m asks for.
func bounds(m compose.Metric) (n int) {
	for _, b := range []*float64{m.Max, m.OverStable} {
		if b != nil {
			n++
		}
	}
	return n
}

// hidden says what so few requests cannot tell from what was seen.
func (e exhibit) hidden(words func(float64) string) string {
	if e.metric.Kind != compose.MetricErrorRate {
		return ""
	}
	wrong := e.beyond(0)
	if most := upper(wrong, e.n); most > e.strictest() {
		return fmt.Sprintf(" (so few can hide up to %s)", words(most))
	}
	return ""
}

// list joins sentences.
func list(texts []string) string { return strings.Join(texts, "; ") }
