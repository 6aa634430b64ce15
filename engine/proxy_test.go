package engine_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/client"
)

// recorder is a proxy in front of the real engine that keeps what is asked of it.
type recorder struct {
	host string
	mu   sync.Mutex
	asks []string
	// before may answer a request itself.
	before func(http.ResponseWriter, *http.Request) bool
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	engine := toDocker()
	r.host = listen(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.asks = append(r.asks, q.Method+" "+path(q))
		before := r.before
		r.mu.Unlock()
		if before == nil || !before(w, q) {
			engine.ServeHTTP(w, q)
		}
	}))
	return r
}

// path is the request's path without the API version.
func path(q *http.Request) string {
	p := strings.TrimPrefix(q.URL.Path, "/")
	if version, rest, ok := strings.Cut(p, "/"); ok && strings.HasPrefix(version, "v1.") {
		p = rest
	}
	return p
}

// take returns the requests since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asks := r.asks
	r.asks = nil
	return asks
}

func (r *recorder) intercept(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

// listen serves h on a unix socket and returns its address.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return "unix://" + path
}

// forward carries a request out on the real engine and drops the reply.
func forward(t *testing.T, q *http.Request) {
	t.Helper()
	w := httptest.NewRecorder()
	toDocker().ServeHTTP(w, q)
	if w.Code >= 300 {
		t.Errorf("%s %s: %d %s", q.Method, q.URL.Path, w.Code, w.Body)
	}
}

func toDocker() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: "docker"}) },
		FlushInterval: -1,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(client.DefaultDockerHost, "unix://"))
		}},
	}
}
