package traffic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	proxyV2Four = proxyV2Start + "\x21\x11\x00\x0c" + "\xc0\x00\x02\x01\xc6\x33\x64\x02" + "\xc8\x22\x01\xbb"
	proxyV2Six  = proxyV2Start + "\x21\x21\x00\x24" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\xc8\x22\x01\xbb"
)

// sending is a client's connection on which pieces are sent, and then nothing more.
func sending(t *testing.T, pieces ...string) *client {
	t.Helper()
	near, far := tcpPair(t)
	for _, p := range pieces {
		if _, err := io.WriteString(far, p); err != nil {
			t.Fatal(err)
		}
	}
	far.CloseWrite()
	return &client{Conn: near}
}

func TestAPROXYHeaderSaysWhoTheClientIs(t *testing.T) {
	four := proxyHeader{source: netip.MustParseAddrPort("192.0.2.1:51234"), destination: netip.MustParseAddrPort("198.51.100.2:443")}
	six := proxyHeader{source: netip.MustParseAddrPort("[2001:db8::1]:51234"), destination: netip.MustParseAddrPort("[2001:db8::2]:443")}
	for sent, want := range map[string]proxyHeader{
		"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n":  four,
		"PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n": six,
		"PROXY UNKNOWN\r\n": {},
		"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": {},
		proxyV2Four:                       four,
		proxyV2Six:                        six,
		proxyV2Start + "\x20\x00\x00\x00": {own: true},
		proxyV2Start + "\x20\x11\x00\x0c" + strings.Repeat("\x01", 12):                       {own: true},
		proxyV2Start + "\x21\x00\x00\x00":                                                    {},
		proxyV2Start + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216):                      {},   // a Unix socket's
		proxyV2Start + "\x21\x11\x00\x13" + proxyV2Four[16:] + "\x04\x00\x04abcd":            four, // with a TLV
		proxyV2Start + "\x21\x11\xff\xff" + proxyV2Four[16:] + strings.Repeat("x", 65535-12): four,
	} {
		for _, rest := range []string{"", "GET / HTTP/1.1\r\n"} {
			c := sending(t, sent, rest)
			got, err := c.proxyHeader()
			if err != nil || got != want {
				t.Errorf("%.60q is %+v, %v; want %+v", sent, got, err, want)
			}
			if after, err := io.ReadAll(c); err != nil || string(after) != rest {
				t.Errorf("after %.60q there is %q, %v; want %q", sent, after, err, rest)
			}
		}
	}
}

func TestWhatIsNoPROXYHeaderIsRefused(t *testing.T) {
	for _, sent := range []string{
		"", "P", "PROXY", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
		"PROXY \r\n      ", "PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 51234\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443 1\r\n", "PROXY  TCP4 192.0.2.1 198.51.100.2 51234 443\r\n",
		"PROXY tcp4 192.0.2.1 198.51.100.2 51234 443\r\n", "proxy TCP4 192.0.2.1 198.51.100.2 51234 443\r\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 51234 443\r\n", "PROXY TCP6 192.0.2.1 198.51.100.2 51234 443\r\n",
		"PROXY TCP4 192.0.2.256 198.51.100.2 51234 443\r\n", "PROXY TCP4 192.0.2.01 198.51.100.2 51234 443\r\n",
		"PROXY TCP6 fe80::1%eth0 2001:db8::2 51234 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 051234 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2  443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 99999999999999999999 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\n", "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443",
		"PROXY UNKNOWN " + strings.Repeat("x", longestProxyV1) + "\r\n",
		proxyV2Start, proxyV2Start + "\x21", proxyV2Four[:20], proxyV2Start + "\x11\x11\x00\x0c" + proxyV2Four[16:],
		proxyV2Start + "\x22\x11\x00\x0c" + proxyV2Four[16:], proxyV2Start + "\x21\x11\x00\x0b" + proxyV2Four[16:],
		proxyV2Start + "\x21\x21\x00\x0c" + proxyV2Four[16:],
	} {
		if got, err := sending(t, sent).proxyHeader(); err == nil {
			t.Errorf("%q is %+v", sent, got)
		}
	}
}

func TestWhatIsWrittenAsAPROXYHeaderIsReadAsSuch(t *testing.T) {
	four, other := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("198.51.100.2:65535")
	six := netip.MustParseAddrPort("[2001:db8::1]:80")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:1")
	for _, h := range []struct{ written, read proxyHeader }{
		{proxyHeader{source: four, destination: other}, proxyHeader{source: four, destination: other}},
		{proxyHeader{source: mapped, destination: other}, proxyHeader{source: four, destination: other}},
		{proxyHeader{source: six, destination: six}, proxyHeader{source: six, destination: six}},
		{proxyHeader{source: six, destination: other}, proxyHeader{source: six, destination: other}},
	} {
		for _, version := range []int{1, 2} {
			sent := h.written.write(version)
			if got, err := sending(t, string(sent)).proxyHeader(); err != nil || got != h.read {
				t.Errorf("version %d, %q is %+v, %v; want %+v", version, sent, got, err, h.read)
			}
		}
	}
	if got := string(proxyHeader{}.write(1)); got != "PROXY UNKNOWN\r\n" {
		t.Errorf("of nobody it is %q", got)
	}
	if got := string(proxyHeader{}.write(2)); got != proxyV2Start+"\x20\x00\x00\x00" {
		t.Errorf("of nobody it is %q", got)
	}
}

