package reconcile_test

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
)

func TestSharesAreOfReleasesAndEvenAmongTheirReplicas(t *testing.T) {
	for name, c := range map[string]struct {
		stable, canary []int64
		percent        int
		want           map[int64]int
	}{
		"one beside one":                    {[]int64{1}, []int64{2}, 5, map[int64]int{1: 95, 2: 5}},
		"one beside three":                  {[]int64{1, 1, 1}, []int64{2}, 30, map[int64]int{1: 70, 2: 30}},
		"half":                              {[]int64{1}, []int64{2}, 50, map[int64]int{1: 50, 2: 50}},
		"a stable side of two releases":     {[]int64{1, 1, 3}, []int64{4}, 30, map[int64]int{1: 14, 3: 7, 4: 9}},
		"a canary that was cut off":         {[]int64{1, 1}, []int64{2, 3}, 10, map[int64]int{1: 90, 2: 5, 3: 5}},
		"adopted containers have no number": {[]int64{0}, []int64{2}, 1, map[int64]int{0: 99, 2: 1}},
		"nobody else":                       {nil, []int64{2}, 5, nil},
		"no canary":                         {[]int64{1}, nil, 5, nil},
		"one release on both sides":         {[]int64{1}, []int64{1}, 5, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ports := []compose.PublishedPort{{Network: "tcp", Host: 80, Target: 8080}}
			table := reconcile.EdgeTable{Routes: []reconcile.Route{{Stack: "shop", Service: "web", Ports: ports, Members: members("old", c.stable)}}}
			s := reconcile.Shift{Ports: ports, Weight: c.percent}
			got, err := table.Weighed("shop", "web", s, members("new", c.canary), now)
			if c.want == nil {
				if err == nil {
					t.Errorf("shared out as %v", got.Routes[0].Weights)
				}
				return
			}
			if err != nil || !maps.Equal(got.Routes[0].Weights, c.want) {
				t.Errorf("got %v, %v", got.Routes[0].Weights, err)
			}
			back := got.Shifted("shop", "web", reconcile.Shift{Ports: ports}, nil, now)
			if len(back.Routes[0].Weights) > 0 {
				t.Error("a plain shift goes on weighing")
			}
		})
	}
}

func TestWhoDrainsHasNoShare(t *testing.T) {
	ports := []compose.PublishedPort{{Network: "tcp", Host: 80, Target: 8080}}
	old := members("old", []int64{1, 2})
	old[1].Draining = now
	table := reconcile.EdgeTable{Routes: []reconcile.Route{{Stack: "shop", Service: "web", Ports: ports, Members: old}}}
	got, err := table.Weighed("shop", "web", reconcile.Shift{Ports: ports, Weight: 5}, members("new", []int64{3}), now)
	if want := map[int64]int{1: 95, 3: 5}; err != nil || !maps.Equal(got.Routes[0].Weights, want) {
		t.Errorf("got %v, %v", got.Routes[0].Weights, err)
	}
}

// members are containers of these releases.
func members(name string, releases []int64) []reconcile.Member {
	var out []reconcile.Member
	for i, release := range releases {
		out = append(out, reconcile.Member{Container: name + string(rune('a'+i)), Release: release, Started: now.Add(-time.Hour), Address: netip.MustParseAddr("10.0.0.2")})
	}
	return out
}
