package traffic

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhatAClientSpeaksIsSeenFromItsFirstBytes(t *testing.T) {
	long, blank := strings.Repeat("a", longestLine), strings.Repeat(" ", longestLine)
	for said, want := range map[string]spoken{
		"":                                  spokenNothing,
		"GET / HTTP/1.1\r\n":                spokenHTTP1,
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n": spokenHTTP1,
		"PROPFIND http://a/ HTTP/1.0\r\n":   spokenHTTP1,
		"OPTIONS * HTTP/1.1\r\n":            spokenHTTP1,
		"CONNECT a:443 HTTP/1.1\r\n":        spokenHTTP1,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":  spokenHTTP2,
		"PRI * HTTP/2.0\r\n":                spokenHTTP2,
		"PRI * HTTP/2.1\r\n":                spokenHTTP1,
		"PRI * HT":                          spokenLikely,
		"G":                                 spokenUnclear,
		"GET":                               spokenUnclear,
		"GET ":                              spokenUnclear,
		"GET /":                             spokenLikely,
		"GET http":                          spokenLikely,
		"GET / HTTP/1.1\r":                  spokenLikely,
		"GET /" + long:                      spokenHTTP1,
		"hello world":                       spokenUnclear,
		long:                                spokenOther,
		"hello " + long:                     spokenOther,

		// What only a lenient server takes for HTTP is HTTP, to be refused as such.
		"get / http/1.1\n":                  spokenHTTP1,
		"\r\n\r\nGET / HTTP/1.1\r\n":        spokenHTTP1,
		" GET / HTTP/1.1\r\n":               spokenHTTP1,
		"\fGET / HTTP/1.1\r\n":              spokenHTTP1,
		"GET\t/\tHTTP/1.1\r\n":              spokenHTTP1,
		"GET  /a b  HTTP/1.1 \r\n":          spokenHTTP1,
		"GET / HTTP/1.1\rHost: a\r\r\n":     spokenHTTP1,
		"GET / HTTP/9.9\r\n":                spokenHTTP1,
		"GET /\xc3\xa4\xff HTTP/1.1\r\n":    spokenHTTP1,
		"GET /\x01 HTTP/1.1\r\n":            spokenHTTP1,
		"GET x://a/" + long:                 spokenHTTP1,
		"GET" + blank:                       spokenHTTP1,
		"GET" + blank[4:] + "h":             spokenHTTP1,
		blank[2:] + "GE":                    spokenUnclear,
		blank + "GET / HTTP/1.1\r\n":        spokenHTTP1,
		strings.Repeat("\r\n", longestLine): spokenUnclear,

		// What looks a little like it is not.
		"GET key\r\n":                                  spokenOther, // Redis, inline
		"get /key\r\n":                                 spokenOther, // memcached
		"GET /\r\n":                                    spokenOther, // HTTP/0.9 has no headers
		"*1\r\n$4\r\nPING\r\n":                         spokenOther, // Redis
		"EHLO example.org\r\n":                         spokenOther,
		"SSH-2.0-OpenSSH_9.2\r\n":                      spokenOther,
		"OPTIONS rtsp://a RTSP/1.0\r\n":                spokenOther,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n":       spokenOther,
		proxyV2Start:                                   spokenOther,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": spokenOther, // TLS
		"\x00\x00\x00\x08\x04\xd2\x16\x2f":             spokenOther, // PostgreSQL: SSLRequest
		"\x10\x0c\x00\x04MQTT\x04":                     spokenOther,
		"\x3a\x00\x00\x00\x01\x00\x00\x00":             spokenOther, // MongoDB
		"AMQP\x00\x00\x09\x01":                         spokenOther,
		"GET /\x00 HTTP/1.1\r\n":                       spokenOther, // which nobody takes
		"\r\n\x00":                                     spokenOther,
		"GET \x01/ HTTP/1.1\r\n":                       spokenOther,
		strings.Repeat("A", longestMethod+1) + " /":    spokenOther,
	} {
		if got := classify([]byte(said)); got != want {
			t.Errorf("%.60q is %s, want %s", said, got, want)
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00", "hello world",
		"\r\nGET / HTTP/1.1\n\n", "GET key\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n",
		strings.Repeat("a", longestLine+1), "GET " + strings.Repeat("/", longestLine+1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := classify(b)
		decided := spokenNothing
		for n := range len(b) + 1 {
			if n > 300 && n < len(b)-2 && (n < longestLine-2 || n > longestLine+2) {
				continue // of a long line the ends are enough
			}
			got := classify(b[:n])
			switch {
			case (got == spokenNothing) != (n == 0):
				t.Fatalf("%q is %s", b[:n], got)
			case decided == spokenNothing && got >= spokenHTTP1:
				decided = got
			case decided != spokenNothing && got != decided:
				t.Fatalf("%q is %s, and was %s", b[:n], got, decided)
			}
		}
		if said := bytes.TrimLeft(b, "\n"+blanks); decided == spokenNothing && len(said) >= longestLine {
			t.Fatalf("after %d bytes it is still %s", len(b), want)
		}
		// A server that accepts a request must not have got it past the HTTP handler.
		if r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b))); err == nil && want != spokenHTTP1 && want != spokenHTTP2 {
			t.Fatalf("%q is %s, and a request: %s %s %s", b, want, r.Method, r.URL, r.Proto)
		}
	})
}

