package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// largest bounds what is echoed at once.
const largest = 8 << 20

// name says which container answers.
func (s *service) name() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return s.version + "@" + host
}

// echo answers with the body that it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(body) // a client that went away needs no answer
}

// What WebSocket (RFC 6455) needs here: the key of its handshake, and of its frames the
// bits that end a message, close the connection, and mask a payload.
const (
	socketKey   = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	finalFrame  = 0x80
	closeFrame  = 0x8
	maskedFrame = 0x80
)

// socket echoes the messages of a WebSocket, each of one frame, until the client closes
// it.
func (s *service) socket(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "this is a WebSocket", http.StatusBadRequest)
		return
	}
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	defer conn.Close()
	accept := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + socketKey))
	fmt.Fprintf(both, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nServed-By: %s\r\n\r\n", base64.StdEncoding.EncodeToString(accept[:]), s.name())
	for both.Flush() == nil {
		kind, payload, err := readFrame(both.Reader)
		if err != nil {
			return
		}
		writeFrame(both.Writer, kind, payload)
		if kind&0xf == closeFrame {
			both.Flush() // a client that went away needs no farewell
			return
		}
	}
}

// readFrame reads one frame and returns its first byte and its payload, unmasked.
func readFrame(in *bufio.Reader) (kind byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1] &^ maskedFrame)
	if extra := map[uint64]int{126: 2, 127: 8}[length]; extra > 0 {
		var size [8]byte
		if _, err := io.ReadFull(in, size[8-extra:]); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(size[:])
	}
	if length > largest || head[1]&maskedFrame == 0 {
		return 0, nil, fmt.Errorf("a frame of %d bytes, or without a mask", length)
	}
	masked := make([]byte, 4+length)
	if _, err := io.ReadFull(in, masked); err != nil {
		return 0, nil, err
	}
	mask, payload := masked[:4], masked[4:]
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0], payload, nil
}

// writeFrame writes one frame without a mask, as servers do.
func writeFrame(out *bufio.Writer, kind byte, payload []byte) {
	head := []byte{kind | finalFrame}
	switch n := len(payload); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	out.Write(head)    // an error is kept
	out.Write(payload) // until Flush
}
