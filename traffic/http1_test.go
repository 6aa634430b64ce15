package traffic

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// httpPort is the shape of a port that speaks HTTP.
var httpPort = Port{Protocol: ProtocolHTTP}

// says writes what a client says.
func says(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// hears reads an answer to a request of the given method.
func hears(t *testing.T, in *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("after %q: %v", body, err)
	}
	return resp, string(body)
}

// ended makes sure that the connection ends, with nothing more said.
func ended(t *testing.T, in *bufio.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Fatalf("it does not end: %q, %v", rest, err)
	}
}

// telling is a stand that answers with what it was asked: the request line, the
// fields, the body.
func telling(t *testing.T) *stand {
	return answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%s %s host %s length %d coding %v\n", r.Method, r.RequestURI, r.Host, r.ContentLength, r.TransferEncoding)
		r.Header.Write(w)
		fmt.Fprintf(w, "\n%s\n", body)
		r.Trailer.Write(w)
	})
}

// script is a stand that hears one head, and says the next text to every request; it
// closes the connection after the last one.
func script(t *testing.T, texts ...string) *stand {
	return speaking(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for _, text := range texts {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			io.WriteString(conn, text)
		}
	})
}

func TestARequestIsPassedOnAsItWasMade(t *testing.T) {
	for name, c := range map[string]struct {
		asked string
		want  string
	}{
		"a plain one": {
			"GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\nAccept: x\r\n\r\n",
			"GET /a?b=c host shop.test length 0 coding []\nAccept: x\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: shop.test\r\nX-Forwarded-Proto: http\r\n\n\n"},
		"the old version": {
			"GET / HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive, x-gone\r\nX-Gone: 1\r\n\r\n",
			"GET / host shop.test length 0 coding []\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: shop.test\r\nX-Forwarded-Proto: http\r\n\n\n"},
		"a body with a length": {
			"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
			"PUT / host a length 5 coding []\nContent-Length: 5\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\n\nhello\n"},
		"a body in chunks with trailers": {
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;x=y\r\nhello\r\n7\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n",
			"POST / host a length -1 coding [chunked]\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\n\nhello, world\nX-Sum: 12\r\n"},
		"a client that claims to be another": {
			"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\nX_Forwarded_For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\r\n",
			"GET / host a length 0 coding []\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\n\n\n"},
	} {
		for _, how := range []string{"at once", "byte by byte"} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				b := newBed(t, httpPort, telling(t))
				conn := b.dial()
				in := bufio.NewReader(conn)
				for range 3 { // over kept connections too
					if how == "at once" {
						says(t, conn, c.asked)
					} else {
						for i := range len(c.asked) {
							says(t, conn, c.asked[i:i+1])
						}
					}
					if resp, body := hears(t, in, "GET"); resp.StatusCode != 200 || body != c.want {
						t.Fatalf("status %d, the replica was asked:\n%s\nnot:\n%s", resp.StatusCode, body, c.want)
					}
				}
				b.idle()
			})
		}
	}
}

func TestATrustedPeerIsBelieved(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, telling(t))
	conn := b.dial()
	says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-Port: 443\r\n\r\n")
	_, body := hears(t, bufio.NewReader(conn), "GET")
	want := "GET / host a length 0 coding []\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n\n\n"
	if body != want {
		t.Errorf("the replica was asked:\n%s\nnot:\n%s", body, want)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	b := newBed(t, httpPort, telling(t), telling(t))
	conn := b.dial()
	var asked strings.Builder
	const many = 300
	for i := range many {
		fmt.Fprintf(&asked, "POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", i, i%100+1, strings.Repeat("b", i%100+1))
	}
	go io.WriteString(conn, asked.String()) // what does not arrive is missed below
	in := bufio.NewReader(conn)
	for i := range many {
		if _, body := hears(t, in, "POST"); !strings.HasPrefix(body, fmt.Sprintf("POST /%d ", i)) ||
			!strings.HasSuffix(body, "\n"+strings.Repeat("b", i%100+1)+"\n") {
			t.Fatalf("the answer to %d is %q", i, body)
		}
	}
}

