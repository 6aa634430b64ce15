package traffic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// choiceOf is a pool of confirmed replicas, "r0", "r1" and so on, of these releases.
func choiceOf(shape Port, releases ...int64) (*pool, []*replica) {
	p := newPool(time.Now)
	replicas, members := make([]*replica, len(releases)), make([]member, len(releases))
	for i, release := range releases {
		b := Backend{Container: fmt.Sprintf("c%d", i), Started: time.Unix(1, 0), Replica: fmt.Sprintf("r%d", i), Release: release}
		replicas[i] = newReplica(shape, b)
		replicas[i].confirmed.Store(true)
		members[i] = member{replica: replicas[i]}
	}
	p.set(shape, members)
	return p, replicas
}

// claims counts the replicas that n claims are given, by name, and "" for none.
func claims(p *pool, n int, w want) map[string]int {
	got := map[string]int{}
	for range n {
		l, _, _ := p.try(w)
		if l == nil {
			got[""]++
			continue
		}
		got[l.replica.name]++
		l.end(outcome{}, time.Now())
	}
	return got
}

func TestTheLeastBusyReplicaIsChosenAndEqualsAreShared(t *testing.T) {
	p, replicas := choiceOf(Port{}, 1, 1, 1)
	got := claims(p, 3000, want{})
	for _, r := range replicas {
		if got[r.name] < 800 {
			t.Errorf("%s, as idle as the others, got %d of 3000", r.name, got[r.name])
		}
	}
	replicas[0].requests.Add(2)
	replicas[1].streams.Add(1)
	if got := claims(p, 100, want{}); got["r2"] != 100 {
		t.Errorf("beside busy ones the idle one got %v", got)
	}
}

func TestWeightsAreSharesOfReleases(t *testing.T) {
	for name, c := range map[string]struct {
		weights  map[int64]int
		releases []int64
		want     map[string]float64
	}{
		"none":                              {nil, []int64{1, 2}, map[string]float64{"r0": 0.5, "r1": 0.5}},
		"whatever the number of replicas":   {map[int64]int{1: 90, 2: 10}, []int64{1, 2, 2}, map[string]float64{"r0": 0.9, "r1": 0.05, "r2": 0.05}},
		"one that is not named":             {map[int64]int{2: 1}, []int64{1, 2}, map[string]float64{"r1": 1}},
		"none named that serves":            {map[int64]int{3: 1}, []int64{1, 2}, map[string]float64{"": 1}},
		"all zero":                          {map[int64]int{1: 0}, []int64{1}, map[string]float64{"": 1}},
		"a release that nobody numbered":    {map[int64]int{0: 1, 4: 1}, []int64{0, 4}, map[string]float64{"r0": 0.5, "r1": 0.5}},
		"what cannot serve leaves its part": {map[int64]int{1: 50, 9: 50}, []int64{1}, map[string]float64{"r0": 1}},
	} {
		for _, affinity := range []Affinity{AffinityNone, AffinitySource} {
			t.Run(fmt.Sprint(name, " by ", affinity), func(t *testing.T) {
				p, _ := choiceOf(Port{Weights: c.weights, Affinity: affinity}, c.releases...)
				got := map[string]int{}
				const all = 4000
				for i := range all {
					for r, n := range claims(p, 1, want{source: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}) {
						got[r] += n
					}
				}
				for r, share := range c.want {
					if math.Abs(float64(got[r])/all-share) > 0.04 {
						t.Errorf("%q got %d of %d, not %.2f", r, got[r], all, share)
					}
				}
				if len(got) != len(c.want) {
					t.Errorf("got %v", got)
				}
			})
		}
	}
}

func TestASessionStaysWithItsReplicaThenWithItsRelease(t *testing.T) {
	p, replicas := choiceOf(Port{Affinity: AffinityCookie, Weights: map[int64]int{2: 1}}, 1, 1, 2)
	pinned := want{session: session{release: 1, container: "c0"}}
	if got := claims(p, 50, pinned); got["r0"] != 50 {
		t.Errorf("its replica serves: %v", got)
	}
	replicas[0].shut()
	if got := claims(p, 50, pinned); got["r1"] != 50 {
		t.Errorf("its replica drains: %v", got)
	}
	replicas[1].shut()
	if got := claims(p, 50, pinned); got["r2"] != 50 {
		t.Errorf("its release is gone: %v", got)
	}
	replicas[0].reopen()
	if got := claims(p, 50, want{session: session{release: 3, container: "c0"}}); got["r2"] != 50 {
		t.Errorf("a cookie that says two things: %v", got)
	}
}

func TestALostReplicaMovesOnlyTheSourcesThatItHad(t *testing.T) {
	p, replicas := choiceOf(Port{Affinity: AffinitySource}, 1, 1, 1, 1)
	whose := func() map[netip.Addr]string {
		out := map[netip.Addr]string{}
		for i := range 1000 {
			a := netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)})
			for name := range claims(p, 1, want{source: a}) {
				out[a] = name
			}
			for name := range claims(p, 1, want{source: netip.AddrFrom16(a.As16())}) {
				if name != out[a] {
					t.Errorf("%s written as IPv6 goes to %s, not %s", a, name, out[a])
				}
			}
		}
		return out
	}
	before := whose()
	replicas[2].shut()
	moved := 0
	for a, name := range whose() {
		switch {
		case name == "r2":
			t.Fatalf("%s goes to a replica that drains", a)
		case before[a] == "r2":
			moved++
		case name != before[a]:
			t.Errorf("%s moved from %s to %s", a, before[a], name)
		}
	}
	if moved < 150 {
		t.Errorf("%d of 1000 sources had been with r2", moved)
	}
}

