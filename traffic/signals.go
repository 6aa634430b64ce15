package traffic

import (
	"slices"
	"sync/atomic"
	"time"
)

// bounds are the upper limits of the latency histogram's buckets; a last one has
// what is slower. Each is a quarter more than the one before, in preferred numbers, so
// that a release which takes half as long again falls into another.
var bounds = [...]time.Duration{
	1 * time.Millisecond, 1250 * time.Microsecond, 1600 * time.Microsecond, 2 * time.Millisecond, 2500 * time.Microsecond,
	3150 * time.Microsecond, 4 * time.Millisecond, 5 * time.Millisecond, 6300 * time.Microsecond, 8 * time.Millisecond,
	10 * time.Millisecond, 12500 * time.Microsecond, 16 * time.Millisecond, 20 * time.Millisecond, 25 * time.Millisecond,
	31500 * time.Microsecond, 40 * time.Millisecond, 50 * time.Millisecond, 63 * time.Millisecond, 80 * time.Millisecond,
	100 * time.Millisecond, 125 * time.Millisecond, 160 * time.Millisecond, 200 * time.Millisecond, 250 * time.Millisecond,
	315 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, 630 * time.Millisecond, 800 * time.Millisecond,
	time.Second, 1250 * time.Millisecond, 1600 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond,
	3150 * time.Millisecond, 4 * time.Second, 5 * time.Second, 6300 * time.Millisecond, 8 * time.Second,
	10 * time.Second,
}

// signals count what a replica was given and how it answered, since the edge began.
type signals struct {
	requests, errors, undialled, abandoned atomic.Int64
	nanoseconds                            atomic.Int64
	buckets                                [len(bounds) + 1]atomic.Int64
}

// add counts a lease that took so long. How long a stream lasted says nothing about
// how quickly anybody answers, and is not counted.
func (s *signals) add(kind leaseKind, o outcome, took time.Duration) {
	s.requests.Add(1)
	if o.undialled {
		s.undialled.Add(1)
	}
	if o.abandoned {
		s.abandoned.Add(1)
	}
	if o.failed() {
		s.errors.Add(1)
	}
	if kind == leaseStream {
		return
	}
	s.nanoseconds.Add(int64(took))
	at, _ := slices.BinarySearch(bounds[:], took)
	s.buckets[at].Add(1)
}

// plus adds what o has counted.
func (s *signals) plus(o *signals) {
	s.requests.Add(o.requests.Load())
	s.errors.Add(o.errors.Load())
	s.undialled.Add(o.undialled.Load())
	s.abandoned.Add(o.abandoned.Load())
	s.nanoseconds.Add(o.nanoseconds.Load())
	for i := range s.buckets {
		s.buckets[i].Add(o.buckets[i].Load())
	}
}

// report is what was counted for o.
func (s *signals) report(o origin) Signals {
	out := Signals{
		Stack: o.stack, Service: o.service, Release: o.release,
		Requests: s.requests.Load(), Errors: s.errors.Load(), Undialled: s.undialled.Load(), Abandoned: s.abandoned.Load(),
		Took: time.Duration(s.nanoseconds.Load()), Buckets: make([]int64, len(s.buckets)),
	}
	for i := range s.buckets {
		out.Buckets[i] = s.buckets[i].Load()
	}
	return out
}
