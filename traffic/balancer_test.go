package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rival is a load balancer of the host's own, running, with a server on the upstream
// davit.shop.web.PORT.
type rival struct {
	Balancer
	address string
}

// rivals are the ways to start each of them. The port is that of the replicas.
var rivals = map[string]func(t *testing.T, port int) rival{"haproxy": startHAProxy, "nginx": startNginx}

func startHAProxy(t *testing.T, port int) rival {
	return startHAProxyWith(t, port, "balance leastconn")
}

// startHAProxyWith has a way to choose among servers in its backend.
func startHAProxyWith(t *testing.T, port int, balance string) rival {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	socket, config := filepath.Join(dir, "s"), filepath.Join(dir, "haproxy.cfg")
	write(t, config, fmt.Sprintf(`
global
    stats socket %s level admin
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    option redispatch
    retry-on conn-failure empty-response
frontend web
    bind %s
    default_backend davit.shop.web.%d
backend davit.shop.web.%d
    %s
`, socket, address, port, port, balance))
	start(t, address, "haproxy", "-f", config, "-db")
	h := &HAProxy{Socket: socket}
	eventually(t, "haproxy answers on its socket", func() bool {
		_, err := h.servers(t.Context())
		return err == nil
	})
	return rival{h, address}
}

func startNginx(t *testing.T, port int) rival {
	dir, address := t.TempDir(), freeAddress(t)
	n := &Nginx{File: filepath.Join(dir, "upstreams.conf"), PID: filepath.Join(dir, "pid")}
	config := filepath.Join(dir, "nginx.conf")
	call := []string{"nginx", "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", config}
	n.Test, n.Reload = append(call[:len(call):len(call)], "-t", "-q"), append(call[:len(call):len(call)], "-s", "reload")
	write(t, config, fmt.Sprintf(`
user root;
worker_processes 2;
pid %s;
error_log %s/error.log;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;
    include %s;
    server {
        listen %s;
        location / { proxy_pass http://davit.shop.web.%d; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }
}
`, n.PID, dir, dir, dir, dir, dir, dir, n.File, address, port))
	write(t, n.File, string(upstreamFile(Table{Ports: []Port{{Stack: "shop", Service: "web", Target: uint16(port)}}}, nil)))
	start(t, address, call[0], append(call[1:], "-g", "daemon off;")...)
	eventually(t, "nginx has written its process down", func() bool { // it listens before
		text, err := os.ReadFile(n.PID)
		return err == nil && len(text) > 0
	})
	return rival{n, address}
}

// start runs a program until the test ends, and returns when it listens.
func start(t *testing.T, address, name string, args ...string) {
	t.Helper()
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		name = path
	}
	command := exec.Command(name, args...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatalf("%v; scripts/ensure-balancers installs it", err)
	}
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		command.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	eventually(t, name+" listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return vacant(t).String()
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// shop is a table of web behind one port, on loopback addresses that share a port as
// containers do.
type shop struct {
	t     *testing.T
	port  int
	table Table
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, port: int(vacant(t).Port())}
	s.table = Table{Instance: "i", Ports: []Port{{Stack: "shop", Service: "web", Target: uint16(s.port)}}}
	return s
}

// replica serves as replica n, with its number as the answer, until it is stopped at
// once.
func (s *shop) replica(n int) (b Backend, stop func()) {
	s.t.Helper()
	address := fmt.Sprintf("127.0.1.%d:%d", n, s.port)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener) //nolint:errcheck // it ends when it is stopped
	}()
	stop = sync.OnceFunc(func() { server.Close(); <-done })
	s.t.Cleanup(stop)
	return Backend{Container: fmt.Sprintf("%064d", n), Started: time.Unix(int64(n), 0), Address: netip.MustParseAddrPort(address),
		Replica: fmt.Sprintf("web/%d", n), Release: int64(n)}, stop
}

// apply makes ends the replicas of web.
func (s *shop) apply(b Balancer, ends ...Backend) {
	s.t.Helper()
	s.table.Generation++
	s.table.Ports[0].Backends = ends
	if err := b.Apply(s.t.Context(), s.table); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) inFlight(b Balancer, e Backend) int64 {
	s.t.Helper()
	standing, err := b.Look(s.t.Context(), s.table)
	if err != nil {
		s.t.Fatal(err)
	}
	if !standing.Holds {
		s.t.Errorf("what was applied does not hold: %+v", standing)
	}
	return standing.InFlight[e.Container]
}

func drained(b Backend) Backend {
	b.Drain = &Drain{Since: time.Unix(1, 0), Timeout: time.Minute, Streams: time.Minute}
	return b
}

// crowd asks for / again and again, over kept and over new connections.
type crowd struct {
	answered, failed atomic.Int64
	first            atomic.Pointer[error]
	stop             context.CancelFunc
	done             sync.WaitGroup
}

func newCrowd(t *testing.T, address string) *crowd {
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{stop: cancel}
	for i := range 8 {
		c.done.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: testPatience}
			for ctx.Err() == nil {
				c.ask(ctx, client, "http://"+address+"/")
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

func (c *crowd) end() {
	c.stop()
	c.done.Wait()
}

func (c *crowd) ask(ctx context.Context, client *http.Client, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err == nil {
		var answer *http.Response
		if answer, err = client.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				err = errors.New(answer.Status)
			}
		}
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		c.failed.Add(1)
		c.first.CompareAndSwap(nil, &err)
	default:
		c.answered.Add(1)
	}
}

