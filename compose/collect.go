package compose

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// gone begins the name of content that is being removed. Under its own name it is
// either whole or not there.
const gone = temporary + "gone-"

// contentName is the name of a directory of content: a sum.
var contentName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ContentOf are the sums that the host path at goes through: the names of the
// content that a mount of it needs.
func ContentOf(at string) (sums []string) {
	for part := range strings.SplitSeq(at, "/") {
		if contentName.MatchString(part) {
			sums = append(sums, part)
		}
	}
	return sums
}

// Collect removes immutable and decrypted content, but for what needed names by
// its sum and what was made since. A crash at any moment leaves content whole or
// without a name; the next call clears away what is left. It returns the sums of
// what it removed.
func (f Files) Collect(needed map[string]bool, since time.Time) (removed []string, err error) {
	if f.DataDir != "" {
		removed, err = collect(FilesDir(f.DataDir), needed, since)
	}
	if f.Secrets.Dir == "" {
		return removed, err
	}
	secrets, failed := collect(f.Secrets.Dir, needed, since)
	return append(removed, secrets...), errors.Join(err, failed)
}

func collect(dir string, needed map[string]bool, since time.Time) (removed []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var failed []error
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		info, err := e.Info()
		switch {
		case err != nil:
		case strings.HasPrefix(e.Name(), gone):
			failed = append(failed, os.RemoveAll(at))
		case !contentName.MatchString(e.Name()) || info.ModTime().After(since):
		case needed[e.Name()]:
			failed = append(failed, clear(at, since))
		default:
			if err := discard(at); err != nil {
				failed = append(failed, err)
				continue
			}
			removed = append(removed, e.Name())
		}
	}
	return removed, errors.Join(append(failed, err)...)
}

// discard takes content its name first, so that nothing ever finds half of it.
func discard(at string) error {
	unnamed := filepath.Join(filepath.Dir(at), gone+filepath.Base(at))
	if err := os.Rename(at, unnamed); err != nil {
		return err
	}
	return os.RemoveAll(unnamed)
}

// clear removes what a crash left of an earlier attempt to write content.
func clear(at string, since time.Time) error {
	entries, err := os.ReadDir(at)
	failed := []error{err}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), temporary) && info.ModTime().Before(since) {
			failed = append(failed, os.RemoveAll(filepath.Join(at, e.Name())))
		}
	}
	return errors.Join(failed...)
}
