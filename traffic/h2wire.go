package traffic

import (
	"encoding/binary"
	"net"
	"sync"
)

// h2wire is a client's HTTP/2 connection as net/http's server has it. It follows what
// is written frame by frame, so that a farewell can be said in between.
//
// net/http says GOAWAY only once, naming the last request that it will answer: what
// the client has sent meanwhile is lost, unless it can be sent again. RFC 9113, 6.8
// has a server say first, with the highest number, that it will go, and let a moment
// pass; that one is ours.
type h2wire struct {
	*client
	// closed is closed with the connection, taken once the server has it.
	closed, taken chan struct{}
	once          sync.Once

	mu     sync.Mutex
	frames h2frames
	// leaving is true from farewell on, said once it was written.
	leaving, said bool
}

func newH2wire(c *client) *h2wire {
	return &h2wire{client: c, closed: make(chan struct{}), taken: make(chan struct{})}
}

// Close ends the connection.
func (w *h2wire) Close() error {
	err := w.client.Close()
	w.once.Do(func() { close(w.closed) })
	return err
}

// h2listener gives a server the one connection that it is for.
type h2listener struct{ *h2wire }

// Accept gives the connection, and when asked again waits for its end.
func (l h2listener) Accept() (net.Conn, error) {
	select {
	case <-l.taken:
		<-l.closed
		return nil, net.ErrClosed
	default:
		close(l.taken)
		return l.h2wire, nil
	}
}

// Addr is where it listens.
func (l h2listener) Addr() net.Addr { return l.LocalAddr() }

// Close leaves the connection alone: a server that is shut down closes its listeners
// and still answers.
func (l h2listener) Close() error { return nil }

// goAway is the frame that announces the end of a connection on which everything is
// still answered.
const goAway = "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x7f\xff\xff\xff" + "\x00\x00\x00\x00"

func (w *h2wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.Conn.Write(p)
	w.frames.follow(p[:n])
	if err == nil {
		w.announce()
	}
	return n, err
}

// farewell tells the client to ask for nothing more on this connection.
func (w *h2wire) farewell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = true
	w.announce()
}

// announce sends the farewell, once. While something is half written it waits for the
// rest. A connection that cannot be written to is found broken by who reads from it.
func (w *h2wire) announce() {
	if w.leaving && !w.said && w.frames.between() {
		w.said = true
		_, _ = w.Conn.Write([]byte(goAway))
	}
}

// h2frames follows a server's side of an HTTP/2 connection.
type h2frames struct {
	head [9]byte
	// have is how much of head was seen, left how much of the frame's payload was not.
	have int
	left uint32
	// begun is true after the head of the first frame, which must be SETTINGS; block
	// while a block of fields is continued in the next frame, which must follow at once.
	begun, block bool
}

// between reports whether another frame may be put in here.
func (f *h2frames) between() bool {
	return f.begun && !f.block && f.have == 0 && f.left == 0
}

func (f *h2frames) follow(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, uint32(len(p)))
			f.left -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		p = p[n:]
		if f.have += n; f.have == len(f.head) {
			f.enter()
		}
	}
}

// enter takes note of a frame whose head is complete.
func (f *h2frames) enter() {
	const headers, pushPromise, continuation, endHeaders = 1, 5, 9, 4
	f.have, f.begun = 0, true
	f.left = binary.BigEndian.Uint32(f.head[:4]) >> 8
	switch f.head[3] {
	case headers, pushPromise, continuation:
		f.block = f.head[4]&endHeaders == 0
	}
}
