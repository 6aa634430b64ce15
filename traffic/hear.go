package traffic

import (
	"errors"
	"io"
	"net/http"
	"time"

	"davit/traffic/http1"
)

// lasting is after how long an answer that is still coming, or a body that is still
// being sent, counts as a stream.
const lasting = 10 * time.Second

// errAway is why an answer was not passed on: the client takes no more.
var errAway = errors.New("the client takes no more")

// hear passes the replica's answer on, and reports whether the client may ask on.
func (t *talk) hear() (keep bool) {
	x := t.x
	for {
		if err := t.head(); err != nil {
			return t.fail(err)
		}
		switch r := &x.response; {
		case r.Status == http.StatusSwitchingProtocols:
			return t.tunnel()
		case r.Status >= http.StatusOK:
			return t.pass()
		}
		if x.request.Minor == 1 {
			x.out = append(t.statusLine(), "\r\n"...)
			if err := t.write(x.out); err != nil {
				return t.leave(t.abandoned())
			}
		}
		x.got = copy(x.reply, x.reply[x.spoken:x.got])
	}
}

// head reads the head of an answer.
func (t *talk) head() error {
	x := t.x
	x.response.Reset()
	for {
		n, err := x.response.Parse(x.reply[:x.got], x.asked())
		if err != nil {
			return err
		}
		if n > 0 {
			x.spoken = n
			return nil
		}
		if x.got == len(x.reply) {
			x.reply = append(x.reply, make([]byte, len(x.reply))...)
		}
		n, err = t.await(x.reply[x.got:])
		x.got += n
		if err != nil {
			return err
		}
	}
}

// await reads what the replica says next. If that takes long, it looks after what else
// may have happened.
func (t *talk) await(p []byte) (int, error) {
	for {
		n, err := t.link.Read(p)
		if !isTimeout(err) {
			return n, err
		}
		if t.vigil == nil && (t.upload == nil || over(t.upload.done)) {
			t.vigil = t.watchClient(t.link)
		}
		t.lookBehind()
		t.age(time.Now())
		t.link.bound(time.Now())
	}
}

// age has a request that takes long count as a stream, if something is moving: one
// that merely waits for its answer is none.
func (t *talk) age(now time.Time) {
	answering := t.x.spoken > 0 && t.x.response.Status >= http.StatusOK
	sending := t.upload != nil && !t.upload.sent()
	switch {
	case now.Sub(t.lease.begun) <= lasting:
	case answering || sending:
		t.stream()
	default:
		t.lease.waits(now)
	}
}

// stream has the request under way count as a stream.
func (t *talk) stream() {
	if t.lease.kind == leaseRequest && t.x.response.Status >= http.StatusSwitchingProtocols {
		t.lease.replica.speaks(t.now())
	}
	t.lease.stream()
	t.link.use.Store(linkStream)
	if over(t.lease.cutStreams) {
		t.link.TCPConn.Close() // whoever cut it may not have seen it
	}
}

// statusLine begins x.out with the status line and the fields of the answer.
func (t *talk) statusLine() []byte {
	r := &t.x.response
	out := append(t.x.out[:0], "HTTP/1.1 "...)
	out = append(append(out, r.Reason()...), "\r\n"...)
	return r.Append(out, anyName)
}

// pass passes an answer on.
func (t *talk) pass() (keep bool) {
	x, r := t.x, &t.x.response
	if r.Events {
		t.stream()
	}
	keep = t.keeps()
	t.answerHead(keep)
	switch err := t.body(); {
	case err == nil:
		return t.close(keep)
	case errors.Is(err, errAway) || t.away():
		return t.leave(outcome{status: r.Status})
	default:
		if r.Body == http1.UntilClose || x.request.Minor == 0 {
			reset(t.conn()) // an end would look like that of the answer
		}
		return t.leave(outcome{status: r.Status, broken: !over(t.lease.cutRequests)})
	}
}

// keeps reports whether the client may ask on after this answer.
func (t *talk) keeps() bool {
	x := t.x
	switch {
	case !x.request.KeepsAlive() || x.response.Body == http1.UntilClose:
		return false
	case x.request.Minor == 0 && x.response.Body == http1.Chunked:
		return false
	case t.upload != nil && !t.upload.sent():
		return false
	}
	// What was asked already is answered first.
	return x.ahead() || !over(t.lease.draining) && !over(t.ending)
}

