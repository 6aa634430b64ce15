package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// greetingTimeout is how long a replica has to greet.
const greetingTimeout = 5 * time.Second

// errRefusesH2 is how a replica is found to speak only HTTP/1: it answers HTTP/2's
// preface with an error, or not at all. The preface is made so that none takes it for
// a request.
var errRefusesH2 = errors.New("the replica does not speak HTTP/2")

// greeting is a connection of which it is to be found out whether the replica speaks
// HTTP/2, by the first frame that it sends: its settings.
type greeting struct {
	net.Conn
	// head is what was read of the first frame's head, rest how much of its payload was
	// not.
	head []byte
	rest int
	over bool
	told chan error
}

func newGreeting(conn net.Conn) *greeting { return &greeting{Conn: conn, told: make(chan error, 1)} }

// Read is called by one goroutine, from the beginning. When it reads on after the
// settings, it has heeded them: what may be sent at once is known then.
func (g *greeting) Read(p []byte) (int, error) {
	if !g.over && len(g.head) == h2headLength && g.rest == 0 {
		g.tell(nil)
	}
	n, err := g.Conn.Read(p)
	if !g.over {
		g.judge(p[:n], err)
	}
	return n, err
}

const h2headLength = 9

func (g *greeting) judge(p []byte, err error) {
	const settings, ack = 4, 1
	if missing := h2headLength - len(g.head); missing > 0 {
		n := min(len(p), missing)
		g.head = append(g.head, p[:n]...)
		if n == missing {
			g.rest = int(binary.BigEndian.Uint32(g.head) >> 8)
			if g.head[3] != settings || g.head[4]&ack != 0 || [4]byte(g.head[5:]) != [4]byte{} {
				g.tell(errRefusesH2)
				return
			}
		}
		p = p[n:]
	}
	g.rest -= min(g.rest, len(p))
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		err = errRefusesH2
	}
	if err != nil {
		g.tell(err)
	}
}

func (g *greeting) tell(err error) {
	g.over = true
	g.told <- err
}

// wait is until the replica has greeted.
func (g *greeting) wait(ctx context.Context) error {
	late := time.NewTimer(greetingTimeout)
	defer late.Stop()
	select {
	case err := <-g.told:
		return err
	case <-late.C:
		return fmt.Errorf("no greeting within %s", greetingTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
