package traffic

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// seeing is a stand that says by which protocol it was asked, for whom, and what.
func seeing(t *testing.T) *stand {
	t.Helper()
	return answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s for %s: %s %v", r.Proto, r.Header.Get("X-Forwarded-For"), body, err)
	})
}

// asks makes a request on a connection and wants it answered as HTTP is.
func asks(t *testing.T, conn net.Conn) {
	t.Helper()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n") // seen below
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "HTTP/1.1 for 127.0.0.1:  <nil>" {
		t.Fatalf("the answer is %q, %v", body, err)
	}
}

func TestAClientThatIsSilentAtFirstIsStillAnsweredAsHTTP(t *testing.T) {
	s := seeing(t)
	b := newBed(t, Port{}, s)
	conn := b.dial()
	eventually(t, "the replica is reached, in case that it begins", func() bool { return s.replica.streams.Load() == 1 })
	asks(t, conn)
	b.idle()
	if b.greets.Load() {
		t.Error("the server is taken for one that speaks first")
	}
}

// On a busy machine, or a bad line, a client's first packet comes late.
func TestAClientThatIsSlowToBeginIsToldThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	s := speaking(t, func(net.Conn) {})
	b := newBed(t, Port{Park: time.Millisecond}, s)
	s.stop() // nobody listens there any more
	silent := b.dial()
	eventually(t, "a client that began in time, and was answered", func() bool {
		began, slow := time.Now(), b.dial()
		time.Sleep(5 * silence)
		io.WriteString(slow, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // what is lost shows below
		resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
		return time.Since(began) < hesitation && err == nil && resp.Header.Get(reasonField) != ""
	})
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("who says nothing at all: %v", err)
	}
}

// A replica that is killed ends the connections on which nobody has spoken yet.
func TestAReplicaThatEndsWithoutAWordIsNotTheEndOfAClientThatIsSlowToBegin(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	ended := make(chan struct{})
	b := newBed(t, Port{}, speaking(t, func(conn net.Conn) {
		if reached.Add(1) == 1 {
			conn.Close()
			close(ended)
			return
		}
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") // what is lost shows below
		}
	}))
	slow := b.dial()
	<-ended
	io.WriteString(slow, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") // the same
	if resp, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("it was answered %v, %v", resp, err)
	}
	b.idle()
}

func TestAPortWhoseServerNoLongerGreetsIsUnderstoodAgain(t *testing.T) {
	b := newBed(t, Port{}, speaking(t, func(conn net.Conn) { io.WriteString(conn, "220 hello\r\n") }))
	if got, err := io.ReadAll(b.dial()); err != nil || string(got) != "220 hello\r\n" {
		t.Fatalf("the greeting is %q, %v", got, err)
	}
	b.put(Port{}, seeing(t))
	asks(t, b.dial())
	if b.greets.Load() {
		t.Error("the server is still taken for one that speaks first")
	}
}

// Otherwise an edge that has a successor would be kept by whoever opened a connection
// in case that it needs one.
func TestAPortThatIsGivenUpIsNotKeptByWhoSaysNothing(t *testing.T) {
	s := seeing(t)
	b := newBed(t, Port{}, s)
	conn := b.dial()
	eventually(t, "the replica is reached, in case that it begins", func() bool { return s.replica.streams.Load() == 1 })
	close(b.ending)
	if got, err := io.ReadAll(conn); err != nil || len(got) != 0 {
		t.Fatalf("the client sees %q, %v", got, err)
	}
	b.idle()
}

// splitting sends the first bytes in a segment of their own.
type splitting struct {
	net.Conn
	at    int
	split sync.Once
}

func (s *splitting) Write(b []byte) (n int, err error) {
	s.split.Do(func() {
		if n, err = s.Conn.Write(b[:s.at]); err == nil {
			time.Sleep(5 * time.Millisecond) // mostly in a segment of their own
			b = b[s.at:]
		}
	})
	if err != nil {
		return n, err
	}
	more, err := s.Conn.Write(b)
	return n + more, err
}

