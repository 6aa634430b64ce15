package mix

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Ending is how a stream ended.
type Ending int

const (
	// Finished: by this side, once everything had come back.
	Finished Ending = iota
	// Reset: by the other side, in a way that nobody takes for a good end.
	Reset
	// Closed: by the other side, as if nothing were missing; which is so.
	Closed
	// Failed: something is missing or wrong, or nothing came for long.
	Failed
)

func (e Ending) String() string { return [...]string{"finished", "reset", "closed", "failed"}[e] }

// Stream is a connection that lasted, and has ended.
type Stream struct {
	Kind          Kind
	Server        Server
	Opened, Ended time.Time
	// Messages are those that came back.
	Messages int
	End      Ending
	// Quiet is for how long nothing had been said or heard when it was ended.
	Quiet time.Duration
	// Err is what this side saw, nil of one that Finished.
	Err error
}

func (s Stream) String() string {
	return fmt.Sprintf("%s %s to %s, %s after %s and %d messages: %v", s.Ended.Format("15:04:05.000"), s.Kind, s.Server, s.End,
		s.Ended.Sub(s.Opened).Round(time.Millisecond), s.Messages, s.Err)
}

// Drains says since when containers get nothing new, and what becomes of what they have.
type Drains struct {
	// Since is by host name.
	Since map[string]time.Time
	// Timeout is after how long a TCP connection on which nothing moves is closed, and
	// Streams after how long everything is cut off.
	Timeout, Streams time.Duration
}

// stillness is how long nothing must have moved on a connection that is closed for
// that.
const stillness = time.Second

// Judge is why a stream should not have ended as it has, nil where it should.
func (d Drains) Judge(s Stream) error {
	since, draining := d.Since[s.Server.Container]
	lasted := s.Ended.Sub(since)
	switch {
	case s.End == Finished:
		return nil
	case s.End == Failed || s.Server == Server{}:
		return fmt.Errorf("it failed: %s", s)
	case !draining:
		return fmt.Errorf("it ended, and its container was not even draining: %s", s)
	case s.End == Reset && lasted < d.Streams:
		return fmt.Errorf("it was cut off %s after its container began to drain, not %s: %s", lasted, d.Streams, s)
	case s.End == Closed && s.Kind == WebSocket:
		return fmt.Errorf("nobody closes a WebSocket for being quiet: %s", s)
	case s.End == Closed && (lasted < d.Timeout || s.Quiet < stillness):
		return fmt.Errorf("it was closed %s after its container began to drain, and %s after the last word: %s", lasted, s.Quiet, s)
	}
	return nil
}

// converse begins a client that has one stream after another. Each lives for at most
// life; with 0, until the other side ends it.
func (m *Mix) converse(ctx context.Context, kind Kind, life time.Duration) {
	m.done.Go(func() {
		for {
			m.ended(m.stream(ctx, kind, life))
			wait := pace
			if life == 0 {
				// So that not every drain has to wait for it.
				wait = time.Second + rand.N(4*time.Second)
			}
			if !pause(ctx, wait) {
				return
			}
		}
	})
}

// stream is one stream from its beginning to its end.
func (m *Mix) stream(ctx context.Context, kind Kind, life time.Duration) Stream {
	s := Stream{Kind: kind, Opened: time.Now()}
	w, err := m.open(ctx, kind)
	if err != nil {
		s.End, s.Err, s.Ended = Failed, err, time.Now()
		return s
	}
	defer w.Close()
	if life > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, life/4+rand.N(life*3/4))
		defer cancel()
	}
	c := newConversation(w)
	s.End, s.Ended, s.Err = c.run(ctx)
	s.Server, s.Messages, s.Quiet = w.server(), c.heard, c.quiet(s.Ended)
	return s
}

// open connects. That is finished even if ctx ends meanwhile.
func (m *Mix) open(ctx context.Context, kind Kind) (wire, error) {
	ctx = context.WithoutCancel(ctx)
	switch kind {
	case WebSocket:
		return dialSocket(ctx, m.at.HTTP)
	case StreamAuto:
		return dialRecords(ctx, m.at.RecordsAuto)
	case StreamTCP:
		return dialRecords(ctx, m.at.RecordsTCP)
	}
	return nil, errors.ErrUnsupported
}

// ended counts a stream.
func (m *Mix) ended(s Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Streams = append(m.report.Streams, s)
}