func TestAServerThatSpeaksFirstIsNotKeptWaiting(t *testing.T) {
	s := speaking(t, func(conn net.Conn) {
		io.WriteString(conn, "220 mail.example.org ESMTP\r\n") // the client sees it
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(conn, "250 "+line) // and this
			if line == "QUIT\r\n" {
				return
			}
		}
	})
	b := newBed(t, Port{}, s)
	for range 3 {
		conn := b.dial()
		in := bufio.NewReader(conn)
		for _, said := range []string{"", "EHLO example.org\r\n", "QUIT\r\n"} {
			io.WriteString(conn, said) // seen below
			want := "250 " + said
			if said == "" {
				want = "220 mail.example.org ESMTP\r\n"
			}
			if got, err := in.ReadString('\n'); err != nil || got != want {
				t.Fatalf("after %q it is %q, %v", said, got, err)
			}
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) != 0 {
			t.Fatalf("after the end there is %q, %v", rest, err)
		}
		conn.Close()
	}
	if !b.greets.Load() {
		t.Error("it is not remembered that the server speaks first")
	}
	b.idle()
}

// The client of PostgreSQL speaks first, in binary, and waits for a single byte.
func TestPostgreSQLsStartupPassesUnchanged(t *testing.T) {
	const (
		sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
		startup    = "\x00\x00\x00\x14\x00\x03\x00\x00user\x00me\x00\x00\x00"
		ready      = "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"
	)
	s := speaking(t, func(conn net.Conn) {
		for _, turn := range [][2]string{{sslRequest, "N"}, {startup, ready}} {
			got := make([]byte, len(turn[0]))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != turn[0] {
				t.Errorf("the server got %q, %v, want %q", got, err, turn[0])
				return
			}
			io.WriteString(conn, turn[1]) // the client sees it
		}
	})
	b := newBed(t, Port{}, s)
	for _, split := range []int{len(sslRequest), 1} {
		conn := b.dial()
		io.WriteString(conn, sslRequest[:split]) // the server sees it
		time.Sleep(time.Millisecond)             // in a segment of its own, mostly
		io.WriteString(conn, sslRequest[split:])
		one := make([]byte, 1)
		if _, err := io.ReadFull(conn, one); err != nil || one[0] != 'N' {
			t.Fatalf("the server answers %q, %v", one, err)
		}
		io.WriteString(conn, startup) // the server sees it
		if got, err := io.ReadAll(conn); err != nil || string(got) != ready {
			t.Fatalf("the server answers %q, %v", got, err)
		}
		conn.Close()
	}
	b.idle()
}

func TestTLSPassesThrough(t *testing.T) {
	s := answeringTLS(t)
	b := newBed(t, Port{}, s.stand)
	client := &http.Client{Transport: s.transport, Timeout: testPatience}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + b.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, err := io.ReadAll(answer.Body); err != nil || string(said) != "over TLS, nothing added" {
		t.Fatalf("the server says %q, %v", said, err)
	}
}

func TestAClientMayWaitForTheAnswerToOneByte(t *testing.T) {
	b := newBed(t, Port{}, echoing(t))
	for _, said := range []string{"G", "\x00", "hello", "hello world", "\r", "\n", "PRI"} {
		echoes(t, b.dial(), said)
	}
}

func TestAConnectionOnWhichNothingIsSaidPasses(t *testing.T) {
	s := speaking(t, func(conn net.Conn) {
		rest, err := io.ReadAll(conn)
		if err == nil {
			io.WriteString(conn, "12:00:00"+string(rest)) // the client sees it
		}
	})
	b := newBed(t, Port{}, s)
	conn := b.dial()
	conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "12:00:00" {
		t.Fatalf("the client got %q, %v", got, err)
	}
}

