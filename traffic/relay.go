package traffic

import (
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bulk is how much the kernel moves by itself once a side sends more than a piece
	// at once, and bulkPause how long it may wait for more of it.
	bulk      = 1 << 20
	bulkPause = time.Second
	// lingering is how long a side that has ended may still send what nobody takes any
	// more: closing on unread bytes would reset the connection and lose the last ones
	// that it was sent.
	lingering = 2 * time.Second
)

// errDeaf is why bytes cannot be passed on: who should get them takes no more.
var errDeaf = errors.New("the other side takes no more")

// relay passes bytes between a client and a replica, both ways, until both have ended
// or it is cut. An end is passed on as an end, and a reset as a reset: what was cut off
// must not look whole.
type relay struct {
	client, server end
	// owed is true while the client has said something that was not answered.
	owed atomic.Bool
	// answered is true once the replica has said anything, lost when it then, or
	// instead, reset the connection.
	answered, lost atomic.Bool
	// half is closed when one direction has ended.
	half     chan struct{}
	halfOnce sync.Once
	mu       sync.Mutex
}

// end is one side of a relay.
type end struct {
	conn *net.TCPConn
	in   *reader
	out  *writer
	// ahead was read from it already.
	ahead []byte
	// watch looks on at what it sends; nil for a side that is known.
	watch *watch
	// finished is true once the side was told that it gets no more.
	finished atomic.Bool
	// ended is true when it sends no more that counts, deaf when it takes no more. The
	// relay's lock guards both.
	ended, deaf bool
}

func newRelay(c *client, u *upstream, from *buffers) (*relay, error) {
	r := &relay{half: make(chan struct{})}
	conn, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return nil, errors.ErrUnsupported // what listens for TCP accepts nothing else
	}
	r.client.conn, r.client.ahead, c.ahead = conn, c.ahead, nil
	r.server.conn, r.server.ahead, u.ahead = u.TCPConn, u.ahead, nil
	for _, e := range []*end{&r.client, &r.server} {
		in, err := newReader(e.conn, from, pieceSize)
		if err != nil {
			return nil, err
		}
		e.in, e.out = in, newWriter(in.raw)
	}
	return r, nil
}

// run passes bytes until both sides have ended, and closes them.
func (r *relay) run() {
	var up sync.WaitGroup
	up.Go(func() { r.pass(&r.server, &r.client) })
	r.pass(&r.client, &r.server)
	up.Wait()
	r.close()
}

// close ends both sides as one would that has nothing more to say.
func (r *relay) close() {
	r.client.conn.Close()
	r.server.conn.Close()
}

// abort ends both sides in a way that no side can take for a good end.
func (r *relay) abort() {
	for _, e := range []*end{&r.client, &r.server} {
		reset(e.conn)
	}
}

// reset closes a connection so that its peer sees an error.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0) // of a connection that is closed there is nothing left to reset
	conn.Close()
}

// pass takes what src says to dst, and then its end.
func (r *relay) pass(dst, src *end) {
	switch err := r.flow(dst, src); {
	case err == nil:
		dst.finish()
		r.settle(func() { src.ended = true })
	case errors.Is(err, errDeaf):
		r.settle(func() { dst.deaf = true })
		for err = nil; err == nil; {
			err = src.skip()
		}
	default:
		if src == &r.server && !errors.Is(err, net.ErrClosed) {
			r.lost.Store(true)
		}
		r.abort()
	}
	r.halfOnce.Do(func() { close(r.half) })
}

// settle takes note of how a direction has ended. Where that leaves a side that has
// got everything it gets and sends to nobody, it is given a moment to see so.
func (r *relay) settle(note func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	note()
	c, s := &r.client, &r.server
	switch {
	case c.deaf && s.deaf:
		r.abort()
	case s.deaf && s.ended:
		c.linger()
	case c.deaf && c.ended:
		s.linger()
	}
}

