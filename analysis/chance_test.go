package analysis

import (
	"math"
	"math/rand/v2"
	"testing"
)

// summed is tail, one term after the other.
func summed(k, n int64, p float64) (sum float64) {
	for i := k; i <= n; i++ {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		c, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(a - b - c + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

func TestTheTailIsTheSumOfItsTerms(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + random.Int64N(2000)
		k := 1 + random.Int64N(n)
		if random.IntN(2) == 0 {
			k = 1 + random.Int64N(1+n/20)
		}
		p := math.Pow(10, -4*random.Float64()) * 0.99
		got, want := tail(k, n, p), summed(k, n, p)
		if math.Abs(got-want) > 1e-8 {
			t.Fatalf("tail(%d, %d, %g) = %g, not %g", k, n, p, got, want)
		}
	}
}

func TestTheEdgesOfChance(t *testing.T) {
	for _, c := range []struct {
		k, n int64
		p    float64
		want float64
	}{{0, 10, 0.1, 1}, {1, 10, 0, 0}, {11, 10, 0.5, 0}, {3, 10, 1, 1}, {10, 10, 0.5, math.Pow(0.5, 10)}} {
		if got := tail(c.k, c.n, c.p); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("tail(%d, %d, %g) = %g, not %g", c.k, c.n, c.p, got, c.want)
		}
	}
	// Many requests neither take long nor lose the number.
	if got := tail(10_000, 1_000_000, 0.01); got < 0.49 || got > 0.51 {
		t.Errorf("as many as are expected: %g", got)
	}
	if got := tail(11_000, 1_000_000, 0.01); got > 1e-20 {
		t.Errorf("a tenth more of a million: %g", got)
	}
}

// TestNoErrorInFewRequestsProvesLittle: the rule of three.
func TestNoErrorInFewRequestsProvesLittle(t *testing.T) {
	for n, want := range map[int64]float64{10: 0.259, 50: 0.058, 300: 0.00994, 3000: 0.000998} {
		if got := upper(0, n); math.Abs(got-want) > want/100 {
			t.Errorf("none of %d leaves %g possible, not %g", n, got, want)
		}
	}
	if upper(0, 0) != 1 || upper(5, 5) != 1 {
		t.Error("nothing, or nothing but errors, leaves everything possible")
	}
}
