package mix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// wire is a connection over which messages go both ways.
type wire interface {
	say(n int, body []byte) error
	// hear returns io.EOF once the other side has ended as it should.
	hear() (n int, body []byte, err error)
	// finish tells the other side that nothing more comes.
	finish() error
	// server is who answers, once it is known.
	server() Server
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Close() error
}

const (
	// pace is the pause between two messages of a stream, and window how many may be
	// under way.
	pace   = 50 * time.Millisecond
	window = 8
)

// errClosed is what is seen of a connection that the other side closes in all order.
var errClosed = errors.New("closed by the other side")

// message is what is owed: it was sent, and has to come back.
type message struct {
	n    int
	body []byte
}

// conversation is one stream while it lasts.
type conversation struct {
	wire  wire
	pace  time.Duration
	owed  chan message
	heard int
	// finished is true once the other side was told that nothing more comes.
	finished atomic.Bool

	mu sync.Mutex
	// moved is when anything was last said or heard, and before how long nothing had been
	// until then.
	moved  time.Time
	before time.Duration
}

func newConversation(w wire) *conversation {
	return &conversation{wire: w, pace: pace, owed: make(chan message, window), moved: time.Now()}
}

// run goes on until ctx ends, or the other side ends it, and says how it was.
func (c *conversation) run(ctx context.Context) (how Ending, ended time.Time, err error) {
	over := make(chan struct{})
	var speaking sync.WaitGroup
	var spoken error
	speaking.Go(func() { spoken = c.speak(ctx, over) })
	how, err = c.listen()
	ended = time.Now()
	close(over)
	_ = c.wire.SetWriteDeadline(time.Now()) // of a connection that is closed there is nothing to wait for
	speaking.Wait()
	// A reset is told of once: to who writes, or to who reads.
	if how != Finished && !errors.Is(err, errMangled) && errors.Is(spoken, syscall.ECONNRESET) {
		how, err = Reset, spoken
	}
	return how, ended, err
}

// speak sends messages until ctx ends, and says then that nothing more comes.
func (c *conversation) speak(ctx context.Context, over <-chan struct{}) error {
	for n := 1; ; n++ {
		next := message{n: n, body: noise(someLength())}
		select {
		case c.owed <- next:
		case <-over:
			return nil
		}
		if err := c.wire.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if err := c.wire.say(next.n, next.body); err != nil {
			return err
		}
		c.touch()
		select {
		case <-time.After(c.pace):
		case <-over:
			return nil
		case <-ctx.Done():
			c.finished.Store(true)
			return c.wire.finish()
		}
	}
}

// listen compares what comes back with what is owed until there is an end.
func (c *conversation) listen() (Ending, error) {
	for {
		if err := c.wire.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return Failed, err
		}
		n, body, err := c.wire.hear()
		switch {
		case err == nil:
		case errors.Is(err, syscall.ECONNRESET):
			return Reset, err
		case err == io.EOF && !c.finished.Load() && len(c.owed) <= 1: // that was said when it had been closed
			return Closed, errClosed
		case err == io.EOF && len(c.owed) > 0:
			return Failed, fmt.Errorf("it ended well, but the last %d messages did not come back", len(c.owed))
		case err == io.EOF:
			return Finished, nil
		default:
			return Failed, err
		}
		c.touch()
		select {
		case want := <-c.owed:
			if n != want.n {
				return Failed, fmt.Errorf("%w: message %d came in the place of %d", errMangled, n, want.n)
			}
			if !bytes.Equal(body, want.body) {
				return Failed, fmt.Errorf("message %d: %w", n, differ(body, want.body))
			}
			c.heard++
		default:
			return Failed, fmt.Errorf("%w: message %d came, and nothing was asked for", errMangled, n)
		}
	}
}

// touch takes note that something moves.
func (c *conversation) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.before, c.moved = now.Sub(c.moved), now
}

// quiet is for how long nothing had moved at the end, or before a last word that nobody
// heard any more.
func (c *conversation) quiet(ended time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(ended.Sub(c.moved), c.before)
}
