package traffic

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"davit/traffic/http1"
)

// drowned is how much of what a client sends is read after it was refused.
const drowned = 4 << 20

// badMessage is the reason of an answer to what is no proper request.
const badMessage = "bad-request"

// refuse answers in the place of a replica, and reports whether the client may ask on.
func (t *talk) refuse(why reason) (keep bool) {
	x := t.x
	keep = x.whole && x.request.KeepsAlive() && (x.ahead() || !over(t.ending))
	x.out = t.refusal(x.out[:0], refusalText{why.status(), why.String(), why.text()}, keep)
	if t.write(x.out) != nil {
		return false
	}
	if !keep && t.upload == nil {
		t.linger()
	}
	return keep
}

// reject answers what is no proper request. Nothing can be read after it.
func (t *talk) reject(m *http1.Malformed) {
	t.last(refusalText{m.Status, badMessage, "The request was refused: " + m.Reason + ".\n"})
}

// turnAway answers a request whose head there is no room for. Nothing can be read after
// it.
func (t *talk) turnAway() {
	t.refused.Add(1)
	t.last(refusalText{crowded.status(), crowded.String(), crowded.text()})
}

// last is the last thing that the client is told.
func (t *talk) last(text refusalText) {
	if t.write(t.refusal(t.x.out[:0], text, false)) == nil && t.upload == nil {
		t.linger()
	}
}

// linger lets the client see what it was answered: to close on bytes that were not
// read resets the connection.
func (t *talk) linger() {
	conn := t.conn()
	if conn.CloseWrite() != nil || conn.SetReadDeadline(time.Now().Add(lingering)) != nil {
		return
	}
	io.CopyN(io.Discard, conn, drowned) // however it ends, that is the end
}

// refusalText is an answer of the edge's own.
type refusalText struct {
	status int
	reason string
	body   string
}

// refusal appends an answer that says why.
func (t *talk) refusal(out []byte, r refusalText, keep bool) []byte {
	out = strconv.AppendInt(append(out, "HTTP/1.1 "...), int64(r.status), 10)
	out = append(append(append(out, ' '), http.StatusText(r.status)...), "\r\nDate: "...)
	out = t.now().UTC().AppendFormat(out, http.TimeFormat)
	out = append(append(append(out, "\r\n"+reasonField+": "...), r.reason...), "\r\n"...)
	if r.status == http.StatusServiceUnavailable {
		out = append(out, "Retry-After: 1\r\n"...)
	}
	out = append(out, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	out = append(strconv.AppendInt(out, int64(len(r.body)), 10), "\r\n"...)
	out = append(connection(out, keep, t.x.request.Minor), "\r\n"...)
	if t.x.asked().Head {
		return out
	}
	return append(out, r.body...)
}
