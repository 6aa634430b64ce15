package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func (s *shop) look(b Balancer) Standing {
	s.t.Helper()
	standing, err := b.Look(s.t.Context(), s.table)
	if err != nil {
		s.t.Fatal(err)
	}
	return standing
}

func TestWhatAHAProxyLostIsSeenAndToldAnew(t *testing.T) {
	s := newShop(t)
	r := startHAProxy(t, s.port)
	h := r.Balancer.(*HAProxy)
	one, _ := s.replica(1)
	two, _ := s.replica(2)
	s.apply(r, one, drained(two))
	backend := fmt.Sprintf("davit.shop.web.%d", s.port)
	server := backend + "/" + serverName("i", one)
	for what, commands := range map[string][]string{
		"a server is gone":           {"set server " + server + " state maint", "del server " + server},
		"a server is in maintenance": {"set server " + server + " state maint"},
		"a server only drains":       {"set server " + server + " state drain"},
		"a server has moved":         {"set server " + server + " addr 127.0.9.9 port 9"},
		"a server has no weight":     {"set weight " + server + " 1"},
		"a replica that is gone is still served": {
			"add server " + backend + "/" + serverPrefix("i") + "old 127.0.0.1:9", "set server " + backend + "/" + serverPrefix("i") + "old state ready"},
	} {
		for _, command := range commands {
			if err := h.say(t.Context(), "%s", command); err != nil {
				t.Fatal(err)
			}
		}
		if s.look(h).Holds {
			t.Errorf("%s, and that is not seen", what)
		}
		s.apply(h, one, drained(two))
		if !s.look(h).Holds {
			t.Errorf("%s, and it is not mended", what)
		}
	}
	if got := s.look(h).Backends; !slices.Contains(got, backend) {
		t.Errorf("backends = %q", got)
	}
}

func TestHAProxyServesNobodyAnyMoreForAServiceThatIsGone(t *testing.T) {
	s := newShop(t)
	r := startHAProxy(t, s.port)
	one, _ := s.replica(1)
	s.apply(r, one)
	s.table.Ports = nil
	if s.look(r).Holds {
		t.Error("that it serves a service without a route is not seen")
	}
	if err := r.Apply(t.Context(), s.table); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + r.address)
	if err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("answer = %v (%v)", answer, err)
	}
}

func TestHAProxyWithoutABackendForAReplicaIsToldOf(t *testing.T) {
	s := newShop(t)
	r := startHAProxy(t, s.port)
	one, _ := s.replica(1)
	s.table.Ports[0].Service, s.table.Ports[0].Backends = "api", []Backend{one}
	want := fmt.Sprintf("it has no backend davit.shop.api.%d", s.port)
	if err := r.Apply(t.Context(), s.table); err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	if s.look(r).Holds {
		t.Error("it is said to hold")
	}
	s.table.Ports[0].Backends = []Backend{drained(one)}
	if err := r.Apply(t.Context(), s.table); err != nil || !s.look(r).Holds {
		t.Errorf("nobody is to be served there: %v", err)
	}
}

// slow answers only when it is let go.
func (s *shop) slow(n int) (b Backend, asked, let chan struct{}) {
	asked, let = make(chan struct{}), make(chan struct{})
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.1.%d:%d", n, s.port))
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-let
		io.WriteString(w, "done")
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener) //nolint:errcheck // it ends with the test
	}()
	s.t.Cleanup(func() { server.Close(); <-done })
	return Backend{Container: fmt.Sprintf("%064d", n), Started: time.Unix(int64(n), 0), Address: netip.MustParseAddrPort(listener.Addr().String()), Release: 1}, asked, let
}

func TestWhatIsInFlightEndsAfterALoadBalancerWasToldToDrain(t *testing.T) {
	for name, begin := range rivals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			r := begin(t, s.port)
			old, asked, let := s.slow(1)
			s.apply(r, old)
			ended := make(chan error, 1)
			go func() {
				answer, err := http.Get("http://" + r.address)
				if err == nil {
					var text []byte
					text, err = io.ReadAll(answer.Body)
					answer.Body.Close()
					if string(text) != "done" {
						err = errors.Join(err, errors.New(answer.Status+": "+string(text)))
					}
				}
				ended <- err
			}()
			<-asked
			next, _ := s.replica(2)
			s.apply(r, drained(old), next)
			if n := s.inFlight(r, old); n < 1 {
				t.Errorf("%d in flight, while one is", n)
			}
			close(let)
			if err := <-ended; err != nil {
				t.Errorf("the request that had begun: %v", err)
			}
			eventually(t, "nothing is in flight", func() bool { return s.inFlight(r, old) == 0 })
		})
	}
}

