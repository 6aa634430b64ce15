package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/compose"
)

// patience is far more than an answer of this host takes, haste enough for one that
// never comes.
const (
	patience = 30 * time.Second
	haste    = 300 * time.Millisecond
)

var loopback = netip.MustParseAddr("127.0.0.1")

// look makes one look at a listener of this host.
func look(t *testing.T, p compose.Probe) Answer {
	t.Helper()
	if p.Timeout == 0 {
		p.Timeout = patience
	}
	a, err := Dialer{}.Look(t.Context(), &p, loopback)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(a.Output, "\n\r\x00\x1b") || len(a.Output) > maxLine+len("…") {
		t.Errorf("output is %q", a.Output)
	}
	return a
}

// raw serves every connection with a function of the test's.
func raw(t *testing.T, serve func(net.Conn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); group.Wait() })
	return portOf(l.Addr())
}

// asked is raw for what answers.
func asked(t *testing.T, serve func(net.Conn)) uint16 {
	t.Helper()
	return raw(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			serve(c)
		}
	})
}

func portOf(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// served is an HTTP server's port.
func served(t *testing.T, h http.HandlerFunc) uint16 {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return portOf(s.Listener.Addr())
}

// unused is a port where nobody listens.
func unused(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l.Addr())
}

// holdOpen reads until the other end is gone.
func holdOpen(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func web(port uint16) *compose.HTTPProbe {
	return &compose.HTTPProbe{Port: port, Path: "/ready?deep=1", Low: 200, High: 399}
}

func TestHTTPAnswersAreJudgedByTheirStatus(t *testing.T) {
	for _, c := range []struct {
		status    int
		low, high int
		want      bool
	}{
		{200, 200, 399, true}, {204, 200, 399, true}, {302, 200, 399, true}, {399, 200, 399, true}, {400, 200, 399, false}, {503, 200, 399, false},
		{200, 200, 299, true}, {302, 200, 299, false}, {204, 204, 204, true}, {200, 204, 204, false}, {503, 500, 599, true},
	} {
		port := served(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(c.status)
			if c.status != http.StatusNoContent {
				fmt.Fprint(w, "database\nis away\x1b[31m")
			}
		})
		p := web(port)
		p.Low, p.High = c.low, c.high
		a := look(t, compose.Probe{HTTP: p})
		if a.OK != c.want {
			t.Errorf("%d of %d-%d: %+v", c.status, c.low, c.high, a)
		}
		if !a.OK && c.status == 503 && a.Output != "answered 503 Service Unavailable: database is away [31m" {
			t.Errorf("output is %q", a.Output)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := served(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	port := served(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprintf("http://127.0.0.1:%d/", elsewhere), http.StatusFound)
	})
	look(t, compose.Probe{HTTP: web(port)})
}

func TestNoProxyOfTheEnvironmentIsUsed(t *testing.T) {
	if transport(t.Context()).Proxy != nil {
		t.Error("there is a proxy") // the environment's is never used for loopback, so that only this tells
	}
}

func TestARequestIsAsItIsDeclared(t *testing.T) {
	port := served(t, func(w http.ResponseWriter, r *http.Request) {
		got := fmt.Sprint(r.Method, r.RequestURI, r.Host, r.Header.Get("X-Key"), r.Header.Get("User-Agent"), r.Header.Get("Accept-Encoding"), r.Close)
		if want := fmt.Sprint("GET", "//ready?deep=1", "shop.example", "k", "mine", "", true); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	p := web(port)
	p.Path, p.Host, p.Headers = "//ready?deep=1", "shop.example", map[string]string{"x-key": "k", "user-agent": "mine"}
	if a := look(t, compose.Probe{HTTP: p}); !a.OK {
		t.Errorf("%+v", a)
	}
}

func TestWhatIsNoHTTPFails(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"hangs":            {holdOpen, "no answer within 300ms"},
		"hangs up":         {func(net.Conn) {}, "EOF"},
		"talks nonsense":   {func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9\r\n\x00\x01\r\n\r\n"); holdOpen(c) }, "malformed"},
		"never ends head":  {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"); endless(c, "X-Pad: 0123456789\r\n") }, "longer than"},
		"informs for ever": {func(c net.Conn) { endless(c, "HTTP/1.1 103 Early Hints\r\n\r\n") }, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := patience
			if name == "hangs" {
				timeout = haste
			}
			a := look(t, compose.Probe{HTTP: web(asked(t, c.serve)), Timeout: timeout})
			if a.OK || !strings.Contains(a.Output, c.want) {
				t.Errorf("%+v, want %q", a, c.want)
			}
		})
	}
}

// endless writes until the other end is gone.
func endless(c net.Conn, text string) {
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

func TestWhatSpeaksFirstIsTold(t *testing.T) {
	port := raw(t, func(c net.Conn) { fmt.Fprint(c, "220 mail.example ESMTP\r\n"); holdOpen(c) })
	for range 50 { // whichever comes first, the greeting or the question
		if a := look(t, compose.Probe{HTTP: web(port)}); a.OK || !strings.Contains(a.Output, `malformed HTTP status code "mail.example"`) {
			t.Fatalf("%+v", a)
		}
	}
}

func TestABadAnswersBodyIsBounded(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"without an end":  func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 500 Oh\r\n\r\n"); endless(c, "no database ") },
		"that hangs":      func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 500 Oh\r\n\r\nno database"); holdOpen(c) },
		"that breaks off": func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\nno database") },
	} {
		a := look(t, compose.Probe{HTTP: web(asked(t, serve)), Timeout: 3 * time.Second})
		if a.OK || !strings.HasPrefix(a.Output, "answered 500 Oh: no database") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAGoodAnswersBodyIsNotWaitedFor(t *testing.T) {
	port := asked(t, func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n"); holdOpen(c) })
	if a := look(t, compose.Probe{HTTP: web(port)}); !a.OK {
		t.Errorf("%+v", a)
	}
}

func TestATCPProbeWantsAConnection(t *testing.T) {
	if a := look(t, compose.Probe{TCP: raw(t, holdOpen)}); !a.OK {
		t.Errorf("%+v", a)
	}
	if a := look(t, compose.Probe{TCP: unused(t)}); a.OK || a.Output != "connection refused" {
		t.Errorf("%+v", a)
	}
}

func TestARefusedConnectionIsNamedWithoutItsAddress(t *testing.T) {
	port := unused(t)
	for _, p := range []compose.Probe{{HTTP: web(port)}, {GRPC: &compose.GRPCProbe{Port: port}}} {
		if a := look(t, p); a.OK || a.Output != "connection refused" {
			t.Errorf("%s: %+v", &p, a)
		}
	}
}

func TestALookThatIsGivenUpSaysNothing(t *testing.T) {
	port := raw(t, holdOpen)
	for _, p := range []compose.Probe{{HTTP: web(port)}, {GRPC: &compose.GRPCProbe{Port: port}}} {
		ctx, cancel := context.WithTimeout(t.Context(), haste)
		p.Timeout = patience
		a, err := Dialer{}.Look(ctx, &p, loopback)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || a.OK {
			t.Errorf("%s: %+v, %v", &p, a, err)
		}
	}
}

func TestACommandIsNotForADialer(t *testing.T) {
	_, err := Dialer{}.Look(t.Context(), &compose.Probe{Exec: []string{"/app"}, Timeout: patience}, loopback)
	if err == nil {
		t.Error("no error")
	}
}

func FuzzLinesArePrintable(f *testing.F) {
	f.Add("a\nb\x00\xff\u0085" + strings.Repeat("ü", 400))
	f.Fuzz(func(t *testing.T, text string) {
		got := Line(text)
		if len(got) > maxLine+len("…") || strings.ToValidUTF8(got, "") != got || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
