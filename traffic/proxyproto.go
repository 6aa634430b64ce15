package traffic

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// proxyTimeout is how long a trusted peer may take for its PROXY header, which it
	// sends before anything else.
	proxyTimeout = 5 * time.Second
	// longestProxyV1 is what version 1 of the protocol allows a header, its end included.
	longestProxyV1 = 107
	// proxyV2Head is the part of a header of version 2 whose size is fixed.
	proxyV2Head = 16
)

const proxyV1Start = "PROXY "

// proxyV2Start is what no other protocol begins with.
const proxyV2Start = "\r\n\r\n\x00\r\nQUIT\n"

const (
	proxyV2Local, proxyV2Proxy = 0x20, 0x21
	proxyV2TCP4, proxyV2TCP6   = 0x11, 0x21
)

// acceptProxy takes the ends of the client's connection from the PROXY header that a
// trusted peer has to begin with. A header that is missing, late or malformed is an
// error: what follows cannot be told from it.
func (f *front) acceptProxy(c *client) error {
	if err := c.SetReadDeadline(time.Now().Add(proxyTimeout)); err != nil {
		return fmt.Errorf("bound the PROXY header: %w", err)
	}
	header, err := c.proxyHeader()
	if err != nil {
		return err
	}
	// The peer passes on bytes, it does not write HTTP: whether X-Forwarded-* are
	// believed depends on whose they are.
	c.trusted = header.own || f.port.Load().trusts(header.source.Addr())
	c.source, c.destination = cmp.Or(header.source, c.source), cmp.Or(header.destination, c.destination)
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("end the limit of the PROXY header: %w", err)
	}
	return nil
}

// trusts reports whether the table has the address among the trusted.
func (p *Port) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p.Trusted, func(t netip.Prefix) bool { return t.Contains(a) })
}

// proxyHeader is what a PROXY header says.
type proxyHeader struct {
	// source and destination are the ends of the client's connection; invalid when they
	// are not told.
	source, destination netip.AddrPort
	// own is true when the peer speaks for itself: its health check.
	own bool
}

// proxyHeader reads the header that the client begins with.
func (c *client) proxyHeader() (proxyHeader, error) {
	// The shortest header of version 1 is "PROXY UNKNOWN\r\n": nothing after it is waited for.
	if err := c.peek(len(proxyV2Start)); err != nil {
		return proxyHeader{}, fmt.Errorf("read the PROXY header: %w", unexpected(err))
	}
	switch {
	case bytes.HasPrefix(c.ahead, []byte(proxyV1Start)):
		return c.proxyV1()
	case bytes.HasPrefix(c.ahead, []byte(proxyV2Start)):
		return c.proxyV2()
	default:
		return proxyHeader{}, errors.New("the peer did not begin with a PROXY header")
	}
}

// unexpected is err, where an end in the middle of something is no good end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *client) proxyV1() (proxyHeader, error) {
	for {
		end := bytes.Index(c.ahead[:min(len(c.ahead), longestProxyV1)], []byte("\r\n"))
		if end >= 0 {
			header, err := parseProxyV1(string(c.ahead[:end]))
			c.ahead = c.ahead[end+2:]
			return header, err
		}
		if len(c.ahead) >= longestProxyV1 {
			return proxyHeader{}, errors.New("the PROXY header has no end")
		}
		if err := c.peek(len(c.ahead) + 1); err != nil {
			return proxyHeader{}, fmt.Errorf("read the PROXY header: %w", unexpected(err))
		}
	}
}

// parseProxyV1 reads a line like "PROXY TCP4 192.0.2.1 198.51.100.1 51234 443".
func parseProxyV1(line string) (proxyHeader, error) {
	words := strings.Split(line, " ")
	if len(words) >= 2 && words[1] == "UNKNOWN" {
		return proxyHeader{}, nil // what follows is to be ignored
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return proxyHeader{}, fmt.Errorf("the PROXY header %q is malformed", line)
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		address, err := netip.ParseAddr(words[2+i])
		if err != nil || address.Is4() != (words[1] == "TCP4") || address.Zone() != "" {
			return proxyHeader{}, fmt.Errorf("the PROXY header %q has a wrong address", line)
		}
		port, err := proxyPort(words[4+i])
		if err != nil {
			return proxyHeader{}, fmt.Errorf("the PROXY header %q: %w", line, err)
		}
		ends[i] = netip.AddrPortFrom(address.Unmap(), port)
	}
	return proxyHeader{source: ends[0], destination: ends[1]}, nil
}

