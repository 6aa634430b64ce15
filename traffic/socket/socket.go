package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// longest is what fits into a unix socket's address on every Linux.
const longest = 107

var (
	// ErrNobody: there is no socket, or nobody accepts on it.
	ErrNobody = errors.New("nobody answers")
	// ErrTaken: somebody answers there already.
	ErrTaken = errors.New("another process answers there")
)

// Listen opens the socket at path for its owner only. A socket that a dead process
// left behind is replaced; one that answers is not, with ErrTaken.
func Listen(ctx context.Context, path string) (*Listener, error) {
	if conn, err := Dial(ctx, path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, ErrTaken)
	}
	return Replace(ctx, path)
}

// Replace is Listen for who knows that the name is its own to take, whoever answers
// there now. Whoever has connected keeps what it has.
func Replace(ctx context.Context, path string) (*Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("listen on %s: there is something that is no socket", path)
	}
	// The socket gets its mode before it gets its name: nobody can slip in
	// between the two, and the name is never missing while it is replaced.
	private, err := os.MkdirTemp(filepath.Dir(path), ".sock-")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer os.RemoveAll(private)
	born := filepath.Join(private, "s")
	short, release, err := shorten(born)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer release()
	l, err := new(net.ListenConfig).Listen(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(born, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	own, err := os.Lstat(born)
	if err = errors.Join(err, os.Rename(born, path)); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &Listener{Listener: l, path: path, own: own}, nil
}

// Listener takes its name away when it is closed, unless another has taken it over.
type Listener struct {
	net.Listener
	path string
	own  os.FileInfo
	left atomic.Bool
}

// Leave leaves the name to another, who may take it at any moment: between a look at
// whose it is and its removal, too.
func (l *Listener) Leave() { l.left.Store(true) }

// Close ends the listening.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	if l.left.Load() {
		return err
	}
	if now, stat := os.Lstat(l.path); stat != nil || !os.SameFile(now, l.own) {
		return err
	}
	if rm := os.Remove(l.path); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// Link gives the socket one more name, unless another has taken over the one it has.
func (l *Listener) Link(path string) error {
	if err := os.Link(l.path, path); err != nil {
		return fmt.Errorf("name the socket: %w", err)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(now, l.own) {
		return errors.Join(fmt.Errorf("name the socket: %s is another's by now", l.path), err, os.Remove(path))
	}
	return nil
}

// Dial connects to the socket at path. Its error is ErrNobody when there is no socket
// or nobody accepts on it.
func Dial(ctx context.Context, path string) (*net.UnixConn, error) {
	short, release, err := shorten(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("connect to %s: %w", path, ErrNobody)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	defer release()
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "unix", short)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("connect to %s: %w", path, ErrNobody)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return conn.(*net.UnixConn), nil
}

// shorten returns another name for path where path itself is too long for a
// socket's address: a data directory may be deep.
func shorten(path string) (short string, release func(), err error) {
	if len(path) <= longest {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}