func TestNginxKeepsAnUpstreamWhoseServiceIsGone(t *testing.T) {
	s := newShop(t)
	r := startNginx(t, s.port)
	one, _ := s.replica(1)
	s.apply(r, one)
	s.table.Ports = nil
	if err := r.Apply(t.Context(), s.table); err != nil {
		t.Fatalf("its own configuration passes requests there: %v", err)
	}
	answer, err := http.Get("http://" + r.address)
	if err != nil || answer.StatusCode != http.StatusBadGateway {
		t.Errorf("answer = %v (%v)", answer, err)
	}
	if !s.look(r).Holds {
		t.Error("it does not hold")
	}
}

func TestAFileThatNginxNeverTookIsTakenAwayAgain(t *testing.T) {
	s := newShop(t)
	one, _ := s.replica(1)
	s.table.Ports[0].Backends = []Backend{one}
	n := &Nginx{File: filepath.Join(t.TempDir(), "f"), Test: []string{"sh", "-c", "echo 'nginx: [emerg] no'; exit 1"}}
	if err := n.Apply(t.Context(), s.table); err == nil || !strings.Contains(err.Error(), "[emerg] no") {
		t.Errorf("error = %v", err)
	}
	if _, err := os.Stat(n.File); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

// fakeBalancer remembers the table that it took.
type fakeBalancer struct {
	Balancer
	took atomic.Pointer[Table]
	err  error
}

func (f *fakeBalancer) Apply(_ context.Context, t Table) error {
	if f.err == nil {
		f.took.Store(&t)
	}
	return f.err
}

func TestATableIsRememberedOnceABalancerTookIt(t *testing.T) {
	f := &fakeBalancer{}
	data := t.TempDir()
	s := NewSteered(data, "front", "haproxy", f)
	one := backend(1)
	table := Table{Instance: "i", Generation: 3, Ports: []Port{{Stack: "shop", Service: "web", Target: 80, Backends: []Backend{one}}}}
	if err := s.Apply(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	f.err = errors.New("no")
	table.Generation = 4
	if err := s.Apply(t.Context(), table); err == nil {
		t.Error("a refusal was swallowed")
	}
	got, err := NewSteered(data, "front", "haproxy", f).Table()
	if err != nil || got.Generation != 3 || len(got.Ports) != 1 || got.Ports[0].Backends[0].identity() != one.identity() {
		t.Errorf("table = %+v (%v)", got, err)
	}
	write(t, filepath.Join(data, "balancers", "front.json"), "half a ta")
	if got, err := s.Table(); err != nil || got.Generation != 0 {
		t.Errorf("of a damaged file: %+v (%v)", got, err)
	}
}

// sights is a lookout that sees what it is told to.
type sights struct {
	heard func(error)
	ready chan struct{}
	seen  atomic.Pointer[[]Sighting]
	looks atomic.Int64
}

func (s *sights) Watch(ctx context.Context, heard func(error), _ func(string)) error {
	s.heard = heard
	close(s.ready)
	<-ctx.Done()
	return ctx.Err()
}

func (s *sights) Look(context.Context, []string) ([]Sighting, error) {
	s.looks.Add(1)
	if seen := s.seen.Load(); seen != nil {
		return *seen, nil
	}
	return nil, errors.New("the engine does not answer")
}

func TestALoadBalancerHandsNothingToAnAddressThatNobodyVouchesFor(t *testing.T) {
	f := &fakeBalancer{}
	steered := NewSteered(t.TempDir(), "front", "haproxy", f)
	one := backend(1)
	// One that drains is about to end, and gets nothing new anyway.
	table := Table{Instance: "i", Generation: 1, Ports: []Port{{Stack: "shop", Service: "web", Target: 80, Backends: []Backend{one, drained(backend(2))}}}}
	if err := steered.Apply(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	sight := func(b Backend) *[]Sighting {
		return &[]Sighting{{Container: b.Container, Started: b.Started, Addresses: []netip.Addr{b.Address.Addr()}}}
	}
	serves := func() bool { return f.took.Load().Ports[0].Backends[0].Drain == nil }
	out := &sights{ready: make(chan struct{})}
	out.seen.Store(sight(one))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	f.Balancer = &HAProxy{Socket: filepath.Join(t.TempDir(), "none")} // for looks
	g := &Guard{Balancers: []*Steered{steered}, Lookout: out, Lost: func() {}, Log: discarded()}
	go func() { defer close(ended); g.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-out.ready

	out.seen.Store(nil)
	out.heard(errors.New("the stream ended"))
	eventually(t, "nothing goes to an address while the engine is away", func() bool { return !serves() })
	moved := one
	moved.Address = netip.AddrPortFrom(moved.Address.Addr().Next(), moved.Address.Port())
	out.seen.Store(sight(moved))
	out.heard(nil)
	looks := out.looks.Load()
	eventually(t, "the guard looks again and again", func() bool { return out.looks.Load() > looks+1 })
	if serves() {
		t.Error("a container that has another address now was confirmed")
	}
	out.seen.Store(sight(one))
	eventually(t, "what was confirmed serves again", serves)
}

func TestALoadBalancerIsLookedAtBeforeItIsSteered(t *testing.T) {
	s := newShop(t)
	h := startHAProxy(t, s.port).Balancer.(*HAProxy)
	if backends, err := h.Check(t.Context()); err != nil || !slices.Contains(backends, fmt.Sprintf("davit.shop.web.%d", s.port)) {
		t.Errorf("haproxy: %q (%v)", backends, err)
	}
	n := startNginx(t, s.port).Balancer.(*Nginx)
	if err := n.Check(t.Context()); err != nil {
		t.Errorf("nginx: %v", err)
	}
}

func TestAHAProxyThatLetsDavitOnlyLookIsFoundOut(t *testing.T) {
	s := newShop(t)
	dir := t.TempDir()
	h := &HAProxy{Socket: filepath.Join(dir, "s")}
	address := freeAddress(t)
	write(t, filepath.Join(dir, "cfg"), fmt.Sprintf(`
global
    stats socket %s level operator
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    bind %s
    default_backend davit.shop.web.%d
backend davit.shop.web.%d
    balance source
    hash-type consistent
`, h.Socket, address, s.port, s.port))
	start(t, address, "haproxy", "-f", filepath.Join(dir, "cfg"), "-db")
	eventually(t, "haproxy lets davit look", func() bool { _, err := h.Look(t.Context(), s.table); return err == nil })
	if _, err := h.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "its socket lets davit only look: ") {
		t.Errorf("error = %v", err)
	}
}

func TestHAProxyTiesClientsToServersByItsOwnConfiguration(t *testing.T) {
	s := newShop(t)
	r := startHAProxyWith(t, s.port, "balance source\n    hash-type consistent")
	one, _ := s.replica(1)
	two, _ := s.replica(2)
	s.apply(r, one, two)
	first := ""
	for range 20 {
		answer, err := http.Get("http://" + r.address)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if first == "" {
			first = string(text)
		}
		if err != nil || string(text) != first {
			t.Fatalf("answered by %s, and then by %s (%v)", first, text, err)
		}
	}
}

func TestARestartedHAProxyIsToldAgainWhatItServes(t *testing.T) {
	s := newShop(t)
	r := startHAProxy(t, s.port)
	one, _ := s.replica(1)
	steered := NewSteered(t.TempDir(), "front", "haproxy", r.Balancer)
	s.table.Generation, s.table.Ports[0].Backends = 1, []Backend{one}
	if err := steered.Apply(t.Context(), s.table); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	out := &sights{ready: make(chan struct{})}
	out.seen.Store(&[]Sighting{{Container: one.Container, Started: one.Started, Addresses: []netip.Addr{one.Address.Addr()}}})
	g := &Guard{Balancers: []*Steered{steered}, Lookout: out, Lost: func() {}, Log: discarded()}
	go func() { defer close(ended); g.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	// As a restart does it.
	h := r.Balancer.(*HAProxy)
	server := fmt.Sprintf("davit.shop.web.%d/%s", s.port, serverName("i", one))
	for _, command := range []string{"set server " + server + " state maint", "del server " + server} {
		if err := h.say(t.Context(), "%s", command); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "requests are answered again", func() bool {
		answer, err := http.Get("http://" + r.address)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}
