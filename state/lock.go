package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"davit/reconcile"
)

// ErrInUse says that another agent works on the same data directory.
var ErrInUse = errors.New("data directory in use")

// acquire locks dir for this process. The kernel lets go of the lock when the
// process ends, however it ends, so a stale lock file never stands in the way.
func acquire(dir string) (*os.File, error) {
	path := filepath.Join(dir, "davit.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		announce(f)
		return f, nil
	}
	defer f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, reconcile.WithHint(fmt.Errorf("lock %s: %w by another davit%s", path, ErrInUse, holder(f)),
		"stop the other agent, or give this one a directory of its own with --data")
}

// announce writes who holds the lock. It serves only the other side's message,
// so a full disk does not keep the agent from starting.
func announce(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
}

func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return ""
	}
	return fmt.Sprintf(" (pid %s)", pid)
}
