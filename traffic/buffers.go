package traffic

import (
	"net"
	"sync"
	"syscall"
)

// pieceSize is how much is read from a connection at once.
const pieceSize = 16 << 10

// buffers are lent to whoever has something to read. The zero value is ready.
type buffers struct{ pool sync.Pool }

func (b *buffers) get(size int) *[]byte {
	if lent, ok := b.pool.Get().(*[]byte); ok && len(*lent) >= size {
		return lent
	}
	made := make([]byte, size)
	return &made
}

func (b *buffers) put(lent *[]byte) { b.pool.Put(lent) }

// reader reads from a socket with a buffer that it has only while there is something
// to read: ten thousand quiet connections hold none.
type reader struct {
	raw     syscall.RawConn
	buffers *buffers
	size    int
	// attempt is try, made a value once.
	attempt func(uintptr) bool
	lent    *[]byte
	n       int
	err     error
}

func newReader(conn syscall.Conn, from *buffers, size int) (*reader, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err // of a connection that is closed
	}
	r := &reader{raw: raw, buffers: from, size: size}
	r.attempt = r.try
	return r, nil
}

// next waits for what comes next. The piece holds until release; its length is 0
// without an error at the end of a stream, and for an empty datagram.
func (r *reader) next() ([]byte, error) {
	if err := r.raw.Read(r.attempt); err != nil {
		return nil, err
	}
	if r.err != nil {
		r.release()
		return nil, r.err
	}
	return (*r.lent)[:r.n], nil
}

// release gives the buffer of the last piece back.
func (r *reader) release() {
	if r.lent != nil {
		r.buffers.put(r.lent)
		r.lent = nil
	}
}

// try reads without waiting, and reports whether there was anything to tell.
func (r *reader) try(fd uintptr) bool {
	r.lent = r.buffers.get(r.size)
	n, err := quickly(syscall.SYS_READ, fd, (*r.lent)[:r.size])
	switch err {
	case nil:
		r.n, r.err = n, nil
	case syscall.EAGAIN:
		r.release()
		return false
	default:
		r.n, r.err = 0, &net.OpError{Op: "read", Err: err}
	}
	return true
}
