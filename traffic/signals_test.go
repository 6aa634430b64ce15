package traffic

import (
	"slices"
	"testing"
	"time"
)

func TestSignalsCountWhatAReplicaWasGivenAndHowItAnswered(t *testing.T) {
	var s signals
	s.add(leaseRequest, outcome{status: 200}, time.Millisecond) // a bound belongs to its bucket
	s.add(leaseRequest, outcome{status: 404}, 2*time.Millisecond)
	s.add(leaseRequest, outcome{status: 500}, time.Hour)
	s.add(leaseRequest, outcome{undialled: true}, 0)
	s.add(leaseStream, outcome{broken: true}, 40*time.Minute)
	got := s.report(origin{"shop", "web", 7})
	if got.Requests != 5 || got.Errors != 3 || got.Undialled != 1 {
		t.Errorf("%+v", got)
	}
	if want := time.Hour + 3*time.Millisecond; got.Took != want {
		t.Errorf("took %s, not %s: what a stream lasted is no latency", got.Took, want)
	}
	want := make([]int64, len(bounds)+1)
	want[0], want[3], want[len(bounds)] = 2, 1, 1
	if !slices.Equal(got.Buckets, want) {
		t.Errorf("buckets %v, not %v", got.Buckets, want)
	}
}

func TestWhatReplicasCountedStaysWithTheirReleaseOnceTheyAreGone(t *testing.T) {
	e, _ := runEdge(t, Options{})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{backend(1), backend(2)}}
	apply(t, e, tableOf(1, web))
	for range 10 {
		l, err := poolOf(t, e, web).claim(t.Context(), want{})
		if err != nil {
			t.Fatal(err)
		}
		l.end(outcome{status: 503}, time.Now())
	}
	sum := func() (requests, failures int64, rows []string) {
		for _, s := range e.Signals().Replicas {
			if s.Stack != "shop" || s.Service != "web" || s.Release != 1 {
				t.Errorf("whose is %+v?", s)
			}
			requests, failures, rows = requests+s.Requests, failures+s.Errors, append(rows, s.Replica)
		}
		return requests, failures, rows
	}
	check := func(generation int64, want ...string) {
		t.Helper()
		apply(t, e, tableOf(generation, web))
		if requests, failures, rows := sum(); requests != 10 || failures != 10 || !slices.Equal(rows, want) {
			t.Errorf("%d requests, %d failures of %q", requests, failures, rows)
		}
	}
	check(2, "web/1", "web/2")
	web.Backends = web.Backends[1:]
	check(3, "", "web/2")
	web.Backends = nil
	check(4, "")
	web.Backends = []Backend{backend(1)} // back, as after a rollback
	check(5, "", "web/1")
	apply(t, e, tableOf(6))
	if _, _, rows := sum(); len(rows) != 0 {
		t.Errorf("the service is gone, and there is %q", rows)
	}
}
