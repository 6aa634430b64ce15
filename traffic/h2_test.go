package traffic

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// h2client asks with HTTP/2, without TLS, as a client of its own.
func (b *bed) h2client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: testPatience}
}

// ask sends a request and returns its answer, whose body is read.
func (b *bed) ask(client *http.Client, method, path string, body io.Reader, fields ...string) (*http.Response, string) {
	b.t.Helper()
	res, text, err := b.try(client, method, path, body, fields...)
	if err != nil {
		b.t.Fatal(err)
	}
	return res, text
}

func (b *bed) try(client *http.Client, method, path string, body io.Reader, fields ...string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+b.address+path, body)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// answeringH1 is a stand that knows nothing of HTTP/2.
func answeringH1(t *testing.T, h http.HandlerFunc) *stand {
	t.Helper()
	listener := listen(t)
	server := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener) // it ends when the stand is stopped
	}()
	s := &stand{address: ends(listener.Addr()), stop: sync.OnceFunc(func() {
		server.Close()
		<-served
	})}
	t.Cleanup(s.stop)
	return s
}

// described is an answer that says what was asked.
func described(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("Request-Body", fmt.Sprintf("%d %v", len(body), err))
	fmt.Fprintf(w, "%s %s %s host=%s", r.Proto, r.Method, r.RequestURI, r.Host)
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Cookie", "User-Agent"} {
		if values, sent := r.Header[name]; sent {
			fmt.Fprintf(w, " %s=%q", name, values)
		}
	}
}

func TestAnHTTP2RequestArrivesAsItWasMade(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	for path, want := range map[string]string{
		"/":                                "HTTP/2.0 GET / ",
		"/a%2Fb/../c?x=1;y=2&z=%zz":        "HTTP/2.0 GET /a%2Fb/../c?x=1;y=2&z=%zz ",
		"/empty?":                          "HTTP/2.0 GET /empty? ",
		"//evil.example/path":              "HTTP/2.0 GET //evil.example/path ",
		"/" + strings.Repeat("long", 2000): "HTTP/2.0 GET /longlong",
	} {
		if _, got := b.ask(b.h2client(), "GET", path, nil); !strings.HasPrefix(got, want) {
			t.Errorf("%s became %s", path, got)
		}
	}
	body := strings.Repeat("0123456789abcdef", 1<<16)
	res, got := b.ask(b.h2client(), "POST", "/up", strings.NewReader(body), "X-Forwarded-For", "198.51.100.1", "X-Real-Ip", "198.51.100.1", "Cookie", "a=b; c=d")
	want := fmt.Sprintf(`HTTP/2.0 POST /up host=%s X-Forwarded-For=["127.0.0.1"] X-Forwarded-Proto=["http"] X-Forwarded-Host=[%q] Cookie=["a=b; c=d"] User-Agent=["Go-http-client/2.0"]`, b.address, b.address)
	if got != want || res.Header.Get("Request-Body") != "1048576 <nil>" {
		t.Errorf("got  %s, %v\nwant %s", got, res.Header, want)
	}
	b.idle()
}

func TestAClientThatDoesNotNameItselfIsNotNamed(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	if _, got := b.ask(b.h2client(), "GET", "/", nil, "User-Agent", ""); strings.Contains(got, "User-Agent") {
		t.Errorf("the replica saw %s", got)
	}
}

func TestAnAnswerArrivesAsItWasGiven(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/untyped":
			h["Content-Type"] = nil
			io.WriteString(w, "<html>")
		case "/unchanged":
			h.Set("Etag", `"x"`)
			h.Set("Content-Length", "17")
			w.WriteHeader(http.StatusNotModified)
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		case "/trailers":
			h.Set("Trailer", "Announced")
			io.WriteString(w, "text")
			h.Set("Announced", "1")
			h.Set(http.TrailerPrefix+"Late", "2")
		case "/teapot":
			h["X-Many"] = []string{"a", "b"}
			h.Set("Content-Length", "3")
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "tea")
		}
	}))
	client := b.h2client()
	for name, c := range map[string]struct {
		method, path, body string
		is                 func(*http.Response) bool
	}{
		"no type is guessed":             {"GET", "/untyped", "<html>", func(r *http.Response) bool { return r.Header["Content-Type"] == nil }},
		"a length without a body":        {"GET", "/unchanged", "", func(r *http.Response) bool { return r.StatusCode == 304 && r.Header.Get("Etag") == `"x"` }},
		"no content":                     {"GET", "/nothing", "", func(r *http.Response) bool { return r.StatusCode == 204 && r.Header["Content-Length"] == nil }},
		"the head only":                  {"HEAD", "/teapot", "", func(r *http.Response) bool { return r.StatusCode == 418 && r.ContentLength == 3 }},
		"several fields of a name":       {"GET", "/teapot", "tea", func(r *http.Response) bool { return slices.Equal(r.Header["X-Many"], []string{"a", "b"}) }},
		"trailers, announced and others": {"GET", "/trailers", "text", func(r *http.Response) bool { return r.Trailer.Get("Announced") == "1" && r.Trailer.Get("Late") == "2" }},
	} {
		// Of a 304 that names a length, net/http says that it has less.
		if res, body, err := b.try(client, c.method, c.path, nil); res == nil {
			t.Fatal(name, err)
		} else if body != c.body || !c.is(res) {
			t.Errorf("%s: %s %q %v %v", name, res.Status, body, res.Header, res.Trailer)
		}
	}
}

