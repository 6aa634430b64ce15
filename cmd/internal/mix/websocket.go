package mix

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// socketWire is a WebSocket (RFC 6455). A message is one frame.
type socketWire struct {
	*net.TCPConn
	in *bufio.Reader
	by Server
}

const (
	finalBinary = 0x82
	finalClose  = 0x88
	masked      = 0x80
)

// dialSocket connects to the sample app's WebSocket.
func dialSocket(ctx context.Context, at string) (*socketWire, error) {
	conn, err := dialTCP(ctx, at)
	if err != nil {
		return nil, err
	}
	w := &socketWire{TCPConn: conn, in: bufio.NewReader(conn)}
	if err := w.shakeHands(at); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open a WebSocket: %w", err)
	}
	return w, nil
}

func (w *socketWire) shakeHands(host string) error {
	if err := w.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	key := base64.StdEncoding.EncodeToString([]byte(rand.Text()[:16]))
	if _, err := fmt.Fprintf(w, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", host, key); err != nil {
		return err
	}
	a, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return err
	}
	accept := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if a.StatusCode != http.StatusSwitchingProtocols || a.Header.Get("Sec-Websocket-Accept") != base64.StdEncoding.EncodeToString(accept[:]) {
		return fmt.Errorf("%s %v", a.Status, a.Header)
	}
	w.by, err = served(a.Header.Get("Served-By"))
	return err
}

// say sends a message, which begins with its number.
func (w *socketWire) say(n int, body []byte) error {
	return w.frame(finalBinary, append(binary.BigEndian.AppendUint64(nil, uint64(n)), body...))
}

// finish says that nothing more comes.
func (w *socketWire) finish() error { return w.frame(finalClose, []byte{3, 232}) } // 1000: all is well

// frame sends one frame, masked.
func (w *socketWire) frame(kind byte, payload []byte) error {
	out := []byte{kind}
	switch n := len(payload); {
	case n < 126:
		out = append(out, masked|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, masked|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, masked|127), uint64(n))
	}
	mask := noise(4)
	out = append(out, mask...)
	for i, b := range payload {
		out = append(out, b^mask[i%4])
	}
	_, err := w.Write(out)
	return err
}

// hear reads a message. Its error is io.EOF once the other side has closed as WebSockets
// do.
func (w *socketWire) hear() (n int, body []byte, err error) {
	kind, length, err := w.head()
	if err != nil {
		return 0, nil, cutShort(err)
	}
	if length > upload {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes", errMangled, length)
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(w.in, payload); err != nil {
		return 0, nil, cutShort(err)
	}
	switch {
	case kind == finalClose:
		return 0, nil, io.EOF
	case kind != finalBinary || length < 8:
		return 0, nil, fmt.Errorf("%w: a frame of kind %#x and %d bytes", errMangled, kind, length)
	}
	return int(binary.BigEndian.Uint64(payload)), payload[8:], nil
}

// head reads the head of a frame.
func (w *socketWire) head() (kind byte, length uint64, err error) {
	var head [2]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return 0, 0, err
	}
	if head[1] < 126 {
		return head[0], uint64(head[1]), nil
	}
	if head[1] == 126 {
		var size uint16
		err := binary.Read(w.in, binary.BigEndian, &size)
		return head[0], uint64(size), err
	}
	err = binary.Read(w.in, binary.BigEndian, &length)
	return head[0], length, err // of a mask, which no server uses, comes a length that is none
}

func (w *socketWire) server() Server { return w.by }