func FuzzPROXYHeader(f *testing.F) {
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n", "PROXY UNKNOWN\r\n", proxyV2Four, proxyV2Six,
		proxyV2Start + "\x20\x00\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &client{Conn: quietConn{}, ahead: bytes.Clone(b)}
		h, err := c.proxyHeader()
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b, c.ahead) {
			t.Fatalf("of %q it leaves %q", b, c.ahead)
		}
		if !h.source.IsValid() {
			return
		}
		for _, version := range []int{1, 2} {
			again, err := (&client{Conn: quietConn{}, ahead: h.write(version)}).proxyHeader()
			if err != nil || again != h {
				t.Fatalf("%+v comes back as %+v, %v", h, again, err)
			}
		}
	})
}

// quietConn is a connection that has ended.
type quietConn struct{ net.Conn }

func (quietConn) Read([]byte) (int, error) { return 0, io.EOF }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// repeating is a stand that says what it was sent, once that has ended.
func repeating(t *testing.T) *stand {
	t.Helper()
	return speaking(t, func(conn net.Conn) {
		got, err := io.ReadAll(conn)
		fmt.Fprintf(conn, "%q %v", got, err) // the client sees it
	})
}

func TestThePROXYHeaderOfATrustedPeerIsPassedOn(t *testing.T) {
	for _, version := range []int{0, 1, 2} {
		b := newBed(t, Port{Protocol: ProtocolTCP, Trusted: loopback, AcceptProxy: true, SendProxy: version}, repeating(t))
		conn := b.dial()
		io.WriteString(conn, proxyV2Four[:13]) // the replica sees it
		io.WriteString(conn, proxyV2Four[13:]+"\x00said")
		conn.CloseWrite()
		want := map[int]string{0: "", 1: "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n", 2: proxyV2Four}[version] + "\x00said"
		if got, err := io.ReadAll(conn); err != nil || string(got) != fmt.Sprintf("%q <nil>", want) {
			t.Errorf("version %d: the replica got %s, %v; want %q", version, got, err, want)
		}
	}
}

func TestThePROXYHeaderOfAnybodyElseIsNotBelieved(t *testing.T) {
	other := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for name, shape := range map[string]Port{
		"nobody is trusted":          {Protocol: ProtocolTCP, AcceptProxy: true, SendProxy: 1},
		"somebody else is":           {Protocol: ProtocolTCP, AcceptProxy: true, SendProxy: 1, Trusted: other},
		"the port takes no header":   {Protocol: ProtocolTCP, SendProxy: 1, Trusted: loopback},
		"also where it is found out": {SendProxy: 1, AcceptProxy: true},
	} {
		t.Run(name, func(t *testing.T) {
			const forged = "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n"
			b := newBed(t, shape, repeating(t))
			conn := b.dial()
			io.WriteString(conn, forged) // the replica sees it
			conn.CloseWrite()
			mine := proxyHeader{source: ends(conn.LocalAddr()), destination: ends(conn.RemoteAddr())}
			want := fmt.Sprintf("%q <nil>", string(mine.write(1))+forged)
			if got, err := io.ReadAll(conn); err != nil || string(got) != want {
				t.Errorf("the replica got %s, %v; want %s", got, err, want)
			}
		})
	}
}

func TestATrustedPeerWithoutAPROXYHeaderReachesNobody(t *testing.T) {
	s := speaking(t, func(net.Conn) { t.Error("the replica was reached") })
	for _, protocol := range []Protocol{ProtocolAuto, ProtocolHTTP, ProtocolTCP} {
		b := newBed(t, Port{Protocol: protocol, Trusted: loopback, AcceptProxy: true}, s)
		for _, sent := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 nobody nobody 1 2\r\n", proxyV2Start + "\x2f\x11\x00\x00"} {
			conn := b.dial()
			io.WriteString(conn, sent) // it is refused
			conn.CloseWrite()
			got, err := io.ReadAll(conn)
			if len(got) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after %q the peer gets %q, %v", sent, got, err)
			}
		}
	}
}

func TestAfterAPROXYHeaderItCountsWhoTheClientIs(t *testing.T) {
	for sent, want := range map[string]bool{
		"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n": false, // it may have written X-Forwarded-For itself
		"PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n": true,
		"PROXY UNKNOWN\r\n":                      false,
		proxyV2Start + "\x20\x00\x00\x00":        true,
	} {
		b := newBed(t, Port{Trusted: loopback, AcceptProxy: true})
		c := sending(t, sent)
		c.trusted = true
		if err := b.acceptProxy(c); err != nil || c.trusted != want {
			t.Errorf("after %q trusted is %v, %v", sent, c.trusted, err)
		}
	}
}

func TestSourceAffinityGoesByThePROXYHeader(t *testing.T) {
	stands := []*stand{echoing(t), echoing(t), echoing(t)}
	b := newBed(t, Port{Protocol: ProtocolTCP, Trusted: loopback, AcceptProxy: true, Affinity: AffinitySource}, stands...)
	reached := map[int]bool{}
	for client := range 20 {
		first := -1
		for range 2 {
			conn := b.dial()
			echoesAfter(t, conn, fmt.Sprintf("PROXY TCP4 192.0.2.%d 127.0.0.1 1 2\r\n", client))
			at := slices.IndexFunc(stands, func(s *stand) bool { return s.replica.streams.Load() == 1 })
			if first >= 0 && at != first {
				t.Errorf("client %d reaches %d, then %d", client, first, at)
			}
			first = at
			reached[at] = true
			conn.Close()
			b.idle()
		}
	}
	if len(reached) < 2 || reached[-1] {
		t.Errorf("twenty clients reach %v", reached)
	}
}

// echoesAfter is echoes for a connection that begins with what is not echoed.
func echoesAfter(t *testing.T, conn net.Conn, begin string) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(testPatience))
	io.WriteString(conn, begin) // seen below
	echoes(t, conn, "hello")
}
