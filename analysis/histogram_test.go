package analysis

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesLieWhereTheLatenciesAre(t *testing.T) {
	bounds := []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second}
	for name, c := range map[string]struct {
		buckets       []int64
		p99           float64
		ceiling       float64
		slowerThan50m int64
	}{
		"nothing":                       {[]int64{0, 0, 0, 0}, math.Inf(1), math.Inf(1), 0},
		"all fast":                      {[]int64{100, 0, 0, 0}, 0.0099, 0.01, 0},
		"a hundredth slow":              {[]int64{99, 0, 1, 0}, 0.01, 0.01, 1},
		"half slow":                     {[]int64{50, 0, 50, 0}, 0.982, 1, 50},
		"what the bounds do not tell":   {[]int64{90, 0, 0, 10}, math.Inf(1), math.Inf(1), 10},
		"few of them beyond all bounds": {[]int64{996, 0, 0, 4}, 0.00994, 0.01, 4},
	} {
		var x tally
		x.add(Counts{Buckets: c.buckets}, bounds)
		near := func(got, want float64) bool { return got == want || math.Abs(got-want) < 0.001 }
		if got := x.latency.quantile(0.99); !near(got, c.p99) {
			t.Errorf("%s: p99 %g, not %g", name, got, c.p99)
		}
		if got := x.latency.ceiling(0.99); !near(got, c.ceiling) {
			t.Errorf("%s: at most %g, not %g", name, got, c.ceiling)
		}
		if got := x.latency.slower(0.05); got != c.slowerThan50m {
			t.Errorf("%s: %d slower, not %d", name, got, c.slowerThan50m)
		}
	}
}

// TestAQuantileOfAnyHistogramIsWithinItsBucket: also where two edges count by other
// bounds.
func TestAQuantileOfAnyHistogramIsWithinItsBucket(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var x tally
		var all []float64
		for range 1 + random.IntN(2) {
			var bounds []time.Duration
			for at := time.Duration(0); len(bounds) < 3+random.IntN(20); {
				at += time.Duration(1 + random.IntN(int(200*time.Millisecond)))
				bounds = append(bounds, at)
			}
			counts := Counts{Buckets: make([]int64, len(bounds)+1)}
			for range 1 + random.IntN(500) {
				took := time.Duration(random.Int64N(int64(bounds[len(bounds)-1])))
				at, _ := slices.BinarySearch(bounds, took)
				counts.Buckets[at]++
				all = append(all, took.Seconds())
			}
			x.add(counts, bounds)
		}
		slices.Sort(all)
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			real := all[min(int(math.Ceil(q*float64(len(all)))), len(all))-1]
			if got := x.latency.ceiling(q); got < real {
				t.Fatalf("q %g: %g is called certain, and it is %g", q, got, real)
			}
			got := x.latency.quantile(q)
			if share := x.latency.below(got) / float64(len(all)); math.Abs(share-q) > 1e-6 && share < q {
				t.Fatalf("q %g: below %g is only %g", q, got, share)
			}
		}
		for _, limit := range []float64{0.01, 0.1, 0.5, 1} {
			above := int64(len(all)) - int64(sortedBelow(all, limit))
			if got := x.latency.slower(limit); got > above {
				t.Fatalf("%d are called slower than %g, and %d are", got, limit, above)
			}
		}
	}
}

func sortedBelow(all []float64, limit float64) int {
	at, _ := slices.BinarySearch(all, limit)
	return at
}