func TestALoadBalancerOfTheHostsOwnLosesNoRequestToAReplacement(t *testing.T) {
	for name, begin := range rivals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			r := begin(t, s.port)
			old, stop := s.replica(1)
			s.apply(r, old)
			c := newCrowd(t, r.address)
			for n := 2; n <= 6; n++ {
				before := c.answered.Load()
				eventually(t, "the crowd is served", func() bool { return c.answered.Load() > before+20 })
				next, stopNext := s.replica(n)
				s.apply(r, old, next)
				s.apply(r, drained(old), next)
				eventually(t, "the old replica is idle", func() bool { return s.inFlight(r, old) == 0 })
				stop()
				s.apply(r, next)
				old, stop = next, stopNext
			}
			c.end()
			if n := c.failed.Load(); n > 0 {
				t.Errorf("%d of %d requests failed: %v", n, n+c.answered.Load(), *c.first.Load())
			}
		})
	}
}

func TestALoadBalancerOfTheHostsOwnSharesByRelease(t *testing.T) {
	for name, begin := range rivals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			r := begin(t, s.port)
			one, _ := s.replica(1)
			two, _ := s.replica(2)
			other, _ := s.replica(3)
			other.Release = 2
			s.table.Ports[0].Weights = map[int64]int{1: 3, 2: 1}
			s.apply(r, one, two, other)
			count := map[string]int{}
			for range 400 {
				answer, err := http.Get("http://" + r.address)
				if err != nil {
					t.Fatal(err)
				}
				body := make([]byte, 8)
				n, _ := answer.Body.Read(body)
				answer.Body.Close()
				count[string(body[:n])]++
			}
			if got := count["1"] + count["2"]; got < 250 || got > 350 {
				t.Errorf("release 1 with 3 of 4 parts got %d of 400 requests: %v", got, count)
			}
		})
	}
}

func TestALoadBalancerIsLeftAsItIsByTheSameTable(t *testing.T) {
	s := newShop(t)
	one, _ := s.replica(1)
	r := startNginx(t, s.port)
	s.apply(r, one)
	n := r.Balancer.(*Nginx)
	before, err := n.workers()
	if err != nil {
		t.Fatal(err)
	}
	s.apply(r, one)
	after, err := n.workers()
	if err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("workers %v became %v (%v)", before, after, err)
	}
}

func TestNginxIsReloadedWhereNobodySawItReload(t *testing.T) {
	s := newShop(t)
	one, _ := s.replica(1)
	r := startNginx(t, s.port)
	n := r.Balancer.(*Nginx)
	s.table.Ports[0].Backends = []Backend{one}
	write(t, n.File, string(upstreamFile(s.table, nil))) // and killed
	s.apply(r, one)
	if answer, err := http.Get("http://" + r.address); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("answer = %v (%v)", answer, err)
	}
}

func TestNginxKeepsItsUpstreamsWhenItRefusesOthers(t *testing.T) {
	s := newShop(t)
	one, _ := s.replica(1)
	r := startNginx(t, s.port)
	s.apply(r, one)
	n := r.Balancer.(*Nginx)
	before, err := os.ReadFile(n.File)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(filepath.Dir(n.File), "nginx.conf"), "nonsense")
	two, _ := s.replica(2)
	s.table.Ports[0].Backends = []Backend{two}
	if err := n.Apply(t.Context(), s.table); err == nil || !strings.Contains(err.Error(), "emerg") {
		t.Errorf("error = %v", err)
	}
	if after, _ := os.ReadFile(n.File); string(after) != string(before) {
		t.Errorf("the file is\n%s", after)
	}
}

func TestHAProxyLeavesServersOfOthersAlone(t *testing.T) {
	s := newShop(t)
	r := startHAProxy(t, s.port)
	h := r.Balancer.(*HAProxy)
	backend := fmt.Sprintf("davit.shop.web.%d", s.port)
	if err := h.say(t.Context(), "add server %s/mine 127.0.0.1:9", backend); err != nil {
		t.Fatal(err)
	}
	one, _ := s.replica(1)
	s.apply(r, one)
	s.apply(r)
	s.table.Ports[0].Backends = []Backend{drained(one)}
	found, err := h.servers(t.Context())
	if err != nil || len(found[backend]) == 0 || found[backend][0].name != "mine" {
		t.Errorf("servers = %+v (%v)", found, err)
	}
}

func TestALoadBalancerThatIsNotThereIsSaidToBe(t *testing.T) {
	s := newShop(t)
	one, _ := s.replica(1)
	s.table.Ports[0].Backends = []Backend{one}
	for name, b := range map[string]Balancer{
		"haproxy": &HAProxy{Socket: filepath.Join(t.TempDir(), "s")},
		"nginx":   &Nginx{File: filepath.Join(t.TempDir(), "f"), PID: filepath.Join(t.TempDir(), "pid"), Test: []string{"true"}},
	} {
		if err := b.Apply(t.Context(), s.table); !errors.Is(err, ErrBalancerAway) {
			t.Errorf("%s: apply: %v", name, err)
		}
		if _, err := b.Look(t.Context(), s.table); !errors.Is(err, ErrBalancerAway) {
			t.Errorf("%s: look: %v", name, err)
		}
	}
}
