package analysis

import (
	"math"
	"slices"
	"time"
)

// tally is what one side's requests came to.
type tally struct {
	requests, errors, abandoned int64
	latency                     histogram
}

// answered are the requests that prove something of errors.
func (t tally) answered() int64 { return t.requests - t.abandoned }

// add adds counts whose buckets have these bounds.
func (t *tally) add(c Counts, bounds []time.Duration) {
	t.requests, t.errors, t.abandoned = t.requests+c.Requests, t.errors+c.Errors, t.abandoned+c.Abandoned
	low := 0.0
	for i, n := range c.Buckets {
		high := math.Inf(1)
		if i < len(bounds) {
			high = bounds[i].Seconds()
		}
		t.latency.add(span{low, high}, n)
		low = high
	}
}

// plus adds what o has.
func (t *tally) plus(o tally) {
	t.requests, t.errors, t.abandoned = t.requests+o.requests, t.errors+o.errors, t.abandoned+o.abandoned
	for s, n := range o.latency {
		t.latency.add(s, n)
	}
}

// span is what lies above low, up to high, in seconds.
type span struct{ low, high float64 }

// histogram counts by spans. Those of edges of different versions may overlap.
type histogram map[span]int64

func (h *histogram) add(s span, n int64) {
	if n == 0 {
		return
	}
	if *h == nil {
		*h = histogram{}
	}
	(*h)[s] += n
}

func (h histogram) total() (n int64) {
	for _, count := range h {
		n += count
	}
	return n
}

// slower counts what was certainly above limit.
func (h histogram) slower(limit float64) (n int64) {
	for s, count := range h {
		if s.low >= limit {
			n += count
		}
	}
	return n
}

// edges are all bounds that are numbers, sorted.
func (h histogram) edges() (out []float64) {
	for s := range h {
		out = append(out, s.low)
		if !math.IsInf(s.high, 0) {
			out = append(out, s.high)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// below estimates how many are not above x, as if each span were evenly filled.
func (h histogram) below(x float64) (n float64) {
	for s, count := range h {
		switch {
		case x >= s.high:
			n += float64(count)
		case x > s.low && !math.IsInf(s.high, 0):
			n += float64(count) * (x - s.low) / (s.high - s.low)
		}
	}
	return n
}

// quantile estimates what the share q of all are not above; infinite where that is
// beyond the last bound.
func (h histogram) quantile(q float64) float64 {
	rank := q * float64(h.total())
	low, under := 0.0, 0.0
	for _, x := range h.edges() {
		n := h.below(x)
		if n >= rank && n > 0 {
			if n == under {
				return x
			}
			return low + (x-low)*max(rank-under, 0)/(n-under)
		}
		low, under = x, n
	}
	return math.Inf(1)
}

// ceiling is a bound that certainly the share q of all are not above.
func (h histogram) ceiling(q float64) float64 {
	rank := q * float64(h.total())
	for _, x := range h.edges() {
		n := int64(0)
		for s, count := range h {
			if s.high <= x {
				n += count
			}
		}
		if float64(n) >= rank && n > 0 {
			return x
		}
	}
	return math.Inf(1)
}
