package probe

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"davit/compose"
)

// health serves gRPC over HTTP/2 without TLS.
func health(t *testing.T, h http.HandlerFunc) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-ended })
	return portOf(l.Addr())
}

// answering is a health server's handler: a body, and the call's status after it.
func answering(status string, body ...byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc+proto")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(body)
		w.Header().Set("Grpc-Status", status)
	}
}

func TestGRPCHealth(t *testing.T) {
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string // "" for a good answer
	}{
		"serving":                      {answering("0", framed([]byte{8, 1})...), ""},
		"serving, with a field more":   {answering("0", framed([]byte{0x12, 2, 'h', 'i', 8, 1, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8})...), ""},
		"not serving":                  {answering("0", framed([]byte{8, 2})...), "it is NOT_SERVING"},
		"unknown":                      {answering("0", framed(nil)...), "it is UNKNOWN"},
		"a service that is not known":  {answering("0", framed([]byte{8, 3})...), "it is SERVICE_UNKNOWN"},
		"a health of a later version":  {answering("0", framed([]byte{8, 200, 1})...), "it is of a health 200 that nobody knows"},
		"no message":                   {answering("0"), "the answer is not one of grpc.health.v1"},
		"a length of another message":  {answering("0", 0, 0, 0, 0, 9, 8, 1), "the answer is not one of grpc.health.v1"},
		"a compressed message":         {answering("0", 1, 0, 0, 0, 2, 8, 1), "the answer is not one of grpc.health.v1"},
		"garbage":                      {answering("0", framed([]byte{0xff, 0xff})...), "the answer is not one of grpc.health.v1"},
		"a field longer than the rest": {answering("0", framed([]byte{0x12, 200, 8, 1})...), "the answer is not one of grpc.health.v1"},
		"no status":                    {answering(""), "the answer is not one of grpc.health.v1: it has no status"},
		"an error":                     {answering("14"), "the call failed with status 14"},
		"no end":                       {answering("0", bytes.Repeat([]byte{0}, 2*maxMessage)...), "the answer is not one of grpc.health.v1: it has no end"},
		"another protocol":             {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "the answer is not one of grpc.health.v1: 200 OK"},
		"a missing page":               {http.NotFound, "the answer is not one of grpc.health.v1: 404 Not Found"},
		"a service nobody knows": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "unknown service")
		}, "the server does not know this service: unknown service"},
		"a server without health": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "12")
		}, "the server does not implement grpc.health.v1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := look(t, compose.Probe{GRPC: &compose.GRPCProbe{Port: health(t, c.serve)}})
			if a.OK != (c.want == "") || !a.OK && a.Output != c.want {
				t.Errorf("%+v, want %q", a, c.want)
			}
		})
	}
}

func TestTheServiceAskedForIsNamed(t *testing.T) {
	for service, want := range map[string]string{"": "\x00\x00\x00\x00\x00", "shop.Cart": "\x00\x00\x00\x00\x0b\x0a\x09shop.Cart"} {
		port := health(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			got := fmt.Sprint(r.Method, r.Proto, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Te"), string(body), err)
			if want := fmt.Sprint("POST", "HTTP/2.0", "/grpc.health.v1.Health/Check", "application/grpc", "trailers", want, nil); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			answering("0", framed([]byte{8, 1})...)(w, r)
		})
		if a := look(t, compose.Probe{GRPC: &compose.GRPCProbe{Port: port, Service: service}}); !a.OK {
			t.Errorf("%+v", a)
		}
	}
}

func TestWhatIsNoGRPCFails(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"hangs":          holdOpen,
		"hangs up":       func(net.Conn) {},
		"talks nonsense": func(c net.Conn) { endless(c, "\xde\xad\xbe\xef") },
		"speaks HTTP/1":  func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"); holdOpen(c) },
	} {
		t.Run(name, func(t *testing.T) {
			a := look(t, compose.Probe{GRPC: &compose.GRPCProbe{Port: raw(t, serve)}, Timeout: 2 * haste})
			if a.OK || a.Output == "" || name == "hangs" && !strings.HasPrefix(a.Output, "no answer within") {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestAHealthAnswerThatHangsHalfwayFails(t *testing.T) {
	port := health(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = w.Write(framed([]byte{8, 1}))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	a := look(t, compose.Probe{GRPC: &compose.GRPCProbe{Port: port}, Timeout: haste})
	if a.OK || a.Output != "no answer within 300ms" {
		t.Errorf("%+v", a)
	}
}

func FuzzHealthAnswers(f *testing.F) {
	f.Add([]byte{8, 1})
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, m []byte) {
		status, err := checkResponse(m)
		if err != nil && status != 0 {
			t.Errorf("%x: status %d with %v", m, status, err)
		}
	})
}
