package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/analysis"
	"davit/compose"
	"davit/reconcile"
	"davit/traffic"
)

// edgeInside is an edge in this process, with two releases of a service behind one of
// its ports.
type edgeInside struct {
	*testing.T
	client *traffic.Client
	port   traffic.Port
	// generation is that of the last table.
	generation int64
}

// newEdgeInside has new answer what is given to release 7, half of everything. Release 6
// always answers well.
func newEdgeInside(t *testing.T, new http.HandlerFunc) *edgeInside {
	t.Helper()
	data, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	e, err := traffic.New(traffic.Options{Dir: traffic.Dir(data), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := traffic.Listen(t.Context(), traffic.Dir(data))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	run := func(what string, f func() error) {
		serving.Go(func() {
			if err := f(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	run("the edge", func() error { return e.Run(ctx) })
	run("its socket", func() error {
		return traffic.NewAdmin(traffic.AdminOptions{Edge: e, Dir: traffic.Dir(data), Program: "v1.0.0", Logger: quiet}).Serve(ctx, listener)
	})
	b := &edgeInside{T: t, client: traffic.NewClient(traffic.Socket(data))}
	t.Cleanup(func() {
		b.client.Close()
		cancel()
		serving.Wait()
	})
	b.port = traffic.Port{Address: unused(t), Stack: "shop", Service: "web", Protocol: traffic.ProtocolHTTP, Weights: map[int64]int{6: 50, 7: 50}}
	for release, answers := range map[int64]http.HandlerFunc{6: func(http.ResponseWriter, *http.Request) {}, 7: new} {
		server := httptest.NewServer(answers)
		t.Cleanup(server.Close)
		b.port.Backends = append(b.port.Backends, traffic.Backend{Container: fmt.Sprintf("%064d", release), Started: time.Unix(release, 0),
			Address: netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://")), Replica: fmt.Sprintf("web/%d", release), Release: release, Seen: time.Now()})
	}
	b.apply()
	return b
}

func unused(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func (b *edgeInside) apply() {
	b.Helper()
	b.generation++
	if _, err := b.client.Apply(b.Context(), traffic.Table{Instance: "here", Generation: b.generation, Ports: []traffic.Port{b.port}}); err != nil {
		b.Fatal(err)
	}
}

// load asks the port for as long as f runs.
func (b *edgeInside) load(f func()) {
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				default:
				}
				if resp, err := client.Get("http://" + b.port.Address.String()); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				time.Sleep(time.Millisecond) // the machine is shared
			}
		})
	}
	f()
	close(done)
	clients.Wait()
}

// twoContainers are what the engine has of both releases.
type twoContainers struct{}

func (twoContainers) Inspect(_ context.Context, id string) (reconcile.Container, error) {
	return reconcile.Container{ID: id, State: reconcile.Running, Release: map[bool]int64{true: 7, false: 6}[strings.HasSuffix(id, "7")]}, nil
}

func (twoContainers) Usage(context.Context, string) (reconcile.Usage, error) {
	return reconcile.Usage{}, nil
}

func (b *edgeInside) analyse() (f reconcile.Finding) {
	b.Helper()
	spec := compose.Analysis{Interval: 100 * time.Millisecond, Patience: 20 * time.Second, Metrics: compose.DefaultMetrics()}
	limit := 2.0
	spec.Metrics = append(spec.Metrics, compose.Metric{Kind: compose.MetricP99, Name: "p99", Max: &limit, MinSamples: 100})
	analyst := analysis.Analyst{Edge: counters{b.client}, Engine: twoContainers{}, Queries: analysis.NewPrometheus(nil)}
	b.load(func() {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		err := analyst.Analyse(ctx, reconcile.Comparison{
			Stack: "shop", Service: "web", New: []string{fmt.Sprintf("%064d", 7)}, Stable: []string{fmt.Sprintf("%064d", 6)}, Analysis: spec, Hold: time.Second,
		}, func(now reconcile.Finding) {
			if f = now; f.Outcome != reconcile.AnalysisRuns {
				cancel()
			}
		})
		if err != nil && ctx.Err() == nil {
			b.Error(err)
		}
	})
	return f
}

// TestAnAnalysisByTheCountersOfARealEdge: over its socket, under load, without Prometheus.
func TestAnAnalysisByTheCountersOfARealEdge(t *testing.T) {
	t.Run("a good release passes", func(t *testing.T) {
		f := newEdgeInside(t, func(http.ResponseWriter, *http.Request) {}).analyse()
		if f.Outcome != reconcile.AnalysisPassed || !strings.HasPrefix(f.Reason, "error rate 0 % of ") {
			t.Errorf("%s: %s", f.Outcome, f.Reason)
		}
	})
	t.Run("a fifth of errors fails", func(t *testing.T) {
		var mu sync.Mutex
		n := 0
		f := newEdgeInside(t, func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%5 == 0 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}).analyse()
		if f.Outcome != reconcile.AnalysisFailed || !strings.HasPrefix(f.Reason, "error rate ") || !strings.Contains(f.Reason, " of the stable release, limit ") {
			t.Errorf("%s: %s", f.Outcome, f.Reason)
		}
	})
	t.Run("nothing but errors fails, although the edge passes the replica over", func(t *testing.T) {
		f := newEdgeInside(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).analyse()
		if f.Outcome != reconcile.AnalysisFailed || !strings.HasPrefix(f.Reason, "error rate 100 %") {
			t.Errorf("%s: %s", f.Outcome, f.Reason)
		}
	})
}

// TestWhatAReleaseCountedStaysItsOwn: also of replicas that are gone, and of another edge
// that hands over.
func TestWhatAReleaseCountedStaysItsOwn(t *testing.T) {
	since := time.Unix(100, 0)
	row := func(service string, release, requests int64) traffic.Signals {
		return traffic.Signals{Stack: "shop", Service: service, Release: release, Requests: requests, Errors: 1, Abandoned: 2, Buckets: []int64{requests, 1}}
	}
	got := edgeCounts(traffic.SignalReport{Since: since, Bounds: []time.Duration{time.Second}, Replicas: []traffic.Signals{
		row("web", 5, 1), row("web", 6, 10), row("web", 7, 100), row("web", 7, 1000), row("web", 8, 10000), row("db", 7, 5),
	}}, "shop", "web", []int64{7, 8})
	if !got.Since.Equal(since) || got.New.Requests != 11100 || got.New.Errors != 3 || got.New.Abandoned != 6 || got.New.Buckets[0] != 11100 || got.New.Buckets[1] != 3 {
		t.Errorf("new: %+v", got)
	}
	if got.Stable.Requests != 11 || got.Stable.Errors != 2 || got.Stable.Buckets[0] != 11 {
		t.Errorf("stable: %+v", got)
	}
	if got := edgeCounts(traffic.SignalReport{}, "other", "web", []int64{7}); got.New.Requests+got.Stable.Requests != 0 {
		t.Errorf("of somebody else: %+v", got)
	}
}
