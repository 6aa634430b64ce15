package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

// attempt posts one delivery to url over a real connection.
func attempt(t *testing.T, e Endpoint) verdict {
	t.Helper()
	n := newNotifier(t, Options{Endpoints: []Endpoint{e}, Timeout: 500 * time.Millisecond,
		Sender: Sender{Host: "till-7", Instance: "3f9a", Version: "1.0.0"}})
	defer n.client.CloseIdleConnections()
	d := reconcile.Delivery{ID: "d1", Event: failure("shop")}
	return n.post(t.Context(), n.receivers[0], d)
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestADeliveryIsSignedDocumentedJSON(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var body []byte
	var header http.Header
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
	})
	if v := attempt(t, Endpoint{URL: url, SecretFile: secretFile}); !v.delivered() {
		t.Fatal(v.reason)
	}
	want := `{"id":"d1","event":"ReleaseFailed","event_id":812,"stack":"shop","service":"","version":"v1.3.0",` +
		`"commit":"9d10e44","seq":41,"severity":"error","message":"web/3 exited with code 2",` +
		`"at":"2026-11-21T17:55:03Z","host":"till-7","instance":"3f9a","agent":"1.0.0"}`
	if string(body) != want {
		t.Errorf("sent\n%s\nwant\n%s", body, want)
	}
	for key, value := range map[string]string{"X-Davit-Event": "ReleaseFailed", "X-Davit-Delivery": "d1",
		"Content-Type": "application/json", "User-Agent": "davit/1.0.0"} {
		if header.Get(key) != value {
			t.Errorf("%s is %q", key, header.Get(key))
		}
	}
	stamp, signature := header.Get("X-Davit-Timestamp"), header.Get("X-Davit-Signature")
	if err := Verify([]byte("hunter2"), stamp, body, signature); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another secret":    Verify([]byte("hunter3"), stamp, body, signature),
		"no secret":         Verify(nil, stamp, body, signature),
		"another timestamp": Verify([]byte("hunter2"), stamp+"0", body, signature),
		"another body":      Verify([]byte("hunter2"), stamp, body[1:], signature),
		"no signature":      Verify([]byte("hunter2"), stamp, body, ""),
		"a cut signature":   Verify([]byte("hunter2"), stamp, body, signature[:20]),
	} {
		if err == nil {
			t.Errorf("accepted with %s", name)
		}
	}
}

func TestASecretIsReadAnewForEveryDelivery(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	calls, secret := 0, ""
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, _ := io.ReadAll(r.Body)
		if Verify([]byte(secret), r.Header.Get("X-Davit-Timestamp"), body, r.Header.Get("X-Davit-Signature")) != nil {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	e := Endpoint{URL: url, SecretFile: secretFile}
	for name, content := range map[string]string{"missing": "", "empty": "\n"} {
		if content != "" {
			if err := os.WriteFile(secretFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if v := attempt(t, e); v.delivered() || v.final || calls != 0 {
			t.Errorf("with a secret that is %s: %+v after %d calls", name, v, calls)
		}
		_ = os.Remove(secretFile) // there for one of the two
	}
	for _, secret = range []string{"one", "two"} {
		if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if v := attempt(t, e); !v.delivered() {
			t.Errorf("with secret %s: %s", secret, v.reason)
		}
	}
}

func TestWithoutASecretADeliveryIsUnsigned(t *testing.T) {
	signed := true
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, signed = r.Header["X-Davit-Signature"] })
	if v := attempt(t, Endpoint{URL: url}); !v.delivered() || signed {
		t.Errorf("%+v, signed %v", v, signed)
	}
}

func TestAnswersAreJudgedByTheirStatus(t *testing.T) {
	for status, want := range map[int]verdict{
		200: {}, 202: {}, 204: {},
		400: {final: true}, 401: {final: true}, 404: {final: true}, 410: {final: true}, 422: {final: true},
		304: {final: true},
		408: {}, 429: {after: 7 * time.Second}, 500: {after: 7 * time.Second}, 503: {after: 7 * time.Second},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			v := attempt(t, Endpoint{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if want.after > 0 {
					w.Header().Set("Retry-After", "7")
				}
				w.WriteHeader(status)
			})})
			if v.delivered() != (status < 300) || v.final != want.final || v.after != want.after {
				t.Errorf("%+v", v)
			}
			if status >= 300 && !strings.Contains(v.reason, fmt.Sprint(status)) {
				t.Errorf("the reason is %q", v.reason)
			}
		})
	}
}

func TestARedirectIsFollowedOnlyWithinTheReceiverAndAsAPost(t *testing.T) {
	stolen := 0
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { stolen++ })
	for name, c := range map[string]struct {
		status    int
		to        string
		delivered bool
	}{
		"307 within":         {307, "/final", true},
		"308 within":         {308, "/final", true},
		"302 within":         {302, "/final", false},
		"307 to a stranger":  {307, elsewhere, false},
		"308 to a stranger":  {308, elsewhere, false},
		"307 without an end": {307, "/", false},
		"307 to nonsense":    {307, "ftp://ops.example/", false},
	} {
		t.Run(name, func(t *testing.T) {
			bodies := 0
			v := attempt(t, Endpoint{URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/final" {
					w.Header().Set("Location", c.to)
					w.WriteHeader(c.status)
					return
				}
				if body, _ := io.ReadAll(r.Body); json.Valid(body) {
					bodies++
				}
			})})
			if v.delivered() != c.delivered || (bodies == 1) != c.delivered || (!c.delivered && !v.final) {
				t.Errorf("%+v, %d bodies", v, bodies)
			}
		})
	}
	if stolen != 0 {
		t.Errorf("a stranger got %d deliveries", stolen)
	}
}

// rawServer answers every connection with the same bytes, or with silence.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if answer == "" {
				t.Cleanup(func() { c.Close() }) // never answered
				continue
			}
			_, _ = c.Write([]byte(answer)) // the client may hang up first
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/hook/token-1234"
}

func TestBadWeatherIsRetriedAndNeverQuotesTheAddress(t *testing.T) {
	closed := rawServer(t, "x")
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := "http://" + gone.Addr().String() + "/hook/token-1234"
	gone.Close()
	for name, url := range map[string]string{
		"down":                 down,
		"silent":               rawServer(t, ""),
		"garbage":              closed,
		"an SSH server":        rawServer(t, "SSH-2.0-OpenSSH_9.6\r\n"),
		"an endless header":    rawServer(t, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 11<<20)),
		"half an answer":       rawServer(t, "HTTP/1.1 503 No\r\nContent-Length: 1000\r\n\r\nhalf"),
		"a broken status line": rawServer(t, "HTTP/1.1 two hundred\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			v := attempt(t, Endpoint{URL: url})
			if v.delivered() || v.final {
				t.Errorf("%+v", v)
			}
			if strings.Contains(v.reason, "token") {
				t.Errorf("the reason shows the address: %s", v.reason)
			}
		})
	}
}

func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	v := attempt(t, Endpoint{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for {
			if _, err := w.Write([]byte(strings.Repeat("x", 4096))); err != nil {
				return
			}
		}
	})})
	if v.delivered() || len(v.reason) > 2*quoted {
		t.Errorf("the reason has %d bytes", len(v.reason))
	}
}
