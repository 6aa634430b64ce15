package state

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"davit/reconcile"
)

// scarce is how little room, in bytes, makes a failed write a full disk. SQLite
// reports some of them (a quota, the shared index file) as plain input/output
// errors.
const scarce = 256 << 10

// Free is the room, in bytes, that an unprivileged program may still use on the
// file system of dir.
func Free(dir string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("measure free space of %s: %w", dir, err)
	}
	return uint64(fs.Bavail) * uint64(fs.Bsize), nil
}

// diskFull marks err with reconcile.ErrDiskFull when that is what it means.
func diskFull(dir string, err error) error {
	if !meansFull(dir, err) {
		return err
	}
	return reconcile.WithHint(fmt.Errorf("%w: %w", reconcile.ErrDiskFull, err),
		"make room on the file system of %s; davit changes nothing until it can write there", dir)
}

func meansFull(dir string, err error) bool {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return true
	}
	switch code(err) & 0xff {
	case sqlite3.SQLITE_FULL:
		return true
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		free, ferr := Free(dir)
		return ferr == nil && free < scarce
	}
	return false
}

// code is SQLite's extended result code in err, or 0.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