// linger bounds how long the side is still listened to.
func (e *end) linger() {
	if err := e.conn.SetReadDeadline(time.Now().Add(lingering)); err != nil {
		e.conn.Close()
	}
}

// finish tells the side that it gets no more.
func (e *end) finish() {
	e.finished.Store(true)
	e.conn.CloseWrite() // of a connection that is gone nothing is missed
}

// skip reads a piece that nobody takes. Its error ends the side.
func (e *end) skip() error {
	piece, err := e.in.next()
	if err != nil {
		return err
	}
	defer e.in.release()
	if len(piece) == 0 {
		return io.EOF
	}
	return nil
}

// flow moves bytes from src to dst until src ends: nil. Its error is errDeaf, or why
// there is no telling what src would have said.
func (r *relay) flow(dst, src *end) error {
	if ahead := src.ahead; len(ahead) > 0 {
		src.ahead = nil
		if err := r.put(dst, src, ahead); err != nil {
			return err
		}
	}
	for {
		full, err := r.piece(dst, src)
		if full && err == nil && src.watch == nil {
			err = r.stream(dst, src)
		}
		switch {
		case errors.Is(err, io.EOF) && src.broken():
			return syscall.ECONNRESET // the other direction was told first
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// piece moves one piece, and reports whether there was more than fits in it.
func (r *relay) piece(dst, src *end) (full bool, err error) {
	piece, err := src.in.next()
	if err != nil {
		return false, err
	}
	defer src.in.release()
	if len(piece) == 0 {
		return false, io.EOF
	}
	return len(piece) == pieceSize, r.put(dst, src, piece)
}

// put gives dst a piece that src said.
func (r *relay) put(dst, src *end, piece []byte) error {
	if src.watch != nil {
		known, err := src.watch.see(piece)
		if err != nil {
			return err
		}
		if known {
			src.watch = nil
		}
	}
	r.note(src == &r.client)
	if dst.out.write(piece) != nil {
		return errDeaf
	}
	return nil
}

// note remembers who spoke last.
func (r *relay) note(client bool) {
	if r.owed.Load() != client {
		r.owed.Store(client)
	}
	if !client && !r.answered.Load() {
		r.answered.Store(true)
	}
}

// stream lets the kernel move what src sends for as long as it sends without a pause.
func (r *relay) stream(dst, src *end) error {
	for {
		if err := src.conn.SetReadDeadline(time.Now().Add(bulkPause)); err != nil {
			return err
		}
		left := io.LimitedReader{R: src.conn, N: bulk}
		n, err := dst.conn.ReadFrom(&left)
		if n > 0 {
			r.note(src == &r.client)
		}
		switch {
		case isTimeout(err):
			return src.conn.SetReadDeadline(time.Time{})
		case err != nil && (errors.Is(err, syscall.EPIPE) || dst.broken()):
			return cmp.Or(src.conn.SetReadDeadline(time.Time{}), errDeaf)
		case err != nil:
			return err
		case left.N > 0:
			return io.EOF
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// look is how much has arrived on both sides so far, and whether something was said
// that has not arrived, or was not answered.
func (r *relay) look() (moved uint64, waiting bool) {
	waiting = r.owed.Load()
	for _, e := range []*end{&r.client, &r.server} {
		if info, err := e.info(); err == nil {
			moved += info.Bytes_acked + info.Bytes_received
			waiting = waiting || info.Unacked > 0 || info.Notsent_bytes > 0
		}
	}
	return moved, waiting
}

// broken reports whether the connection was reset. A socket tells of a reset once,
// to whoever asks first, and to the next one of a good end.
func (e *end) broken() bool {
	info, err := e.info()
	// Once it was told that it gets no more, its own end closes the connection too.
	return err != nil || info.State == unix.BPF_TCP_CLOSE && !e.finished.Load()
}

// info is what the kernel knows about the connection. Its error says that this side has
// closed it.
func (e *end) info() (info *unix.TCPInfo, err error) {
	if failed := e.in.raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); failed != nil {
		return nil, failed
	}
	return info, err
}
