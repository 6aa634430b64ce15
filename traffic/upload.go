package traffic

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"davit/traffic/http1"
)

// upload passes the body of a request on while the answer is waited for: a replica may
// answer before it has all of it.
type upload struct {
	talk *talk
	link *link
	done chan struct{}
	// last is true once the last piece is on its way.
	last atomic.Bool
	// deaf is true once the replica takes no more; what comes is then read all the same,
	// for a client that sends all of it before it reads the answer. It is good after done.
	deaf bool
	// rest is what the client sent after the body, good after done.
	rest []byte

	mu sync.Mutex
	// failure is why the body is not whole, which is the client's doing.
	failure error
	// closing is true once nobody waits for the body any more.
	closing bool
}

// A piece has its size in front of it and an end behind it, if it is a chunk.
const chunkRoom = 16

// send begins to pass on what is missing of the body.
func (t *talk) send(k *link) *upload {
	u := &upload{talk: t, link: k, done: make(chan struct{})}
	go u.run()
	return u
}

func (u *upload) run() {
	defer close(u.done)
	defer u.link.SetWriteDeadline(time.Time{})
	lent := u.talk.buffers.get(pieceSize)
	defer u.talk.buffers.put(lent)
	for {
		complete, err := u.piece(*lent)
		if err != nil {
			u.mu.Lock()
			u.failure = err
			u.mu.Unlock()
			u.link.TCPConn.Close() // what it has must not look whole
			return
		}
		if complete {
			return
		}
	}
}

// piece passes on what the client sends next, and reports whether that is the end.
func (u *upload) piece(buffer []byte) (complete bool, err error) {
	x := u.talk.x
	came := buffer[chunkRoom : len(buffer)-chunkRoom]
	chunked := x.request.Body == http1.Chunked
	if !chunked {
		came = came[:min(int64(len(came)), x.missing)]
	}
	u.bound()
	n, err := u.talk.client.Conn.Read(came)
	if err != nil {
		return false, err
	}
	came = came[:n]
	if !chunked {
		x.missing -= int64(n)
		u.write(came, x.missing == 0)
		return x.missing == 0, nil
	}
	data, taken, err := x.body.Decode(came)
	if err != nil {
		return false, err
	}
	complete = x.body.Done()
	u.rest = append(u.rest, came[taken:]...)
	u.write(u.encode(buffer, data, complete), complete)
	return complete, nil
}

// encode makes a chunk of data, which is at chunkRoom of the buffer.
func (u *upload) encode(buffer, data []byte, complete bool) []byte {
	start, end := chunkRoom, chunkRoom+len(data)
	out := buffer[start:end]
	if len(data) > 0 {
		var size [chunkRoom]byte
		text := append(hexadecimal(size[:0], len(data)), "\r\n"...)
		start -= copy(buffer[chunkRoom-len(text):], text)
		out = append(buffer[start:end], "\r\n"...)
	}
	if complete {
		out = lastChunk(out, u.talk.x.body.Trailers())
	}
	return out
}

func (u *upload) write(p []byte, last bool) {
	if last {
		u.last.Store(true)
	}
	if u.deaf || len(p) == 0 {
		return
	}
	u.link.SetWriteDeadline(time.Now().Add(u.talk.patience())) // the write tells of errors
	if _, err := u.link.Write(p); err != nil {
		u.deaf = true // the answer may be there all the same
		if isTimeout(err) {
			u.link.TCPConn.Close() // who does not read in time does not answer either
		}
	}
}

// bound has the client send something in time, unless it was told to end.
func (u *upload) bound() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.closing {
		u.talk.client.SetReadDeadline(time.Now().Add(u.talk.patience())) // the read tells of errors
	}
}

// sent reports whether the whole body is sent, or will be in a moment.
func (u *upload) sent() bool { return u.last.Load() }

// failed is why the client did not send the whole body, or nil.
func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failure
}

// mistake is what was wrong with the body, if that is why it was not passed on.
func (u *upload) mistake() *http1.Malformed {
	if u == nil {
		return nil
	}
	err := u.failed()
	var m *http1.Malformed
	switch {
	case errors.As(err, &m):
		return m
	case isTimeout(err):
		return &http1.Malformed{Status: 408, Reason: "the body did not come in time"}
	}
	return nil
}

// uploaded ends the upload, if there is one, and reports whether the replica has the
// whole body. If the client may ask on, the little that may be missing is waited for;
// else the client has a moment to see the answer.
func (t *talk) uploaded(keep bool) bool {
	u := t.upload
	if u == nil {
		return t.x.whole
	}
	t.upload = nil
	if keep && u.sent() {
		late := time.AfterFunc(lingering, func() { u.link.TCPConn.Close() })
		<-u.done
		late.Stop()
	} else {
		u.link.TCPConn.Close()
		t.conn().CloseWrite() // one that is gone needs no end
		u.mu.Lock()
		u.closing = true
		t.client.SetReadDeadline(time.Now().Add(lingering))
		u.mu.Unlock()
		<-u.done
	}
	t.reads = time.Time{}
	t.x.in = append(t.x.in, u.rest...)
	return u.failed() == nil && u.sent() && !u.deaf
}

// conn is the client's connection, which serveHTTP1 has made sure is of TCP.
func (t *talk) conn() *net.TCPConn { return t.client.Conn.(*net.TCPConn) }
