package traffic

import (
	"io"
	"net/http"
	"sync"
)

// h2upload is a request's body in the hands of one attempt. As long as nothing was read
// from it, the next attempt can have it.
type h2upload struct {
	from io.ReadCloser

	mu            sync.Mutex
	begun, closed bool
	// whole is true once its end was read.
	whole bool
}

func (u *h2upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	closed := u.closed
	u.begun = u.begun || !closed
	u.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := u.from.Read(p)
	if err == io.EOF {
		u.mu.Lock()
		u.whole = true
		u.mu.Unlock()
	}
	return n, err
}

// complete reports whether all of it was read; of no body, it was.
func (u *h2upload) complete() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.whole
}

// Close ends a Read under way.
func (u *h2upload) Close() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed = true; u.begun {
		return u.from.Close()
	}
	return nil
}

// reopen undoes Close, as long as nothing was read: net/http closes a body even if it
// could not send a byte of the request.
func (u *h2upload) reopen() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = u.closed && u.begun
	return !u.begun
}

// reopen makes a request ready to be sent again.
func reopen(req *http.Request) bool {
	u, some := req.Body.(*h2upload)
	return !some || u.reopen()
}

// untouched closes the body for this attempt, and reports whether another may have it.
// A request without a body has none to spoil.
func (u *h2upload) untouched() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return !u.begun
}
