package traffic

import (
	"errors"
	"net/http"
	"net/textproto"
	"sync"
)

// hint is an answer before the answer: 103 Early Hints, and what else is 1xx.
type hint struct {
	status int
	fields textproto.MIMEHeader
}

// maxHints bounds the hints of one request.
const maxHints = 8

var errTooManyHints = errors.New("the replica sends hints without end")

// hints passes them on. Who reads from the replica must not wait until the client has
// taken one: it reads for other requests too.
type hints struct {
	w    http.ResponseWriter
	come chan hint

	mu sync.Mutex
	// seen counts them, settled is true once the answer itself has begun.
	seen    int
	settled bool
}

// take is called with what has come.
func (h *hints) take(one hint) error {
	switch one.status {
	case http.StatusContinue, http.StatusSwitchingProtocols:
		return nil // the one is said already, the other cannot be in HTTP/2
	}
	select {
	case h.come <- one:
		return nil
	default:
		return errTooManyHints
	}
}

// send passes one on, unless it is too late.
func (h *hints) send(one hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.settled {
		h.pass(one)
	}
}

// settle passes on what has come before the answer. Nothing is sent from then on, and
// the writer is the caller's.
func (h *hints) settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.settled {
		select {
		case one := <-h.come:
			h.pass(one)
		default:
			h.settled = true
		}
	}
}

// pass writes a hint. The caller holds the lock.
func (h *hints) pass(one hint) {
	if h.seen++; h.seen > maxHints {
		return
	}
	fields := h.w.Header()
	for name, values := range one.fields {
		if !hopByHop(name, nil) {
			fields[name] = values
		}
	}
	h.w.WriteHeader(one.status)
	clear(fields)
}
