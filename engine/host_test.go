package engine

import "testing"

func TestPoolsHoldAsManySubnetsAsFit(t *testing.T) {
	for _, c := range []struct {
		base string
		size int
		want int
	}{
		{"10.200.0.0/16", 26, 1024}, {"10.0.0.0/8", 24, 65536}, {"172.17.0.0/16", 16, 1},
		{"172.17.0.0/16", 8, 0}, {"nonsense", 24, 0}, {"fd00::/8", 64, manySubnets},
	} {
		if got := subnets(c.base, c.size); got != c.want {
			t.Errorf("%s in %d: %d, want %d", c.base, c.size, got, c.want)
		}
	}
}