func TestTrailersOfARequestArrive(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(body), err, r.Trailer.Get("Checksum"))
	}))
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+b.address, io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"Checksum": {"42"}}
	res, err := b.h2client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); string(got) != "body<nil>42" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHintsComeBeforeTheAnswer(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		io.WriteString(w, "answer")
	}))
	var hinted []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hinted = append(hinted, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+b.address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.h2client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !slices.Equal(hinted, []string{"103</style.css>"}) || res.Header["Link"] != nil {
		t.Errorf("hints %q, answer %v", hinted, res.Header)
	}
}

// grpc is a replica of gRPC's shapes: an echo of lines that goes on until its caller
// has said all, a call that fails at once, and ones that break off.
func grpc(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	switch r.URL.Path {
	case "/echo":
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "%s\n", lines.Text())
			http.NewResponseController(w).Flush()
		}
		h.Set(http.TrailerPrefix+"Grpc-Status", "0")
	case "/fails":
		h["Content-Length"] = nil
		h.Set("Grpc-Status", "13")
		h.Set("Grpc-Message", "no")
	case "/breaks":
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "/waits":
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// stream is a gRPC call in both directions.
type stream struct {
	t   *testing.T
	up  *io.PipeWriter
	res *http.Response
	in  *bufio.Reader
}

func (b *bed) stream(client *http.Client, path string) *stream {
	b.t.Helper()
	down, up := io.Pipe()
	b.t.Cleanup(func() { up.Close() })
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", "http://"+b.address+path, down)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	res, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { res.Body.Close() })
	return &stream{t: b.t, up: up, res: res, in: bufio.NewReader(res.Body)}
}

// echoes sends a line and expects it back.
func (s *stream) echoes(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.up, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
	if got, err := s.in.ReadString('\n'); got != line+"\n" {
		s.t.Fatalf("sent %q and got %q, %v", line, got, err)
	}
}

// ends expects the end, with what is left before and a gRPC status.
func (s *stream) ends(rest, status string) {
	s.t.Helper()
	got, err := io.ReadAll(s.in)
	if string(got) != rest || err != nil || s.res.Trailer.Get("Grpc-Status") != status {
		s.t.Errorf("it ended with %q, %v, %v", got, err, s.res.Trailer)
	}
}

func TestAGRPCStreamGoesBothWaysAtOnce(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, grpc))
	s := b.stream(b.h2client(), "/echo")
	for i := range 20 {
		s.echoes(fmt.Sprint("line ", i))
	}
	s.up.Close()
	s.ends("", "0")
	b.idle()
}

func TestAGRPCCallThatFailsAtOnceHasNoBody(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, grpc))
	res, body := b.ask(b.h2client(), "POST", "/fails", strings.NewReader("message"), "Content-Type", "application/grpc")
	// Without a length, net/http says 0 if the stream ended with the fields.
	if res.Header.Get("Grpc-Status") != "13" || res.ContentLength != 0 || res.Header["Content-Length"] != nil || body != "" {
		t.Errorf("got %v, length %d, %q", res.Header, res.ContentLength, body)
	}
	b.idle()
	if n := b.stands[0].replica.signals.errors.Load(); n != 1 {
		t.Errorf("%d errors were counted", n)
	}
}