// answerHead writes to x.out the head of the answer as the client is to have it.
func (t *talk) answerHead(keep bool) {
	x := t.x
	out := t.statusLine()
	if x.response.Coded() && x.request.Minor == 1 {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if t.affinity != nil && t.lease.session() != t.tied {
		secure := t.client.trusted && forwarded{}.of(&x.request).proto == "https"
		out = append(append(append(out, "Set-Cookie: "...), t.affinity.set(t.lease.session(), secure)...), "\r\n"...)
	}
	x.out = append(connection(out, keep, x.request.Minor), "\r\n"...)
}

// connection appends what the client is told about the connection.
func connection(out []byte, keep bool, minor int) []byte {
	switch {
	case !keep:
		return append(out, "Connection: close\r\n"...)
	case minor == 0:
		return append(out, "Connection: keep-alive\r\n"...)
	}
	return out
}

// body passes the body of the answer on, as it comes, the first of it together with
// the head. Its error is errAway, or why the replica's answer is not whole.
func (t *talk) body() error {
	x := t.x
	x.said.Reset()
	x.left = x.response.Length
	came := x.reply[x.spoken:x.got]
	for {
		data, done, err := x.piece(came)
		switch {
		case err != nil:
			return err
		case x.response.Body == http1.Chunked && x.request.Minor == 1:
			x.out = chunk(x.out, data)
			if done {
				x.out = lastChunk(x.out, x.said.Trailers())
			}
			data = x.out
		case len(x.out) > 0:
			x.out = append(x.out, data...)
			data = x.out
		}
		if len(data) > 0 && t.write(data) != nil {
			return errAway
		}
		x.out = x.out[:0]
		if done {
			return nil
		}
		n, err := t.await(x.reply)
		if err == io.EOF && x.response.Body == http1.UntilClose {
			return nil
		}
		if err != nil {
			return err
		}
		t.age(time.Now())
		came = x.reply[:n]
	}
}

// piece is what of the replica's bytes belongs to the body, and whether that is its
// end.
func (x *exchange) piece(came []byte) (data []byte, done bool, err error) {
	taken := len(came)
	switch x.response.Body {
	case http1.Sized:
		taken = int(min(int64(taken), x.left))
		x.left -= int64(taken)
		data, done = came[:taken], x.left == 0
	case http1.Chunked:
		data, taken, err = x.said.Decode(came)
		done = x.said.Done()
	case http1.UntilClose:
		data = came
	default:
		taken, done = 0, true
	}
	x.surplus = taken < len(came)
	return data, done, err
}

// close ends a request that was answered in whole. The link is kept if both its ends
// are through with it.
func (t *talk) close(keep bool) bool {
	x, l := t.x, t.lease
	t.watched()
	sent := t.uploaded(true)
	k := t.link
	if sent && !x.surplus && x.response.KeepsAlive() && !k.told {
		t.hold(nil)
		l.replica.keep(k)
	} else {
		t.hangUp()
	}
	l.end(outcome{status: x.response.Status}, t.now())
	if !keep && sent && x.request.KeepsAlive() {
		t.linger() // it may be asking the next thing already
	}
	return keep && sent
}

// leave ends a request that cannot be answered in whole, and with it the talk.
func (t *talk) leave(o outcome) bool {
	t.hangUp()
	t.watched()
	t.uploaded(false)
	t.lease.end(o, t.now())
	return false
}

// abandoned is the outcome of a request whose client has left before its answer. A
// replica that was not sent all of it cannot have answered.
func (t *talk) abandoned() outcome {
	if t.upload != nil && !t.upload.sent() {
		return outcome{unused: true}
	}
	return outcome{abandoned: true}
}

// fail answers in the place of a replica that has not, and reports whether the client
// may ask on.
func (t *talk) fail(err error) (keep bool) {
	why, o := broken, outcome{broken: true}
	var m *http1.Malformed
	switch {
	case t.away():
		return t.leave(t.abandoned())
	case over(t.lease.cutRequests):
		why, o = cutOff, outcome{}
	case errors.As(err, &m):
		why, o = badAnswer, outcome{status: why.status()}
	}
	t.hangUp()
	t.watched()
	if m := t.upload.mistake(); m != nil {
		t.reject(m)
		return t.leave(outcome{unused: true})
	}
	keep = t.refuse(why)
	sent := t.uploaded(keep)
	t.lease.end(o, t.now())
	return keep && sent
}
