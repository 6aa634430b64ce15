package traffic

import (
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"davit/traffic/socket"
)

// counting is an edge that has counted.
type counting struct {
	*standIn
	report SignalReport
}

func (c counting) Signals() SignalReport { return c.report }

// admits serves an API on a socket of dir until the test ends.
func admits(t *testing.T, dir, name string, h http.Handler) {
	t.Helper()
	l, err := socket.Replace(t.Context(), filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(l) // it ends with the test
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
}

// TestWhatElderEdgesCountIsToldApart: an elder goes on to count what it ends, in a
// report of its own, whose Since tells it from others and from itself as a successor.
func TestWhatElderEdgesCountIsToldApart(t *testing.T) {
	dir := t.TempDir()
	began := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	counted := func(since time.Time, requests int64) SignalReport {
		return SignalReport{Since: since, Bounds: bounds[:], Replicas: []Signals{{Stack: "shop", Service: "web", Release: 7, Requests: requests, Abandoned: 1, Buckets: []int64{requests}}}}
	}
	elder, heir := counted(began, 100), counted(began.Add(time.Hour), 3)
	office := func(report SignalReport) http.Handler {
		return NewAdmin(AdminOptions{Edge: counting{&standIn{}, report}, Dir: dir, Program: "v1.0.0", Logger: discarded()}).Handler()
	}
	admits(t, dir, "elder-1.sock", office(elder))
	admits(t, dir, "elder-2.sock", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/versions" {
			reply(w, http.StatusOK, newVersions("v0.9.0", 1))
			return
		}
		refuse(w, &Refusal{Status: http.StatusNotFound, Message: "the edge has no such thing"}) // as one does that is older
	}))
	admits(t, dir, SocketName, office(heir))
	got, err := clientOf(t, dir).Signals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if heir.Elders = []SignalReport{elder}; !reflect.DeepEqual(got, heir) {
		t.Errorf("got  %+v\nwant %+v", got, heir)
	}
}

// TestWeightsOfReleasesAreObeyedAsTheyAreApplied: over the admin API, for what begins
// after the acknowledgement, and counted by release.
func TestWeightsOfReleasesAreObeyedAsTheyAreApplied(t *testing.T) {
	dir := t.TempDir()
	e, _ := runEdge(t, Options{Dir: dir})
	admits(t, dir, SocketName, NewAdmin(AdminOptions{Edge: e, Dir: dir, Program: "v1.0.0", Logger: discarded()}).Handler())
	client := clientOf(t, dir)
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Protocol: ProtocolHTTP}
	for n, release := range []int64{1, 1, 2} {
		b := backend(n + 1)
		b.Release, b.Address = release, telling(t).address
		web.Backends = append(web.Backends, b)
	}
	counted := func() map[int64]int64 {
		t.Helper()
		report, err := client.Signals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[int64]int64{}
		for _, s := range report.Replicas {
			out[s.Release] += s.Requests
		}
		return out
	}
	const many = 400
	asking := &http.Client{Transport: &http.Transport{}}
	defer asking.CloseIdleConnections()
	asked := func() map[int64]int64 {
		t.Helper()
		before, now := counted(), map[int64]int64{}
		for range many {
			resp, err := asking.Get("http://" + web.Address.String())
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("answered %d, %v", resp.StatusCode, err)
			}
		}
		eventually(t, "all are counted", func() bool {
			now = counted()
			return now[1]+now[2] == before[1]+before[2]+many
		})
		return map[int64]int64{1: now[1] - before[1], 2: now[2] - before[2]}
	}
	weights := func(generation int64, w map[int64]int) {
		t.Helper()
		web.Weights = w
		if _, err := client.Apply(t.Context(), tableOf(generation, web)); err != nil {
			t.Fatal(err)
		}
		if table, err := client.Table(t.Context()); err != nil || !reflect.DeepEqual(table.Ports[0].Weights, w) {
			t.Fatalf("%v, %v", table.Ports[0].Weights, err)
		}
	}
	weights(1, map[int64]int{1: 90, 2: 10})
	if got := asked(); got[2] < many/25 || got[2] > many/4 {
		t.Errorf("of weight 10 in 100: %v", got)
	}
	weights(2, map[int64]int{1: 0, 2: 100})
	if got := asked(); got[1] != 0 {
		t.Errorf("of weight 0: %v", got)
	}
	weights(3, map[int64]int{1: 100})
	if got := asked(); got[2] != 0 {
		t.Errorf("not named: %v", got)
	}
}
