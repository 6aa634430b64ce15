package analysis

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnswersOfARealPrometheus: it scrapes an exporter in this process and is asked what
// analyses ask. scripts/ensure-balancers installs it.
func TestAnswersOfARealPrometheus(t *testing.T) {
	p := asking(t, "http://"+prometheus(t), "")
	ask := func(query string) Answer {
		t.Helper()
		return p.Ask(t.Context(), "main", query)
	}
	// A rate takes two scrapes.
	until(t, func() bool { return ask(`rate(shop_requests_total{release="7"}[1m])`).Value > 0 })
	if a := ask(`sum(rate(shop_errors_total{release=~"7|8"}[1m])) / sum(rate(shop_requests_total{release=~"7|8"}[1m]))`); a.Err != nil || a.None != "" || a.Value < 0.19 || a.Value > 0.21 {
		t.Errorf("share of errors: %+v", a)
	}
	if a := ask("1 + 2"); a.Err != nil || a.Value != 3 {
		t.Errorf("a scalar: %+v", a)
	}
	if a := ask("vector(0) / vector(0)"); a.Err != nil || a.Value == a.Value {
		t.Errorf("0/0: %+v", a)
	}
	if a := ask(`shop_requests_total{release="9"}`); a.Err != nil || a.None == "" {
		t.Errorf("what is not there: %+v", a)
	}
	fails(t, ask("shop_requests_total"), "the query has 2 results where one is needed")
	fails(t, ask("shop_requests_total[1m]"), "a matrix where one number is needed")
	fails(t, ask("sum("), "it answered 400: bad_data: invalid parameter \"query\"")
}

func until(t *testing.T, f func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("waited in vain")
		}
	}
}

// prometheus is the address of a server that scrapes, five times a second, two releases
// of which each tenth request more is an error than the one before.
func prometheus(t *testing.T) string {
	t.Helper()
	var scrapes atomic.Int64
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		for _, release := range []int{7, 8} {
			fmt.Fprintf(w, "shop_requests_total{release=\"%d\"} %d\nshop_errors_total{release=\"%d\"} %d\n", release, 100*n, release, 20*n)
		}
	}))
	t.Cleanup(exporter.Close)
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['" + strings.TrimPrefix(exporter.URL, "http://") + "']}]}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // it opens its port itself; should somebody else get it first, the test says so
	var log bytes.Buffer
	command := exec.CommandContext(t.Context(), "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	command.Dir, command.Stdout, command.Stderr = dir, &log, &log
	if err := command.Start(); err != nil {
		t.Fatalf("%v: scripts/ensure-balancers prometheus installs it", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		command.Wait() // what it says to being killed is no matter
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("prometheus:\n%s", log.String())
		}
	})
	until(t, func() bool {
		select {
		case <-ended:
			t.Fatalf("prometheus ended:\n%s", log.String())
		default:
		}
		resp, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return address
}
