package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// batonPatience bounds one step of a succession, and servingPatience what the
	// successor may take to serve.
	batonPatience   = 10 * time.Second
	servingPatience = 60 * time.Second
	// batonProtocol is what the connection is upgraded to.
	batonProtocol = "davit-takeover"
	// filesAtOnce is how many sockets go with one message; the kernel takes 253.
	filesAtOnce = 100
	// longestBaton bounds a message: filesAtOnce names, with room.
	longestBaton = 64 << 10
)

// errOtherGone: whoever was spoken to has closed the connection, or ended.
var errOtherGone = errors.New("the other side is gone")

// baton is the connection over which an edge hands its sockets to its successor. The
// two speak in turn, one line each, so that a line that comes with files is the only
// thing there is to be read.
type baton struct{ conn *net.UnixConn }

// word is one line. The successor says Ready; then the predecessor says the names of
// the files that come with the line, until Last, and the successor Ready to each; the
// successor says Serving, and the predecessor Retired.
type word struct {
	Ready bool `json:"ready,omitempty"`
	// Keys are the ports whose sockets come with this line, in the same order; with
	// Lock the lock comes after them.
	Keys    []string `json:"keys,omitempty"`
	Lock    bool     `json:"lock,omitempty"`
	Last    bool     `json:"last,omitempty"`
	Serving bool     `json:"serving,omitempty"`
	Retired bool     `json:"retired,omitempty"`
}

// say sends a line, and files with it.
func (b baton) say(w word, files ...*os.File) error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if err := b.conn.SetWriteDeadline(time.Now().Add(batonPatience)); err != nil {
		return err
	}
	text = append(text, '\n')
	if len(files) == 0 {
		_, err = b.conn.Write(text)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			err = fmt.Errorf("%w: %w", errOtherGone, err)
		}
		return err
	}
	numbers, release, err := descriptors(files)
	if err != nil {
		return err
	}
	defer release()
	n, _, err := b.conn.WriteMsgUnix(text, unix.UnixRights(numbers...), nil)
	if err == nil && n < len(text) {
		_, err = b.conn.Write(text[n:])
	}
	return err
}

// descriptors are duplicates of those of files. File.Fd would not do: it makes a file
// blocking, for every process that has it.
func descriptors(files []*os.File) (numbers []int, release func(), err error) {
	release = func() {
		for _, n := range numbers {
			unix.Close(n)
		}
	}
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			release()
			return nil, nil, err
		}
		var n int
		var failed error
		if err := raw.Control(func(fd uintptr) { n, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
			release()
			return nil, nil, errors.Join(err, failed)
		}
		numbers = append(numbers, n)
	}
	return numbers, release, nil
}

// hear reads one line and the files that come with it, which are the caller's.
func (b baton) hear(patience time.Duration) (w word, files []*os.File, err error) {
	if err := b.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return w, nil, err
	}
	var text []byte
	part, rights := make([]byte, longestBaton), make([]byte, unix.CmsgSpace((filesAtOnce+1)*4))
	for !bytes.HasSuffix(text, []byte("\n")) {
		n, more, _, _, err := b.conn.ReadMsgUnix(part, rights)
		got, unread := received(rights[:more])
		files = append(files, got...)
		text = append(text, part[:n]...)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
			err = fmt.Errorf("%w: %w", errOtherGone, err)
		case err != nil:
		case unread != nil:
			err = unread
		case n == 0:
			err = errOtherGone
		case len(text) > longestBaton:
			err = errors.New("the other side talks without end")
		}
		if err != nil {
			closeAll(files)
			return w, nil, err
		}
	}
	if err := json.Unmarshal(text, &w); err != nil {
		closeAll(files)
		return w, nil, fmt.Errorf("the other side says %q: %w", text, err)
	}
	return w, files, nil
}

// received are the files of control messages. The net package has them closed when
// another program is run.
func received(control []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		numbers, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, n := range numbers {
			files = append(files, os.NewFile(uintptr(n), "inherited"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// expect hears a line that must say what is wanted.
func (b baton) expect(what string, patience time.Duration, is func(word) bool) error {
	w, files, err := b.hear(patience)
	closeAll(files)
	if err == nil && !is(w) {
		err = fmt.Errorf("the other side says something else: %+v", w)
	}
	if err != nil {
		return fmt.Errorf("wait for word that %s: %w", what, err)
	}
	return nil
}

// untilDone closes the connection when ctx ends, so that nobody waits in vain.
func (b baton) untilDone(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { b.conn.Close() })
}
