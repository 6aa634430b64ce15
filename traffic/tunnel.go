package traffic

import (
	"bytes"
	"net/http"
	"time"
)

// tunnel passes bytes both ways from now on: the replica has agreed to speak another
// protocol, such as WebSocket.
func (t *talk) tunnel() bool {
	x, l, k := t.x, t.lease, t.link
	out := append(t.statusLine(), "Connection: upgrade\r\nUpgrade: "...)
	out = append(append(out, x.response.Protocol()...), "\r\n\r\n"...)
	t.stream()
	t.watched()
	if t.write(out) != nil {
		return t.leave(outcome{status: http.StatusSwitchingProtocols})
	}
	t.client.ahead = bytes.Clone(x.in[x.taken:])
	u := &upstream{TCPConn: k.TCPConn, lease: l, ahead: bytes.Clone(x.reply[x.spoken:x.got])}
	t.restore()
	t.release()
	k.SetDeadline(time.Time{}) // one that is closed says so when it is read
	t.client.SetDeadline(time.Time{})
	r, err := newRelay(t.client, u, &t.buffers)
	if err == nil {
		r.run()
	}
	t.hangUp()
	l.end(outcome{status: http.StatusSwitchingProtocols}, t.now())
	return false
}