// proxyPort reads a decimal port without sign or leading zeros.
func proxyPort(word string) (uint16, error) {
	port := 0
	for _, digit := range []byte(word) {
		if digit < '0' || digit > '9' || port > 65535 {
			return 0, fmt.Errorf("%q is no port", word)
		}
		port = port*10 + int(digit-'0')
	}
	if word == "" || port > 65535 || word[0] == '0' && word != "0" {
		return 0, fmt.Errorf("%q is no port", word)
	}
	return uint16(port), nil
}

func (c *client) proxyV2() (proxyHeader, error) {
	if err := c.peek(proxyV2Head); err != nil {
		return proxyHeader{}, fmt.Errorf("read the PROXY header: %w", unexpected(err))
	}
	size := proxyV2Head + int(binary.BigEndian.Uint16(c.ahead[14:]))
	if err := c.peek(size); err != nil {
		return proxyHeader{}, fmt.Errorf("read the PROXY header: %w", unexpected(err))
	}
	header, err := parseProxyV2(c.ahead[:size])
	c.ahead = c.ahead[size:]
	return header, err
}

// parseProxyV2 reads a whole binary header. What it has beyond the addresses is
// skipped, as the protocol wants it.
func parseProxyV2(b []byte) (proxyHeader, error) {
	command, family, body := b[12], b[13], b[proxyV2Head:]
	switch command {
	case proxyV2Local:
		return proxyHeader{own: true}, nil
	case proxyV2Proxy:
	default:
		return proxyHeader{}, fmt.Errorf("the PROXY header has the unknown command %#x", command)
	}
	size := 0
	switch family {
	case proxyV2TCP4:
		size = 4
	case proxyV2TCP6:
		size = 16
	default:
		return proxyHeader{}, nil
	}
	if len(body) < 2*size+4 {
		return proxyHeader{}, errors.New("the PROXY header is shorter than its addresses")
	}
	end := func(at int) netip.AddrPort {
		address, _ := netip.AddrFromSlice(body[at*size : at*size+size]) // of a size that is one
		return netip.AddrPortFrom(address.Unmap(), binary.BigEndian.Uint16(body[2*size+2*at:]))
	}
	return proxyHeader{source: end(0), destination: end(1)}, nil
}

// write is the header in a version of the protocol, to be sent to a replica before
// everything else.
func (h proxyHeader) write(version int) []byte {
	known := h.source.IsValid() && h.destination.IsValid()
	// One header has one family: an end of the other is written as an IPv6 address.
	both4 := known && h.source.Addr().Unmap().Is4() && h.destination.Addr().Unmap().Is4()
	if version == 1 {
		return h.writeV1(known, both4)
	}
	out := []byte(proxyV2Start)
	switch {
	case !known:
		return append(out, proxyV2Local, 0, 0, 0)
	case both4:
		out = append(out, proxyV2Proxy, proxyV2TCP4, 0, 12)
	default:
		out = append(out, proxyV2Proxy, proxyV2TCP6, 0, 36)
	}
	for _, end := range []netip.AddrPort{h.source, h.destination} {
		if both4 {
			out = append(out, end.Addr().Unmap().AsSlice()...)
		} else {
			sixteen := end.Addr().As16()
			out = append(out, sixteen[:]...)
		}
	}
	out = binary.BigEndian.AppendUint16(out, h.source.Port())
	return binary.BigEndian.AppendUint16(out, h.destination.Port())
}

func (h proxyHeader) writeV1(known, both4 bool) []byte {
	if !known {
		return []byte(proxyV1Start + "UNKNOWN\r\n")
	}
	family, from, to := "TCP4", h.source.Addr().Unmap(), h.destination.Addr().Unmap()
	if !both4 {
		family = "TCP6"
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	return fmt.Appendf(nil, "%s%s %s %s %d %d\r\n", proxyV1Start, family, from, to, h.source.Port(), h.destination.Port())
}
