package traffic

import (
	"cmp"
	"syscall"
)

// writer writes to a connection, for one goroutine at a time.
type writer struct {
	raw syscall.RawConn
	// attempt is try, made a value once; left is what it has yet to write, and err why
	// it cannot.
	attempt func(uintptr) bool
	left    []byte
	err     error
}

func newWriter(raw syscall.RawConn) *writer {
	w := &writer{raw: raw}
	w.attempt = w.try
	return w
}

// write returns once all of p is written, or cannot be.
func (w *writer) write(p []byte) error {
	w.left, w.err = p, nil
	err := w.raw.Write(w.attempt)
	w.left = nil
	return cmp.Or(w.err, err)
}

// try writes what is taken without waiting, and reports whether that was all.
func (w *writer) try(fd uintptr) bool {
	for len(w.left) > 0 {
		n, err := quickly(syscall.SYS_WRITE, fd, w.left)
		if err == syscall.EAGAIN {
			return false
		}
		if w.err = err; err != nil {
			return true
		}
		w.left = w.left[n:]
	}
	return true
}