func TestAGRPCStatusSpeaksForOrAgainstTheReplica(t *testing.T) {
	for status, want := range map[string]int{"": 200, "0": 200, "1": 200, "2": 500, "3": 200, "4": 504, "5": 200, "7": 200, "12": 200,
		"13": 500, "14": 503, "15": 500, "16": 200, "x": 200} {
		if got := grpcFailure(status, 200); got != want {
			t.Errorf("%q counts as %d", status, got)
		}
	}
}

func TestAnAnswerThatBreaksOffIsSeenToBeHalf(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, grpc))
	client := b.h2client()
	s := b.stream(client, "/breaks")
	s.ends("half", "14")
	if got := s.res.Trailer.Get(reasonField); got != "broken" {
		t.Errorf("the reason is %q", got)
	}
	if _, body, err := b.try(client, "GET", "/breaks", nil); err == nil {
		t.Errorf("the answer %q is taken to be whole", body)
	}
	b.idle()
	if n := b.stands[0].replica.signals.errors.Load(); n != 2 {
		t.Errorf("%d errors were counted", n)
	}
}

func TestAClientThatCancelsCancelsAtTheReplica(t *testing.T) {
	cancelled := make(chan struct{})
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, r *http.Request) {
		grpc(w, r)
		close(cancelled)
	}))
	b.stream(b.h2client(), "/waits").res.Body.Close()
	<-cancelled
	b.idle()
	if n := b.stands[0].replica.signals.errors.Load(); n != 0 {
		t.Error("that the client went counts against the replica")
	}
}

func TestRequestsOfOneConnectionGoToSeveralReplicas(t *testing.T) {
	var connections atomic.Int32
	one := answering(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "1") })
	two := answering(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "2") })
	b := newBed(t, Port{Protocol: ProtocolHTTP}, one, two)
	client := b.h2client()
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		connections.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	got := map[string]int{}
	for range 50 {
		_, body := b.ask(client, "GET", "/", nil)
		got[body]++
	}
	if got["1"]+got["2"] != 50 || got["1"] == 0 || got["2"] == 0 || connections.Load() != 1 {
		t.Errorf("answers %v on %d connections", got, connections.Load())
	}
}

func TestAReplicaThatDrainsGetsNothingNewAndKeepsItsStreams(t *testing.T) {
	one := answering(t, grpc)
	two := answering(t, grpc)
	b := newBed(t, Port{Protocol: ProtocolHTTP}, one)
	client := b.h2client()
	s := b.stream(client, "/echo")
	s.echoes("before")
	b.put(Port{Protocol: ProtocolHTTP}, one, two)
	one.replica.shut()
	for range 20 {
		b.ask(client, "POST", "/fails", nil)
	}
	s.echoes("while it drains")
	if n := two.replica.signals.requests.Load(); n != 20 {
		t.Errorf("the other replica had %d of 20 requests", n)
	}
	s.up.Close()
	s.ends("", "0")
	b.idle()
}

func TestAReplicaThatHasDrainedHasNoConnectionLeft(t *testing.T) {
	closed := make(chan struct{})
	one := speaking(t, func(conn net.Conn) {
		server := &http.Server{Handler: http.HandlerFunc(grpc), Protocols: new(http.Protocols)}
		server.Protocols.SetUnencryptedHTTP2(true)
		wire := newH2wire(&client{Conn: conn})
		server.Serve(h2listener{wire})
		close(closed)
	})
	b := newBed(t, Port{Protocol: ProtocolHTTP}, one)
	s := b.stream(b.h2client(), "/echo")
	s.echoes("before")
	one.replica.shut()
	s.echoes("while it drains")
	select {
	case <-closed:
		t.Fatal("the connection was closed under a stream")
	default:
	}
	s.up.Close()
	s.ends("", "0")
	<-closed
}

func TestADrainThatIsOverCutsStreamsOff(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, grpc))
	client := b.h2client()
	call := b.stream(client, "/echo")
	call.echoes("before")
	plain, err := client.Get("http://" + b.address + "/waits")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	b.stands[0].replica.drain(Drain{Since: time.Now()}, time.Now())
	call.ends("", "14")
	if got := call.res.Trailer.Get(reasonField); got != "cut-off" {
		t.Errorf("the reason is %q", got)
	}
	if _, err := io.ReadAll(plain.Body); err == nil {
		t.Error("a stream that was cut off is taken to be whole")
	}
	b.idle()
}