func TestHTTP2IsRecognisedInPieces(t *testing.T) {
	for _, protocol := range []Protocol{ProtocolAuto, ProtocolHTTP} {
		b := newBed(t, Port{Protocol: protocol}, seeing(t))
		for _, at := range []int{5, 10, 15, 16, 20, 24, 30} {
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return &splitting{Conn: b.dial(), at: at}, nil
			}
			client := &http.Client{Transport: transport, Timeout: testPatience}
			answer, err := client.Post("http://a/", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatalf("%s, split at %d: %v", protocol, at, err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.ProtoMajor != 2 || !strings.HasSuffix(string(body), " for 127.0.0.1: hello <nil>") {
				t.Errorf("%s, split at %d: the answer is %s %q, %v", protocol, at, answer.Proto, body, err)
			}
			answer.Body.Close()
			client.CloseIdleConnections()
		}
	}
}

// What a lenient server would answer must not reach it as it is.
func TestWhatOnlyLooksLikeHTTPDoesNotReachALenientServer(t *testing.T) {
	var mu sync.Mutex
	var reached []string
	s := speaking(t, func(conn net.Conn) {
		got := make([]byte, 2*longestLine)
		if n, _ := io.ReadAtLeast(conn, got, len(got)); n > 0 { // what is cut off is cut off
			mu.Lock()
			reached = append(reached, string(got[:n]))
			mu.Unlock()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
	})
	b := newBed(t, Port{}, s)
	for _, sent := range []string{
		"GET / HTTP/1.1\nHost: a\nX-Forwarded-For: 192.0.2.1\n\n",
		"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
		" GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
		"\vGET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
		"GET\t/\tHTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
		"GET / http/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
		"GET / HTTP/1.1 x\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
		"GET / HTTP/1.1\rHost: a\rX-Forwarded-For: 192.0.2.1\r\r\n\n",
		"GET /\x01 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
		strings.Repeat("\r\n", longestLine/2) + "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
	} {
		conn := b.dial()
		io.WriteString(conn, sent) // seen below
		conn.CloseWrite()
		if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %q: %v", sent, err)
		}
	}
	b.idle()
	mu.Lock()
	defer mu.Unlock()
	for _, got := range reached {
		if strings.Contains(got, "192.0.2.1") {
			t.Errorf("the server got %q", got)
		}
	}
}

func TestManyClientsThatSendOneByteAndWaitHoldLittle(t *testing.T) {
	const many = 200
	s := speaking(t, func(conn net.Conn) {
		for one := make([]byte, 1); ; {
			if _, err := conn.Read(one); err != nil {
				return
			}
		}
	})
	b := newBed(t, Port{}, s)
	before := heap()
	for range many {
		io.WriteString(b.dial(), "G") // what is lost is no matter
	}
	eventually(t, "all were let through", func() bool { return s.replica.streams.Load() == many })
	eventually(t, "they hold less than one buffer between two", func() bool { return heap()-before < many*pieceSize/2 })
}

// Fifty at once, each with another protocol, through one port: nobody gets what is
// somebody else's.
func TestProtocolsDoNotMixOnOnePort(t *testing.T) {
	s := speaking(t, func(conn net.Conn) { // one that speaks both
		in := bufio.NewReader(conn)
		if first, err := in.Peek(1); err == nil && first[0] == 'P' {
			if r, err := http.ReadRequest(in); err == nil {
				body, _ := io.ReadAll(r.Body) // the client sees what is missing
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
			}
			return
		}
		io.Copy(conn, in) // the client sees what is missing
	})
	b := newBed(t, Port{}, s)
	var clients sync.WaitGroup
	for i := range 50 {
		conn := b.dial()
		clients.Go(func() {
			want := bytes.Repeat([]byte{byte(i)}, 1000*i)
			if i%2 == 0 {
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(want))
			}
			go func() {
				conn.Write(want) // seen below
				if i%2 == 1 {
					conn.CloseWrite()
				}
			}()
			var got []byte
			answer := &http.Response{Body: conn}
			var err error
			if i%2 == 0 {
				answer, err = http.ReadResponse(bufio.NewReader(conn), nil)
			}
			if err == nil {
				got, err = io.ReadAll(answer.Body)
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("client %d got %d bytes, %v; want %d", i, len(got), err, len(want))
			}
		})
	}
	clients.Wait()
	b.idle()
}