func TestSmuggledRequestsAreRefusedAndTheConnectionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		asked  string
		status int
	}{
		"length and coding":       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"two lengths":             {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"a disguised coding":      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		"an unknown coding":       {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		"a bare LF":               {"GET / HTTP/1.1\nHost: a\n\n", 400},
		"a bad chunk":             {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		"a chunk that ends in LF": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n", 400},
		"a fold":                  {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400},
		"a long head":             {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 100_000), 431},
		"a long target":           {"GET /" + strings.Repeat("y", 100_000), 414},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			b := newBed(t, httpPort, speaking(t, func(conn net.Conn) {
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil && r.URL.Path == "/admin" {
					asked.Add(1)
				}
			}))
			conn := b.dial()
			go io.WriteString(conn, c.asked) // of a head that is too long, not all is taken
			in := bufio.NewReader(conn)
			resp, _ := hears(t, in, "POST")
			if resp.StatusCode != c.status || resp.Header.Get(reasonField) == "" || !resp.Close {
				t.Errorf("answered %d, %v", resp.StatusCode, resp.Header)
			}
			ended(t, in)
			b.idle()
			if asked.Load() != 0 {
				t.Error("the smuggled request got through")
			}
		})
	}
}

func TestABadChunkThatComesLateEndsTheRequestForTheReplicaToo(t *testing.T) {
	cut := make(chan error, 1)
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		cut <- err
	}))
	conn := b.dial()
	in := bufio.NewReader(conn)
	says(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
	eventually(t, "the replica is asked", func() bool { return b.stands[0].replica.requests.Load() == 1 })
	says(t, conn, "1\r\nxGET / HTTP/1.1\r\n")
	if resp, _ := hears(t, in, "POST"); resp.StatusCode != 400 {
		t.Errorf("answered %d", resp.StatusCode)
	}
	ended(t, in)
	if err := <-cut; err == nil {
		t.Error("for the replica the body has come whole")
	}
}

func TestAHeadThatComesSlowlyIsBounded(t *testing.T) {
	t.Parallel()
	b := newBed(t, Port{Protocol: ProtocolHTTP, Idle: 200 * time.Millisecond}, telling(t))
	quiet, slow := b.dial(), b.dial()
	says(t, slow, "GET / HTTP/1.1\r\nHost: a\r\n")
	ended(t, bufio.NewReader(quiet))
	in := bufio.NewReader(slow)
	if resp, _ := hears(t, in, "GET"); resp.StatusCode != 408 {
		t.Errorf("answered %d", resp.StatusCode)
	}
	ended(t, in)
}