func TestARequestThatIsCutOffBeforeItsAnswerIsTold(t *testing.T) {
	asked := make(chan struct{})
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	go func() {
		<-asked
		b.stands[0].replica.drain(Drain{Since: time.Now(), Streams: time.Hour}, time.Now())
	}()
	res, _ := b.ask(b.h2client(), "GET", "/", nil)
	if res.StatusCode != http.StatusGatewayTimeout || res.Header.Get(reasonField) != "cut-off" {
		t.Errorf("got %s, %v", res.Status, res.Header)
	}
	b.idle()
}

func TestServerSentEventsAreAStream(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	res, err := b.h2client().Get("http://" + b.address)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); line != "data: 1\n" {
		t.Errorf("got %q, %v", line, err)
	}
	r := b.stands[0].replica
	eventually(t, "it counts as a stream", func() bool { return r.streams.Load() == 1 && r.requests.Load() == 0 })
	res.Body.Close()
	b.idle()
}

func TestWithoutAReplicaTheReasonIsSaid(t *testing.T) {
	gone := answering(t, described)
	for name, c := range map[string]struct {
		stands []*stand
		status int
		reason string
	}{
		"there is none":         {nil, 503, "no-replica"},
		"none listens":          {[]*stand{absent(t), absent(t)}, 502, "unreachable"},
		"it closes every time":  {[]*stand{speaking(t, func(net.Conn) {})}, 502, "broken"},
		"it speaks gibberish":   {[]*stand{speaking(t, func(c net.Conn) { io.WriteString(c, "220 mail.example ESMTP\r\n") })}, 502, "broken"},
		"one ended of itself":   {[]*stand{gone}, 502, "unreachable"},
		"what is sent is a 500": {[]*stand{answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })}, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			gone.stop()
			b := newBed(t, Port{Protocol: ProtocolHTTP, Park: time.Millisecond}, c.stands...)
			res, body := b.ask(b.h2client(), "POST", "/", strings.NewReader("body"))
			if res.StatusCode != c.status || res.Header.Get(reasonField) != c.reason || (res.Header["Retry-After"] != nil) != (c.status == 503) {
				t.Errorf("got %s, %v, %q", res.Status, res.Header, body)
			}
			b.idle()
		})
	}
}

func TestARequestGoesToAnotherReplicaWhenNothingOfItWasSent(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, absent(t), answering(t, described))
	for range 10 {
		// A body that was touched could not be sent again.
		if res, body := b.ask(b.h2client(), "POST", "/", io.MultiReader(strings.NewReader("body"))); res.Header.Get("Request-Body") != "4 <nil>" {
			t.Fatalf("got %s, %v, %q", res.Status, res.Header, body)
		}
		b.stands[0].replica.ejected.Store(0)
	}
}

func TestARequestThatAReplicaMayHaveSeenIsRepeatedOnlyIfThatChangesNothing(t *testing.T) {
	var seen atomic.Int32
	breaks := answering(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		panic(http.ErrAbortHandler)
	})
	b := newBed(t, Port{Protocol: ProtocolHTTP}, breaks, answering(t, described))
	b.stands[1].replica.requests.Add(1) // so that the other is chosen first
	defer b.stands[1].replica.requests.Add(-1)
	if res, _ := b.ask(b.h2client(), "GET", "/", nil); res.StatusCode != 200 || seen.Load() != 1 {
		t.Errorf("GET: %s after %d", res.Status, seen.Load())
	}
	if res, _ := b.ask(b.h2client(), "POST", "/", nil); res.StatusCode != 502 || res.Header.Get(reasonField) != "broken" || seen.Load() != 2 {
		t.Errorf("POST: %s after %d", res.Status, seen.Load())
	}
}

func TestARequestThatKillsReplicasIsNotTakenToAll(t *testing.T) {
	var seen atomic.Int32
	kill := func(http.ResponseWriter, *http.Request) { seen.Add(1); panic(http.ErrAbortHandler) }
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, kill), answering(t, kill), answering(t, kill))
	if res, _ := b.ask(b.h2client(), "GET", "/", nil); res.StatusCode != 502 || seen.Load() != 2 {
		t.Errorf("%s after %d", res.Status, seen.Load())
	}
}

func TestAKeptConnectionThatHasEndedIsReplaced(t *testing.T) {
	conns := make(chan net.Conn, 8)
	one := speaking(t, func(conn net.Conn) {
		conns <- conn
		server := &http.Server{Handler: http.HandlerFunc(described), Protocols: new(http.Protocols)}
		server.Protocols.SetUnencryptedHTTP2(true)
		server.Serve(h2listener{newH2wire(&client{Conn: conn})})
	})
	b := newBed(t, Port{Protocol: ProtocolHTTP}, one)
	client := b.h2client()
	for range 5 {
		if res, body := b.ask(client, "GET", "/", nil); res.StatusCode != 200 {
			t.Fatalf("%s %v %q", res.Status, res.Header, body)
		}
		(<-conns).Close()
	}
}

