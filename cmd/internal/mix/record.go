package mix

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// recordWire is a TCP connection over which records go.
type recordWire struct {
	*net.TCPConn
	in *bufio.Reader
	by Server
}

func dialRecords(ctx context.Context, at string) (*recordWire, error) {
	conn, err := dialTCP(ctx, at)
	if err != nil {
		return nil, err
	}
	return &recordWire{TCPConn: conn, in: bufio.NewReader(conn)}, nil
}

func dialTCP(ctx context.Context, at string) (*net.TCPConn, error) {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// say sends a record, at times in two packets.
func (w *recordWire) say(n int, body []byte) error {
	record := append(fmt.Appendf(nil, "%d %d\n", n, len(body)), body...)
	at := 0
	if rand.N(8) == 0 {
		at = rand.N(len(record))
		if _, err := w.Write(record[:at]); err != nil {
			return err
		}
	}
	_, err := w.Write(record[at:])
	return err
}

// hear reads the answer to a record. Its error is io.EOF where there is none, because
// the other side has ended.
func (w *recordWire) hear() (n int, body []byte, err error) {
	line, err := w.in.ReadString('\n')
	if err != nil {
		if err == io.EOF && line != "" {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	var length int
	var sum uint32
	var name string
	if _, err := fmt.Sscanf(line, "%d %d %x %s\n", &n, &length, &sum, &name); err != nil {
		return 0, nil, fmt.Errorf("%w: %q is no head of an answer", errMangled, strings.TrimSpace(line))
	}
	by, err := served(name)
	switch {
	case err != nil:
		return 0, nil, err
	case w.by != Server{} && w.by != by:
		return 0, nil, fmt.Errorf("%w: %s answers in a connection of %s", errMangled, by, w.by)
	case length < 0 || length > upload:
		return 0, nil, fmt.Errorf("%w: an answer of %d bytes", errMangled, length)
	}
	w.by = by
	body = make([]byte, length)
	if _, err := io.ReadFull(w.in, body); err != nil {
		return 0, nil, cutShort(err)
	}
	if crc32.ChecksumIEEE(body) != sum {
		return 0, nil, fmt.Errorf("%w: answer %d is not what its server has sent", errMangled, n)
	}
	return n, body, nil
}

// cutShort is err, of what has begun.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (w *recordWire) finish() error { return w.CloseWrite() }

func (w *recordWire) server() Server { return w.by }

// oneRecord sends a record over a connection of its own.
func oneRecord(ctx context.Context, at string) (Server, error) {
	w, err := dialRecords(ctx, at)
	if err != nil {
		return Server{}, err
	}
	defer w.Close()
	if err := w.SetDeadline(time.Now().Add(patience)); err != nil {
		return Server{}, err
	}
	sent, number := noise(someLength()), 1+rand.N(1000)
	failed := make(chan error, 1)
	go func() {
		err := w.say(number, sent)
		if err == nil {
			err = w.finish()
		}
		failed <- err
	}()
	n, came, err := w.hear()
	switch {
	case err != nil:
		return Server{}, fmt.Errorf("hear the answer: %w", err)
	case n != number || !bytes.Equal(came, sent):
		return Server{}, fmt.Errorf("record %d came back as %d: %w", number, n, differ(came, sent))
	}
	if err := <-failed; err != nil {
		return Server{}, fmt.Errorf("send a record: %w", err)
	}
	if n, _, err := w.hear(); err != io.EOF {
		return Server{}, fmt.Errorf("in the place of the end came %d, %v", n, err)
	}
	return w.by, nil
}

func (s Server) String() string { return s.Version + "@" + s.Container }