func TestHeadsThatNeverComeWholeHoldLittleMemory(t *testing.T) {
	b := newBed(t, httpPort, telling(t))
	const many, each = 300, 24 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := heap()
	conns := make([]net.Conn, many)
	for i := range conns {
		conns[i] = b.dial()
		says(t, conns[i], "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
	}
	eventually(t, "all have begun", func() bool {
		b.talks.mu.Lock()
		defer b.talks.mu.Unlock()
		for talk := range b.talks.open {
			if talk.idle.Load() {
				return false
			}
		}
		return len(b.talks.open) == many
	})
	if grown := int64(heap()) - int64(before); grown > many*each {
		t.Errorf("%d heads that have begun hold %d bytes each", many, grown/many)
	}
}

func TestAnswersOfAllFramingsArePassedOn(t *testing.T) {
	for name, c := range map[string]struct {
		method, version, said string
		status                int
		body                  string
		stays                 bool
	}{
		"with a length":                      {"GET", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true},
		"in chunks":                          {"GET", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", 200, "hello", true},
		"until the end":                      {"GET", "1.1", "HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello", false},
		"of the old version":                 {"GET", "1.1", "HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello", false},
		"in chunks to the old version":       {"GET", "1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello", false},
		"with a length to the old version":   {"GET", "1.0", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true},
		"to HEAD":                            {"HEAD", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", true},
		"to HEAD, in chunks":                 {"HEAD", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", true},
		"of nothing":                         {"GET", "1.1", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
		"not modified":                       {"GET", "1.1", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", true},
		"after hints":                        {"GET", "1.1", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true},
		"after hints to the old version":     {"GET", "1.0", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true},
		"with an unasked answer behind it":   {"GET", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", 200, "hello", true},
		"with a body where none can be":      {"GET", "1.1", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 502, reasons[badAnswer], true},
		"with a length and chunks":           {"GET", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, reasons[badAnswer], true},
		"in another protocol":                {"GET", "1.1", "SSH-2.0-OpenSSH_9.2\r\n", 502, reasons[badAnswer], true},
		"of nothing at all":                  {"GET", "1.1", "", 502, reasons[broken], true},
		"that breaks off in the head":        {"GET", "1.1", "HTTP/1.1 200 OK\r\nContent-", 502, reasons[broken], true},
		"with a head that is too long":       {"GET", "1.1", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 70_000), 502, reasons[badAnswer], true},
		"that switches to nothing asked for": {"GET", "1.1", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", 502, reasons[badAnswer], true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, httpPort, script(t, c.said))
			conn := b.dial()
			in := bufio.NewReader(conn)
			for range 2 {
				says(t, conn, c.method+" / HTTP/"+c.version+"\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
				resp, body := hears(t, in, c.method)
				for resp.StatusCode == 103 {
					resp, body = hears(t, in, c.method)
				}
				if got := resp.Header.Get(reasonField); got != "" {
					body = got
				}
				if resp.StatusCode != c.status || body != c.body || resp.Close == c.stays {
					t.Fatalf("answered %d %q, close %v, %v", resp.StatusCode, body, resp.Close, resp.Header)
				}
				if !c.stays {
					ended(t, in)
					break
				}
			}
			b.idle()
		})
	}
}

func TestAnAnswerThatBreaksOffNeverLooksWhole(t *testing.T) {
	for name, c := range map[string]struct{ version, said string }{
		"with a length":                {"1.1", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"},
		"in chunks":                    {"1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
		"in the middle of a chunk":     {"1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello"},
		"before the end of chunks":     {"1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"},
		"with a bad chunk":             {"1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"},
		"in chunks to the old version": {"1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, httpPort, script(t, c.said))
			conn := b.dial()
			says(t, conn, "GET / HTTP/"+c.version+"\r\nHost: a\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				var body []byte
				if body, err = io.ReadAll(resp.Body); err == nil {
					t.Errorf("%q looks whole", body)
				}
			}
			b.idle()
		})
	}
}

func TestALargeBodyArrivesByteForByteBothWays(t *testing.T) {
	body := make([]byte, 1<<20)
	for i := range body {
		body[i] = byte(i * i >> 7)
	}
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, body) {
			w.WriteHeader(http.StatusTeapot)
		}
		if r.URL.Path == "/sized" {
			w.Header().Set("Content-Length", fmt.Sprint(len(got)))
		}
		w.Write(got)
	}))
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	for _, path := range []string{"/sized", "/chunked", "/sized"} {
		for _, from := range []io.Reader{bytes.NewReader(body), io.MultiReader(bytes.NewReader(body[:100]), bytes.NewReader(body[100:]))} {
			resp, err := web.Post("http://"+b.address+path, "", from)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body) || resp.Close {
				t.Fatalf("%s: status %d, %d bytes, close %v, %v", path, resp.StatusCode, len(got), resp.Close, err)
			}
		}
	}
	b.idle()
}

func TestAnAnswerBeforeTheBodyReachesAClientThatSendsAllFirst(t *testing.T) {
	for name, stays := range map[string]bool{"the replica closes": false, "the replica reads nothing": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hold := make(chan struct{})
			b := newBed(t, httpPort, speaking(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n")
				}
				if stays {
					<-hold
				}
			}))
			defer close(hold)
			conn := b.dial()
			says(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n")
			says(t, conn, strings.Repeat("x", 1<<20))
			in := bufio.NewReader(conn)
			resp, body := hears(t, in, "POST")
			if resp.StatusCode != 413 || body != "no\n" {
				t.Errorf("answered %d %q", resp.StatusCode, body)
			}
			if resp.Close {
				ended(t, in)
			}
			b.idle()
		})
	}
}