func TestAReplicaThatSpeaksOnlyHTTP1IsAskedInIt(t *testing.T) {
	for name, stand := range map[string]*stand{
		"it says so": answeringH1(t, described),
		"it closes the connection": speaking(t, func(conn net.Conn) {
			r := bufio.NewReader(conn)
			for {
				req, err := http.ReadRequest(r)
				if err != nil || req.Method == "PRI" {
					return
				}
				body, err := io.ReadAll(req.Body)
				text := "HTTP/1.1 GET host=" + req.Host
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nRequest-Body: %d %v\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: %d\r\n\r\n%s", len(body), err, len(text), text)
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, Port{Protocol: ProtocolHTTP}, stand)
			client := b.h2client()
			for range 5 {
				res, body := b.ask(client, "POST", "/up", io.MultiReader(strings.NewReader("body")))
				if !strings.HasPrefix(body, "HTTP/1.1") || res.Header.Get("Request-Body") != "4 <nil>" || res.Header["X-Hop"] != nil {
					t.Fatalf("%s %v %q", res.Status, res.Header, body)
				}
			}
			stand.replica.shut()
			b.idle()
		})
	}
}

func TestACookieTiesAnHTTP2ClientToItsReplica(t *testing.T) {
	named := func(name string) *stand {
		return answering(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) })
	}
	b := newBed(t, Port{Protocol: ProtocolHTTP, Stack: "shop", Service: "web", Affinity: AffinityCookie}, named("1"), named("2"), named("3"))
	client := b.h2client()
	first, name := b.ask(client, "GET", "/", nil)
	sent := pair(t, first.Header.Get("Set-Cookie"))
	for range 20 {
		res, body := b.ask(client, "GET", "/", nil, "Cookie", "theme=dark; "+sent)
		if body != name || res.Header["Set-Cookie"] != nil {
			t.Fatalf("%q answered instead of %q, %v", body, name, res.Header)
		}
	}
	for _, s := range b.stands {
		if s.replica.identity.container == newCookie(b.secret, "shop", "web").read(sent).container {
			s.replica.shut()
		}
	}
	if res, body := b.ask(client, "GET", "/", nil, "Cookie", sent); body == name || res.Header["Set-Cookie"] == nil {
		t.Errorf("%q answered, %v", body, res.Header)
	}
}

func TestAPortThatIsGivenUpLosesNoRequest(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	var asking sync.WaitGroup
	var asked atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	for range 4 {
		client := b.h2client() // it dials again, as the successor would be
		for range 4 {
			asking.Go(func() {
				for ctx.Err() == nil {
					res, _, err := b.try(client, "POST", "/", strings.NewReader("body"))
					if err != nil || res.StatusCode != 200 {
						t.Errorf("after %d: %v, %v", asked.Load(), res, err)
						return
					}
					asked.Add(1)
				}
			})
		}
	}
	eventually(t, "there is load", func() bool { return asked.Load() > 100 })
	close(b.ending)
	eventually(t, "the old connections have gone", func() bool { return asked.Load() > 500 })
	stop()
	asking.Wait()
}

func TestAStreamOutlastsThePortThatIsGivenUp(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, grpc))
	s := b.stream(b.h2client(), "/echo")
	s.echoes("before")
	close(b.ending)
	for start := time.Now(); time.Since(start) < farewellPause+500*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		s.echoes("while it ends")
	}
	s.up.Close()
	s.ends("", "0")
}

func TestAConnectionWithoutRequestsIsClosed(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP, Idle: 20 * time.Millisecond}, answering(t, described))
	conn := b.dial()
	io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	said, err := io.ReadAll(conn)
	if err != nil || bytes.Count(said, []byte("\x00\x00\x08\x07\x00\x00\x00\x00\x00")) != 2 || !bytes.Contains(said, []byte(goAway)) {
		t.Errorf("it was told %q, %v", said, err)
	}
}

func TestATunnelIsRefused(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP}, answering(t, described))
	req := &http.Request{Method: http.MethodConnect, Host: "db:5432", Header: http.Header{}, URL: &url.URL{Scheme: "http", Host: b.address}}
	res, err := b.h2client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("got %s", res.Status)
	}
}
