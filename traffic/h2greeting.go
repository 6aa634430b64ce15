package traffic

import (
	"context"
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
// HTTP/2, by the first frame that it sends.
type greeting struct {
	net.Conn
	head   []byte
	judged bool
	told   chan error
}

func newGreeting(conn net.Conn) *greeting { return &greeting{Conn: conn, told: make(chan error, 1)} }

// Read is called by one goroutine, from the beginning.
func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if !g.judged {
		g.judge(p[:n], err)
	}
	return n, err
}

func (g *greeting) judge(p []byte, err error) {
	const headLength, settings, ack = 9, 4, 1
	g.head = append(g.head, p[:min(len(p), headLength-len(g.head))]...)
	switch {
	case len(g.head) == headLength:
		if g.head[3] != settings || g.head[4]&ack != 0 || [4]byte(g.head[5:]) != [4]byte{} {
			err = errRefusesH2
		} else {
			err = nil
		}
	case err == nil:
		return // there is more to come
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		err = errRefusesH2
	}
	g.judged = true
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
