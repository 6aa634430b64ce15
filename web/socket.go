package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"davit/reconcile"
)

// SocketName is the socket's name in the data directory.
const SocketName = "davit.sock"

// longest is what fits into a unix socket's address on every Linux.
const longest = 107

// ErrNoAgent: nobody answers on the socket.
var ErrNoAgent = errors.New("no agent is running")

// Listen opens the socket at path for its owner only. A socket that a dead agent
// left behind is replaced; one that answers is not.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if conn, err := dial(ctx, path); err == nil {
		conn.Close()
		return nil, reconcile.WithHint(fmt.Errorf("listen on %s: another agent answers there", path),
			"stop it, or give this one a data directory of its own with --data")
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
	if err := errors.Join(os.Chmod(born, 0o600), os.Rename(born, path)); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &socket{Listener: l, path: path}, nil
}

// socket takes its name away when it is closed.
type socket struct {
	net.Listener
	path string
}

func (s *socket) Close() error {
	err := s.Listener.Close()
	if rm := os.Remove(s.path); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// dial connects to the socket at path; its error is ErrNoAgent when there is no
// socket or nobody accepts on it.
func dial(ctx context.Context, path string) (net.Conn, error) {
	short, release, err := shorten(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w on %s", ErrNoAgent, path)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	defer release()
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "unix", short)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on %s", ErrNoAgent, path)
	case errors.Is(err, os.ErrPermission):
		return nil, reconcile.WithHint(fmt.Errorf("connect to %s: %w", path, err),
			"the socket belongs to the user that runs the agent: try sudo")
	case err != nil:
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return conn, nil
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