func TestARetryGoesToAnotherReplicaOrNobody(t *testing.T) {
	p, replicas := choiceOf(Port{Park: time.Hour}, 1, 1)
	l, err := p.claim(t.Context(), want{avoid: replicas[:1]})
	if err != nil || l.replica != replicas[1] {
		t.Fatalf("%v, %v", l, err)
	}
	if _, err := p.claim(t.Context(), want{avoid: replicas}); !errors.Is(err, errNobody) {
		t.Errorf("with nobody else: %v", err)
	}
}

func TestAClaimWaitsForAReplicaUpToTheLimitOfThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, replicas := choiceOf(Port{Park: 3 * time.Second}, 1)
		for name, c := range map[string]struct{ hinder, help func() }{
			"until it is confirmed": {func() { replicas[0].confirmed.Store(false) }, func() { replicas[0].confirmed.Store(true); p.again() }},
			"until it is reopened":  {replicas[0].shut, func() { replicas[0].reopen(); p.again() }},
			"until there is one":    {func() { p.set(Port{}, nil) }, func() { p.set(Port{Park: 3 * time.Second}, []member{{replica: replicas[0]}}) }},
		} {
			c.hinder()
			time.AfterFunc(2*time.Second, c.help)
			began := time.Now()
			l, err := p.claim(t.Context(), want{})
			if err != nil || time.Since(began) != 2*time.Second {
				t.Fatalf("%s: %v after %s", name, err, time.Since(began))
			}
			l.end(outcome{}, time.Now())
		}
		replicas[0].shut()
		began := time.Now()
		wake := time.AfterFunc(time.Second, p.again) // for nothing: the limit stays
		defer wake.Stop()
		if _, err := p.claim(t.Context(), want{}); !errors.Is(err, errNobody) || time.Since(began) != 3*time.Second {
			t.Errorf("nobody came: %v after %s", err, time.Since(began))
		}
		gone := errors.New("the client is gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if _, err := p.claim(ctx, want{}); !errors.Is(err, gone) {
			t.Errorf("the client went: %v", err)
		}
	})
}

func TestAFailingReplicaIsPassedOverForAWhileButNeverTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, replicas := choiceOf(Port{}, 1, 1)
		bad, good := replicas[0], replicas[1]
		for i := range failuresToEject - 1 {
			bad.observe(outcome{status: 502 - i%2}, time.Now())
		}
		bad.observe(outcome{status: 404}, time.Now()) // the client's mistake, and an answer
		if got := claims(p, 200, want{}); got["r0"] == 0 {
			t.Errorf("passed over without a row of failures: %v", got)
		}
		for range failuresToEject {
			bad.observe(outcome{status: 500}, time.Now())
		}
		if got := claims(p, 100, want{}); got["r1"] != 100 {
			t.Errorf("while it is ejected: %v", got)
		}
		time.Sleep(ejection)
		if got := claims(p, 200, want{}); got["r0"] == 0 {
			t.Errorf("after its ejection: %v", got)
		}
		bad.observe(outcome{undialled: true}, time.Now())
		good.shut()
		if got := claims(p, 100, want{}); got["r0"] != 100 {
			t.Errorf("the last one, ejected: %v", got)
		}
	})
}

func TestEjectionsOfAReplicaThatDoesNotRecoverGrowToALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, replicas := choiceOf(Port{}, 1)
		r := replicas[0]
		for _, pause := range []time.Duration{ejection, 2 * ejection, 4 * ejection, 8 * ejection, longestEjection, longestEjection} {
			r.observe(outcome{undialled: true}, time.Now())
			r.observe(outcome{undialled: true}, time.Now()) // beside it, for the same reason
			if got := time.Until(time.Unix(0, r.ejected.Load())); got != pause {
				t.Fatalf("ejected for %s, not %s", got, pause)
			}
			time.Sleep(pause)
		}
		r.observe(outcome{status: 200}, time.Now())
		r.observe(outcome{undialled: true}, time.Now())
		if got := time.Until(time.Unix(0, r.ejected.Load())); got != ejection {
			t.Errorf("after it had answered: ejected for %s", got)
		}
	})
}

func TestAClaimTakesNoMemoryButItsLease(t *testing.T) {
	p, _ := choiceOf(Port{Weights: map[int64]int{1: 1, 2: 1}}, 1, 1, 2)
	now := time.Now()
	if n := testing.AllocsPerRun(1000, func() {
		l, err := p.claim(t.Context(), want{})
		if err != nil {
			t.Fatal(err)
		}
		l.end(outcome{status: 200}, now)
	}); n > 1 {
		t.Errorf("%v allocations for a claim", n)
	}
}
