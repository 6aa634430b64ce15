package analysis

import "math"

// chance is how seldom a release that keeps its limit may look so bad that it fails.
const chance = 0.001

// fewest are the bad requests that it takes where there are not enough samples: one
// that met a container while it warmed up, and the one that was made again, prove
// nothing.
const fewest = 3

// tail is the chance that at least k of n are bad where each is so with chance p. It is
// the regularised incomplete beta function I_p(k, n-k+1).
func tail(k, n int64, p float64) float64 {
	switch {
	case k <= 0 || p >= 1:
		return 1
	case k > n || p <= 0:
		return 0
	}
	return beta(float64(k), float64(n-k+1), p)
}

// upper is the largest share that k of n leave possible, with a confidence of 95 %.
func upper(k, n int64) float64 {
	if n <= 0 || k >= n {
		return 1
	}
	low, high := float64(k)/float64(n), 1.0
	for range 60 {
		mid := (low + high) / 2
		if 1-tail(k+1, n, mid) > 0.05 {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// beta is the regularised incomplete beta function.
func beta(a, b, x float64) float64 {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	if x < (a+1)/(a+b+2) {
		return min(front*fraction(a, b, x)/a, 1)
	}
	return max(1-front*fraction(b, a, 1-x)/b, 0)
}

// fraction is the continued fraction of beta by Lentz's method. It takes about as many
// terms as the root of the larger of a and b.
func fraction(a, b, x float64) float64 {
	const tiny, enough = 1e-300, 1e-12
	apart := func(f float64) float64 {
		if math.Abs(f) < tiny {
			return tiny
		}
		return f
	}
	c, d := 1.0, 1/apart(1-(a+b)*x/(a+1))
	f := d
	for m := 1.0; m < 1e6; m++ {
		even := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d, c = 1/apart(1+even*d), apart(1+even/c)
		f *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d, c = 1/apart(1+odd*d), apart(1+odd/c)
		f *= d * c
		if math.Abs(d*c-1) < enough {
			break
		}
	}
	return f
}
