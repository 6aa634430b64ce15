package mix

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// hangUp ends a connection without an answer.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}

func TestWhatAClientCouldHideHasFailed(t *testing.T) {
	good := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Served-By", "1.0@one")
		if r.Method == http.MethodGet {
			io.WriteString(w, "1.0\n")
			return
		}
		body, _ := io.ReadAll(r.Body) // what is missing is missed by who sent it
		w.Write(body)
	}
	tests := map[string]struct {
		// second answers the second request, which is a GET.
		second http.HandlerFunc
		want   string
	}{
		"an answer that is good":  {good, ""},
		"a kept connection's end": {func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }, "it was asked 2 times"},
		"an error":                {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "503"},
		"another version's answer": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Served-By", "2.0@two")
			io.WriteString(w, "1.0\n")
		}, "mangled"},
		"an answer of nobody's": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "1.0\n") }, "mangled"},
		"an answer that is cut short": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "1.0\n")
		}, "of the answer came"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked == 2 {
					test.second(w, r)
					return
				}
				good(w, r)
			}))
			defer server.Close()
			m := &Mix{report: Report{Requests: make([]Tally, kinds)}}
			transport := m.transport(KeepAlive)
			defer transport.CloseIdleConnections()
			v := visitor{kind: KeepAlive, most: small, client: &http.Client{Transport: transport}, at: strings.TrimPrefix(server.URL, "http://")}
			for n := 1; n <= 3; n++ {
				by, err := v.ask(t.Context())
				if n == 2 && test.want != "" {
					if err == nil || !strings.Contains(err.Error(), test.want) {
						t.Errorf("the second request: %v; want %q", err, test.want)
					}
					continue
				}
				if err != nil || by != (Server{"1.0", "one"}) {
					t.Errorf("request %d: %s, %v", n, by, err)
				}
			}
		})
	}
}

func TestBodiesThatDifferAreTold(t *testing.T) {
	sent := noise(upload)
	swapped := append(append(append([]byte(nil), sent[:1000]...), sent[2000:3000]...), sent[1000:2000]...)
	if got, want := differ(append(swapped, sent[3000:]...), sent).Error(), "mangled: 1048576 bytes came back of 1048576, the same up to byte 1000, where it continues with what was sent as byte 2000"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
