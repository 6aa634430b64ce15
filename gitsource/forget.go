package gitsource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Forget removes what was kept of sources that are not among kept any more and
// that nobody used since. Another address or selector is another source, which
// leaves the exports of the one before behind. Those that are kept are marked as in
// use now: a repository that nobody pushes to is followed all the same. It returns
// the names of the directories that it removed.
func Forget(data string, kept []*Source, since time.Time) (removed []string, err error) {
	dir := filepath.Join(data, "sources")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forget former sources: %w", err)
	}
	var failed []error
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		used := slices.ContainsFunc(kept, func(s *Source) bool { return filepath.Base(s.shelf.dir) == e.Name() })
		if used {
			now := time.Now()
			failed = append(failed, os.Chtimes(at, now, now))
			continue
		}
		if !e.IsDir() || lastUse(at).After(since) {
			continue
		}
		if err := os.RemoveAll(at); err != nil {
			failed = append(failed, err)
			continue
		}
		removed = append(removed, e.Name())
	}
	if err := errors.Join(failed...); err != nil {
		return removed, fmt.Errorf("forget former sources: %w", err)
	}
	return removed, nil
}

// lastUse is when a source's directory was last fetched into or marked as in use, or
// now if that cannot be told.
func lastUse(dir string) time.Time {
	last := time.Time{}
	for _, name := range []string{dir, filepath.Join(dir, lastFile)} {
		info, err := os.Stat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return time.Now()
		}
		if err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