func TestAClientThatAsksWhetherToContinueIsAnswered(t *testing.T) {
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	}))
	conn := b.dial()
	in := bufio.NewReader(conn)
	for range 2 {
		says(t, conn, "POST /yes HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		if resp, _ := hears(t, in, "POST"); resp.StatusCode != 100 {
			t.Fatalf("answered %d", resp.StatusCode)
		}
		says(t, conn, "hello")
		if resp, body := hears(t, in, "POST"); resp.StatusCode != 200 || body != "hello" || resp.Close {
			t.Fatalf("answered %d %q, close %v", resp.StatusCode, body, resp.Close)
		}
	}
	says(t, conn, "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if resp, _ := hears(t, in, "POST"); resp.StatusCode != 403 || !resp.Close {
		t.Fatalf("answered %d, close %v", resp.StatusCode, resp.Close)
	}
	ended(t, in)
}

func TestWebSocketsLiveThroughADrain(t *testing.T) {
	upgrades := func(t *testing.T) *stand {
		return speaking(t, func(conn net.Conn) {
			in := bufio.NewReader(conn)
			r, err := http.ReadRequest(in)
			if err != nil || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "upgrade" {
				return
			}
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Key: 1\r\n\r\nwelcome")
			io.Copy(conn, in)
		})
	}
	b := newBed(t, httpPort, upgrades(t))
	conn := b.dial()
	says(t, conn, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("X-Key") != "1" {
		t.Fatalf("%v, %v", resp, err)
	}
	heard := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
			t.Fatalf("heard %q, %v, not %q", got, err, want)
		}
	}
	heard("welcomefirst")
	r := b.stands[0].replica
	if requests, streams := r.underway(); requests != 0 || streams != 1 {
		t.Errorf("%d requests and %d streams are under way", requests, streams)
	}
	r.drain(Drain{Since: time.Now(), Timeout: 0, Streams: time.Hour}, time.Now())
	eventually(t, "requests are cut", func() bool { _, cut, _ := r.endings(); return over(cut) })
	says(t, conn, "second")
	heard("second")
	r.drain(Drain{Since: time.Now(), Timeout: 0, Streams: 0}, time.Now())
	if rest, err := io.ReadAll(in); len(rest) > 0 {
		t.Errorf("heard %q, %v", rest, err)
	}
	b.idle()
}

func TestServerSentEventsComeAtOnceAndEndWithTheirClient(t *testing.T) {
	t.Parallel()
	next, gone := make(chan string), make(chan struct{})
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		http.NewResponseController(w).Flush()
		for {
			select {
			case event := <-next:
				fmt.Fprintf(w, "data: %s\n\n", event)
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	conn := b.dial()
	says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	events := bufio.NewReader(resp.Body)
	for _, event := range []string{"one", "two"} {
		next <- event
		if line, err := events.ReadString('\n'); err != nil || line != "data: "+event+"\n" {
			t.Fatalf("heard %q, %v", line, err)
		}
		events.ReadString('\n')
	}
	if requests, streams := b.stands[0].replica.underway(); requests != 0 || streams != 1 {
		t.Errorf("%d requests and %d streams are under way", requests, streams)
	}
	conn.Close()
	<-gone
	b.idle()
}

func TestAClientThatGoesAwayTakesItsRequestWithIt(t *testing.T) {
	for name, body := range map[string]string{"without a body": "", "whose body was sent": strings.Repeat("x", 100_000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, gone := make(chan struct{}), make(chan struct{})
			b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				close(asked)
				<-r.Context().Done()
				close(gone)
			}))
			conn := b.dial()
			says(t, conn, fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			<-asked
			conn.Close()
			<-gone
			b.idle()
			if failures := b.stands[0].replica.signals.errors.Load(); failures != 0 {
				t.Error("the replica is blamed")
			}
		})
	}
}

