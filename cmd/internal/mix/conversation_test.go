package mix

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// heard is what a replica's side lets a client hear: a message, or an end.
type heard struct {
	message
	err error
}

// replies is a wire whose other side answers as it is told.
type replies struct {
	answer func(m message) []heard
	// farewell is what comes once this side has finished.
	farewell error
	heard    chan heard
	// deaf is the error of saying anything, once it is set.
	deaf error
}

func (r *replies) say(n int, body []byte) error {
	for _, h := range r.answer(message{n, body}) {
		r.heard <- h
	}
	return r.deaf
}

func (r *replies) hear() (int, []byte, error) {
	h := <-r.heard
	return h.n, h.body, h.err
}

func (r *replies) finish() error {
	r.heard <- heard{err: r.farewell}
	return nil
}

func (r *replies) server() Server                   { return Server{} }
func (r *replies) SetReadDeadline(time.Time) error  { return nil }
func (r *replies) SetWriteDeadline(time.Time) error { return nil }
func (r *replies) Close() error                     { return nil }

func TestAConversationEndsAsItDid(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	echo := func(m message) []heard { return []heard{{message: m}} }
	changed := func(m message) message {
		m.body = append([]byte(nil), m.body...)
		m.body[len(m.body)/2] ^= 1
		return m
	}
	tests := map[string]struct {
		// at is what is heard at the fifth message; the others come back as they were.
		at       func(m message) []heard
		farewell error
		deaf     error
		want     Ending
		mangled  bool
	}{
		"all comes back":         {echo, io.EOF, nil, Finished, false},
		"one does not come back": {func(message) []heard { return nil }, io.EOF, nil, Failed, true},
		"one is changed":         {func(m message) []heard { return []heard{{message: changed(m)}} }, io.EOF, nil, Failed, true},
		"one is cut short":       {func(m message) []heard { m.body = m.body[:len(m.body)-1]; return []heard{{message: m}} }, io.EOF, nil, Failed, true},
		"one comes twice":        {func(m message) []heard { return []heard{{message: m}, {message: m}} }, io.EOF, nil, Failed, true},
		"two change places": {func(m message) []heard {
			return []heard{{message: message{m.n + 1, m.body}}, {message: m}}
		}, io.EOF, nil, Failed, true},
		"it is reset":                                       {func(message) []heard { return []heard{{err: reset}} }, nil, nil, Reset, false},
		"it is reset, which a write finds":                  {func(message) []heard { return []heard{{err: io.EOF}} }, nil, reset, Reset, false},
		"it is reset within a message, which a write finds": {func(message) []heard { return []heard{{err: io.ErrUnexpectedEOF}} }, nil, reset, Reset, false},
		"it ends within a message":                          {func(message) []heard { return []heard{{err: io.ErrUnexpectedEOF}} }, nil, nil, Failed, false},
		"it ends unasked":                                   {func(m message) []heard { return []heard{{message: m}, {err: io.EOF}} }, nil, nil, Closed, false},
		"it is reset at the end":                            {echo, reset, nil, Reset, false},
		"what is changed is not excused by a reset":         {func(m message) []heard { return []heard{{message: changed(m)}} }, nil, reset, Failed, true},
		"nothing more comes":                                {func(message) []heard { return []heard{{err: os.ErrDeadlineExceeded}} }, nil, nil, Failed, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := &replies{heard: make(chan heard, 100), farewell: test.farewell}
			w.answer = func(m message) []heard {
				if m.n == 8 {
					cancel()
				}
				if m.n != 5 {
					return echo(m)
				}
				w.deaf = test.deaf
				return test.at(m)
			}
			c := newConversation(w)
			c.pace = time.Millisecond
			how, _, err := c.run(ctx)
			if how != test.want || errors.Is(err, errMangled) != test.mangled || (err == nil) != (how == Finished) {
				t.Errorf("%s, %v; want %s, mangled %t", how, err, test.want, test.mangled)
			}
		})
	}
}

func TestAConversationWhoseLastMessagesAreMissingHasFailed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &replies{heard: make(chan heard, 100), farewell: io.EOF}
	w.answer = func(m message) []heard {
		switch {
		case m.n < 5:
			return []heard{{message: m}}
		case m.n == 8:
			cancel()
		}
		return nil
	}
	c := newConversation(w)
	c.pace = time.Millisecond
	if how, _, err := c.run(ctx); how != Failed || errors.Is(err, errMangled) {
		t.Errorf("%s, %v", how, err)
	}
}
