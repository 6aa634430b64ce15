package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"davit/compose"
)

// Dialer looks at containers over the network. The zero value is ready.
type Dialer struct{}

// Look looks once at the container at that address, for no longer than the probe's
// timeout or ctx. A probe of another kind than http, tcp and grpc is an error of the
// caller's, which is the only error besides that of ctx.
func (Dialer) Look(ctx context.Context, p *compose.Probe, at netip.Addr) (Answer, error) {
	limited, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	var seen string
	var err error
	switch {
	case p.HTTP != nil:
		seen, err = lookHTTP(limited, p.HTTP, at)
	case p.GRPC != nil:
		seen, err = lookGRPC(limited, p.GRPC, at)
	case p.TCP != 0:
		seen, err = "", lookTCP(limited, netip.AddrPortFrom(at, p.TCP))
	default:
		return Answer{}, fmt.Errorf("probe %s: not one that is made over the network", p)
	}
	switch {
	case ctx.Err() != nil:
		return Answer{}, ctx.Err()
	case err != nil && !errors.As(err, new(told)) && (limited.Err() != nil || timedOut(err)):
		return Answer{Output: Line("no answer within " + p.Timeout.String() + said(seen))}, nil
	case err != nil:
		return Answer{Output: Line(reason(err) + said(seen))}, nil
	}
	return Answer{OK: true, Output: Line(seen)}, nil
}

// told is an error that the container itself told, in time, however long the rest of its
// answer took.
type told string

func (t told) Error() string { return string(t) }

// timedOut finds a deadline that was passed on to the system, which may be a moment ahead
// of its context.
func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func said(seen string) string {
	if seen == "" {
		return ""
	}
	return ": " + seen
}

// lookTCP is content with a connection.
func lookTCP(ctx context.Context, at netip.AddrPort) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	// What the connection's end is like says nothing of the container.
	_ = c.Close()
	return nil
}

// reason is err without the address, which the reader knows.
func reason(err error) string {
	if op := new(net.OpError); errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return strings.TrimPrefix(err.Error(), "connect: ")
}

// maxLine is how much of what a probe saw is shown, in bytes.
const maxLine = 300

// Line is text of strangers as one line of valid, printable and bounded text.
func Line(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