func TestAClientThatGoesAwayInItsBodyTakesItsRequestWithIt(t *testing.T) {
	asked, read := make(chan struct{}), make(chan error)
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		_, err := io.Copy(io.Discard, r.Body)
		read <- err
	}))
	conn := b.dial()
	says(t, conn, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
	<-asked
	conn.Close()
	if err := <-read; err == nil {
		t.Error("for the replica the body has come whole")
	}
	b.idle()
	if failures := b.stands[0].replica.signals.errors.Load(); failures != 0 {
		t.Error("the replica is blamed")
	}
}

func TestAReplicaThatDoesNotReadIsNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	b := newBed(t, Port{Protocol: ProtocolHTTP, Idle: time.Second}, speaking(t, func(net.Conn) { <-hold }))
	defer close(hold)
	request := "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + strings.Repeat("x", 30_000_000)
	conn := b.dial()
	go io.WriteString(conn, request) // not all of it is taken
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 502 {
		t.Errorf("answered %v, %v", resp, err)
	}
	b.idle()
}

func TestAKeptConnectionThatTheReplicaClosesCostsNoRequest(t *testing.T) {
	// It closes every connection after its first answer, without having said so: the
	// next request comes to be sent just then.
	var asked atomic.Int64
	b := newBed(t, httpPort, speaking(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		asked.Add(1)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}))
	conn := b.dial()
	in := bufio.NewReader(conn)
	const many = 300
	for i := range many {
		says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, body := hears(t, in, "GET"); resp.StatusCode != 200 || body != "ok" {
			t.Fatalf("request %d was answered %d %q", i, resp.StatusCode, body)
		}
	}
	if asked.Load() != many {
		t.Errorf("the replica was asked %d times", asked.Load())
	}
}

func TestWhatAReplicaSaysUnaskedIsNobodysAnswer(t *testing.T) {
	said := make(chan struct{})
	b := newBed(t, httpPort, speaking(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			time.Sleep(10 * time.Millisecond) // so that it is not read with the answer
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
			said <- struct{}{}
		}
	}))
	conn := b.dial()
	in := bufio.NewReader(conn)
	for range 5 {
		says(t, conn, "POST / HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, body := hears(t, in, "POST"); body != "ok" {
			t.Fatalf("answered %q", body)
		}
		<-said
	}
}