// If a request got past the HTTP handler, so would headers that only a trusted proxy
// may set.
func TestARequestThatBeginsSlowlyDoesNotGetPast(t *testing.T) {
	reached := make(chan string, 1)
	first := make(chan struct{})
	s := speaking(t, func(conn net.Conn) {
		b := make([]byte, 2)
		if _, err := io.ReadFull(conn, b); err == nil {
			close(first)
		}
		rest, _ := io.ReadAll(conn) // it is cut off
		reached <- string(b) + string(rest)
	})
	b := newBed(t, Port{}, s)
	conn := b.dial()
	io.WriteString(conn, "GE") // the server sees it
	<-first
	io.WriteString(conn, "T / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	if got := <-reached; got != "GE" {
		t.Errorf("the server got %q", got)
	}
	b.idle()
}

func TestAClientThatWasSilentIsMovedFromAReplicaThatDrains(t *testing.T) {
	begun := make(chan string, 2)
	quiet := func(name string) *stand {
		return speaking(t, func(conn net.Conn) {
			begun <- name
			if rest, err := io.ReadAll(conn); err == nil {
				io.WriteString(conn, name+" heard "+string(rest)) // the client sees it
			}
		})
	}
	old, young := quiet("the old one"), quiet("the new one")
	b := newBed(t, Port{}, old)
	conn := b.dial()
	if got := <-begun; got != "the old one" {
		t.Fatalf("%s was reached", got)
	}
	b.put(Port{}, old, young)
	old.replica.drain(Drain{Since: time.Now(), Timeout: time.Hour, Streams: time.Hour}, time.Now())
	if got := <-begun; got != "the new one" {
		t.Fatalf("%s was reached", got)
	}
	if n := old.replica.streams.Load(); n != 0 {
		t.Errorf("the old one has still %d to do", n)
	}
	io.WriteString(conn, "\x01") // seen below
	conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "the new one heard \x01" {
		t.Fatalf("the client got %q, %v", got, err)
	}
}

func TestWhatAnHTTPServerSaysUnaskedIsNoGreeting(t *testing.T) {
	s := speaking(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 408 Request Timeout\r\n\r\n") // the client sees it
	})
	b := newBed(t, Port{}, s)
	if got, err := io.ReadAll(b.dial()); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
		t.Fatalf("the client got %q, %v", got, err)
	}
	if b.greets.Load() {
		t.Error("the server is taken for one that speaks first")
	}
}

func TestAnHTTP2ServersSettingsAreNoGreeting(t *testing.T) {
	const settings = "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"
	said := make(chan struct{}, 1)
	s := speaking(t, func(conn net.Conn) {
		io.WriteString(conn, settings) // the client sees it
		said <- struct{}{}
		rest, _ := io.ReadAll(conn) // the client sees what is missing
		conn.Write(rest)            // too
	})
	b := newBed(t, Port{}, s)
	conn := b.dial()
	<-said
	io.WriteString(conn, "\x01then") // seen below
	conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != settings+"\x01then" {
		t.Fatalf("the client got %q, %v", got, err)
	}
	if b.greets.Load() {
		t.Error("the server is taken for one that speaks first")
	}
}

func TestWhatComesInPiecesIsHeardWhole(t *testing.T) {
	for name, pieces := range map[string][]string{
		"HTTP/2's preface in two": {"PRI * HTTP/2.0\r", "\n\r\nSM\r\n\r\n"},
		"HTTP/1 in letters":       append([]string{"GET /"}, strings.Split(" HTTP/1.1\r\n", "")...),
		"TLS after one byte":      {"\x16", "\x03\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := tcpPair(t)
			var sent bytes.Buffer
			go func() {
				for _, p := range pieces {
					io.WriteString(far, p) // what is missing is seen below
				}
			}()
			c := &client{Conn: near}
			said, err := c.hear(-1)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pieces {
				sent.WriteString(p)
			}
			if want := classify(sent.Bytes()); said != want {
				t.Errorf("it is %s, want %s", said, want)
			}
			whole := make([]byte, sent.Len())
			near.SetReadDeadline(time.Now().Add(testPatience))
			if _, err := io.ReadFull(c, whole); err != nil || !bytes.Equal(whole, sent.Bytes()) {
				t.Errorf("read %q, %v", whole, err)
			}
		})
	}
}
