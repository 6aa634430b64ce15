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
	w http.ResponseWriter
	// come has word when there is something to send.
	come chan struct{}

	waiting sync.Mutex
	queue   []hint
	// seen counts them.
	seen int

	writing sync.Mutex
	// settled is true once the answer itself has begun.
	settled bool
}

func newHints(w http.ResponseWriter) *hints { return &hints{w: w, come: make(chan struct{}, 1)} }

// take is called with what has come.
func (h *hints) take(one hint) error {
	switch one.status {
	case http.StatusContinue, http.StatusSwitchingProtocols:
		return nil // the one is said already, the other cannot be in HTTP/2
	}
	h.waiting.Lock()
	defer h.waiting.Unlock()
	if h.seen++; h.seen > maxHints {
		return errTooManyHints
	}
	h.queue = append(h.queue, one)
	select {
	case h.come <- struct{}{}:
	default:
	}
	return nil
}

// next takes the oldest that was not sent.
func (h *hints) next() (one hint, some bool) {
	h.waiting.Lock()
	defer h.waiting.Unlock()
	if len(h.queue) == 0 {
		return hint{}, false
	}
	one, h.queue = h.queue[0], h.queue[1:]
	return one, true
}

// send passes on what has come, unless it is too late.
func (h *hints) send() {
	h.writing.Lock()
	defer h.writing.Unlock()
	if !h.settled {
		h.pass()
	}
}

// settle passes on what has come before the answer. Nothing is sent from then on, and
// the writer is the caller's.
func (h *hints) settle() {
	h.writing.Lock()
	defer h.writing.Unlock()
	h.pass()
	h.settled = true
}

// pass writes what has come. The caller writes alone.
func (h *hints) pass() {
	for one, some := h.next(); some; one, some = h.next() {
		fields := h.w.Header()
		for name, values := range one.fields {
			if !hopByHop(name, nil) {
				fields[name] = values
			}
		}
		h.w.WriteHeader(one.status)
		clear(fields)
	}
}