func TestOnlyWhatMayBeMadeTwiceIsMadeTwice(t *testing.T) {
	// It answers once, and breaks the connection at the next request, having read it.
	var asked sync.Map
	b := newBed(t, httpPort, speaking(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for i := range 2 {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			n, _ := asked.LoadOrStore(r.URL.Path, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			if i == 0 {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	}))
	conn := b.dial()
	in := bufio.NewReader(conn)
	for _, c := range []struct {
		request string
		status  int
		times   int64
	}{
		{"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 1},
		{"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502, 1},
		{"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 1},
		{"GET /4 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2},
		{"POST /5 HTTP/1.1\r\nHost: a\r\n\r\n", 502, 1},
		{"GET /6 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 1},
		{"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502, 1},
	} {
		says(t, conn, c.request)
		resp, _ := hears(t, in, "GET")
		path := strings.Fields(c.request)[1]
		n, _ := asked.Load(path)
		if resp.StatusCode != c.status || n.(*atomic.Int64).Load() != c.times {
			t.Errorf("%s: answered %d, asked %d times", path, resp.StatusCode, n.(*atomic.Int64).Load())
		}
	}
}

func TestAReplicaThatIsNotThereIsPassedOver(t *testing.T) {
	b := newBed(t, httpPort, absent(t), telling(t), absent(t))
	conn := b.dial()
	in := bufio.NewReader(conn)
	for range 20 {
		says(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		if resp, _ := hears(t, in, "POST"); resp.StatusCode != 200 {
			t.Fatalf("answered %d %v", resp.StatusCode, resp.Header)
		}
	}
}

func TestWithoutReplicasTheAnswerSaysSo(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP, Park: time.Millisecond})
	conn := b.dial()
	in := bufio.NewReader(conn)
	for _, c := range []struct {
		method string
		keeps  bool
	}{{"GET", true}, {"HEAD", true}, {"POST", false}} {
		says(t, conn, c.method+" / HTTP/1.1\r\nHost: a\r\n")
		if c.method == "POST" {
			says(t, conn, "Content-Length: 100\r\n")
		}
		says(t, conn, "\r\n")
		resp, _ := hears(t, in, c.method)
		if resp.StatusCode != 503 || resp.Header.Get(reasonField) != noReplica.String() || resp.Close == c.keeps {
			t.Errorf("%s was answered %d, close %v, %v", c.method, resp.StatusCode, resp.Close, resp.Header)
		}
	}
	ended(t, in)
	b.put(httpPort, absent(t))
	conn = b.dial()
	says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := hears(t, bufio.NewReader(conn), "GET"); resp.StatusCode != 502 || resp.Header.Get(reasonField) != unreachable.String() {
		t.Errorf("answered %d, %v", resp.StatusCode, resp.Header)
	}
}

func TestADrainCutsWhatIsLeftAtItsLimit(t *testing.T) {
	asked := make(chan struct{}, 2)
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			io.WriteString(w, "some")
			http.NewResponseController(w).Flush()
		}
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	silent, begun := b.dial(), b.dial()
	says(t, silent, "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
	says(t, begun, "GET /begun HTTP/1.1\r\nHost: a\r\n\r\n")
	<-asked
	<-asked
	in := bufio.NewReader(begun)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.stands[0].replica.drain(Drain{Since: time.Now(), Timeout: 0, Streams: time.Hour}, time.Now())
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q looks whole", got)
	}
	if resp, _ := hears(t, bufio.NewReader(silent), "GET"); resp.StatusCode != 504 || resp.Header.Get(reasonField) != cutOff.String() {
		t.Errorf("answered %d, %v", resp.StatusCode, resp.Header)
	}
	b.idle()
	if failures := b.stands[0].replica.signals.errors.Load(); failures != 0 {
		t.Error("the replica is blamed")
	}
}

func TestAClientOfADrainingReplicaIsToldToClose(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-answer
	}))
	conn := b.dial()
	says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-asked
	b.stands[0].replica.drain(Drain{Since: time.Now(), Timeout: time.Hour, Streams: time.Hour}, time.Now())
	close(answer)
	in := bufio.NewReader(conn)
	if resp, _ := hears(t, in, "GET"); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("answered %d, close %v", resp.StatusCode, resp.Close)
	}
	ended(t, in)
	b.idle()
	if links := &b.stands[0].replica.links; len(links.open) != 0 || len(links.idle) != 0 {
		t.Error("a connection to a replica that drains is kept")
	}
}

func TestAnEndingPortAnswersOnceMoreAndCloses(t *testing.T) {
	t.Parallel()
	b := newBed(t, httpPort, telling(t))
	busy, quiet := b.dial(), b.dial()
	in, idle := bufio.NewReader(busy), bufio.NewReader(quiet)
	for conn, in := range map[net.Conn]*bufio.Reader{busy: in, quiet: idle} {
		says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, _ := hears(t, in, "GET"); resp.Close {
			t.Fatal("closed before the end")
		}
	}
	close(b.ending)
	b.talks.hasten()
	says(t, busy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := hears(t, in, "GET"); !resp.Close || resp.StatusCode != 200 {
		t.Errorf("answered %d, close %v", resp.StatusCode, resp.Close)
	}
	ended(t, in)
	ended(t, idle)
}

func TestACookieTiesAClientToItsReplica(t *testing.T) {
	name := func(n string) *stand {
		return answering(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, n) })
	}
	b := newBed(t, Port{Protocol: ProtocolHTTP, Affinity: AffinityCookie}, name("1"), name("2"), name("3"))
	conn := b.dial()
	in := bufio.NewReader(conn)
	says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, first := hears(t, in, "GET")
	cookies := resp.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	for range 20 {
		says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y\r\nCookie: "+cookies[0].Name+"="+cookies[0].Value+"\r\n\r\n")
		if resp, body := hears(t, in, "GET"); body != first || len(resp.Cookies()) != 0 {
			t.Fatalf("answered by %s, not %s; cookies %v", body, first, resp.Cookies())
		}
	}
}

// TestReplacementsUnderLoadLoseNothing drains replicas one after another and stops
// each the moment that it has nothing left, as its container would be: at once.
func TestReplacementsUnderLoadLoseNothing(t *testing.T) {
	fresh := func() *stand {
		return answering(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			w.Write(body)
		})
	}
	old := fresh()
	b := newBed(t, httpPort, old)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var asked, failed atomic.Int64
	for i := range 8 {
		load.Go(func() {
			web := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%4 == 3}}
			defer web.CloseIdleConnections()
			body := bytes.Repeat([]byte{byte('a' + i)}, 1<<(10+i%3*5))
			for ctx.Err() == nil {
				asked.Add(1)
				resp, err := web.Post("http://"+b.address, "", bytes.NewReader(body))
				if err != nil {
					failed.Add(1)
					t.Error(err)
					continue
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body) {
					failed.Add(1)
					t.Errorf("answered %d, %d bytes, %v", resp.StatusCode, len(got), err)
				}
			}
		})
	}
	for range 20 {
		before := asked.Load()
		eventually(t, "there is load", func() bool { return asked.Load() > before+50 })
		next := fresh()
		b.put(httpPort, old, next)
		b.put(httpPort, next)
		old.replica.drain(Drain{Since: time.Now(), Timeout: time.Minute, Streams: time.Minute}, time.Now())
		eventually(t, "the old one has nothing left", func() bool {
			requests, streams := old.replica.underway()
			return requests+streams == 0
		})
		old.stop()
		old = next
	}
	stop()
	load.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), asked.Load())
	}
}

