package traffic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another edge has the directory.
var ErrInUse = errors.New("another edge has the directory")

// Lock is the right to serve a directory. The kernel lets go of it when the last
// process that has it ends, however it ends.
type Lock struct{ file *os.File }

// Acquire takes the lock of dir, which is made if need be. Its error is ErrInUse while
// another edge has it.
func Acquire(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &Lock{f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrInUse
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// Release lets go of this process's part in it.
func (l *Lock) Release() { l.file.Close() }