func TestEveryRequestTellsWhoseItIsByAPROXYHeader(t *testing.T) {
	b := newBed(t, Port{Protocol: ProtocolHTTP, SendProxy: 1}, speaking(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		header, err := in.ReadString('\n')
		if err != nil {
			return
		}
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(header), header)
		}
	}))
	for range 3 {
		conn := b.dial()
		in := bufio.NewReader(conn)
		for range 2 {
			says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			source := ends(conn.LocalAddr())
			want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d ", source.Port())
			if _, body := hears(t, in, "GET"); !strings.HasPrefix(body, want) {
				t.Fatalf("the replica was told %q, not %q", body, want)
			}
		}
	}
}

func TestAKeptConnectionBelongsToItsReplicaAndNotToAnAddress(t *testing.T) {
	var connections atomic.Int64
	old := speaking(t, func(conn net.Conn) {
		n := connections.Add(1)
		in := bufio.NewReader(conn)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
		}
	})
	b := newBed(t, httpPort, old)
	conn := b.dial()
	in := bufio.NewReader(conn)
	answers := func(want string) {
		t.Helper()
		says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, body := hears(t, in, "GET"); body != want {
			t.Fatalf("answered over connection %s, not %s", body, want)
		}
	}
	answers("1")
	answers("1")
	b.put(httpPort, &stand{address: old.address, stop: func() {}}) // another container at this address
	answers("2")
}

// FuzzHTTP1 sends what it likes to a port whose replica reads requests as net/http
// does: whatever the edge lets through must be requests to it too, and every one is
// answered, in order, before the connection ends.
func FuzzHTTP1(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nHEAD /c HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET http://a/ HTTP/1.1\r\nHost: A\r\nConnection: x, te, upgrade\r\nX: y\r\nTE: trailers\r\nUpgrade: z\r\n\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var answers int64
		var heard atomic.Int64
		b := newBed(t, httpPort, speaking(t, func(conn net.Conn) {
			in := bufio.NewReader(conn)
			for {
				if _, err := in.Peek(1); err != nil {
					return
				}
				r, err := http.ReadRequest(in)
				if err != nil {
					if whole, _ := in.Peek(in.Buffered()); len(whole) > 0 {
						t.Errorf("the replica was sent what is no request: %v, before %q", err, whole)
					}
					return
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
				heard.Add(1)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}))
		conn := b.dial()
		says(t, conn, text)
		conn.CloseWrite() // seen below
		in := bufio.NewReader(conn)
		for {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				break
			}
			if resp.StatusCode == 200 {
				answers++
			}
		}
		b.idle()
		if asked := heard.Load(); answers > asked {
			t.Errorf("%d answers to %d requests", answers, asked)
		}
	})
}
