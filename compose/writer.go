package compose

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// writer updates files below root.
type writer struct {
	root *os.Root
	// manifest is the file that remembers what was done.
	manifest string
	memory   memory
	before   memory
	backups  []Backup
}

// memory is what a writer knows from one time to the next.
type memory struct {
	// Written is, by path, the sum of what was written last.
	Written map[string]string `json:"written"`
	// Edits are, by path, what containers made of an earlier version.
	Edits map[string]edit `json:"edits,omitempty"`
}

// edit is what a container made of one version of a file.
type edit struct {
	// Of is the sum of the version, Copy the path of the backup, Sum its own.
	Of, Copy, Sum string
}

func (w *writer) load() error {
	w.memory = memory{}
	data, err := os.ReadFile(w.manifest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && json.Unmarshal(data, &w.memory) != nil {
		// Without a memory every file that differs is backed up first.
		w.memory = memory{}
	}
	if w.memory.Written == nil {
		w.memory.Written = map[string]string{}
	}
	if w.memory.Edits == nil {
		w.memory.Edits = map[string]edit{}
	}
	w.before = memory{Written: maps.Clone(w.memory.Written), Edits: maps.Clone(w.memory.Edits)}
	return nil
}

func (w *writer) save() error {
	if maps.Equal(w.before.Written, w.memory.Written) && maps.Equal(w.before.Edits, w.memory.Edits) {
		return nil
	}
	data, err := json.MarshalIndent(w.memory, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(w.manifest), temporary)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), w.manifest), syncDir(filepath.Dir(w.manifest)))
}

// write brings what is at from to the path at.
func (w *writer) write(from, at string) error {
	list, err := items(from, anywhere)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	if dir := path.Dir(at); dir != "." {
		if err := w.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, i := range list {
		if err := w.item(i, path.Join(at, i.name)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) item(i item, at string) error {
	info, err := w.root.Lstat(at)
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case i.dir() && there && info.IsDir():
		return nil
	case i.dir():
		return w.root.Mkdir(at, 0o755)
	case i.link != "" && there:
		// A link that is in the way of a link is as good as it.
		return nil
	case i.link != "":
		return w.root.Symlink(i.link, at)
	case there && !info.Mode().IsRegular():
		return fmt.Errorf("%s is in the way of a file of the repository", at)
	}
	return w.file(i, at, info)
}

// file brings one regular file to Git's version; info is that of the file that
// is there, nil for none.
func (w *writer) file(i item, at string, info fs.FileInfo) error {
	want, err := sumFile(i.source)
	if err != nil {
		return err
	}
	last, known := w.memory.Written[at]
	if info != nil && known && last == want {
		return nil
	}
	if info != nil {
		have, err := w.sum(at)
		if err != nil {
			return err
		}
		if have == want {
			w.memory.Written[at] = want
			return nil
		}
		if have == last && w.restore(at, want) {
			return nil
		}
		if have != last {
			if err := w.backup(at, have); err != nil {
				return err
			}
		}
	}
	if err := w.replace(i, at, info); err != nil {
		return err
	}
	w.memory.Written[at] = want
	return nil
}

func (w *writer) sum(at string) (string, error) {
	f, err := w.root.Open(at)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sumOf(f)
}

const (
	backupMark = ".davit-backup-"
	// maxBackups is how many versions of one file are kept beside it.
	maxBackups = 10
)

// backup keeps the container's version beside the file, named by what it
// contains.
func (w *writer) backup(at, sum string) error {
	copied, err := w.keepAs(at, sum)
	if err != nil {
		return fmt.Errorf("back up %s: %w", at, err)
	}
	w.memory.Edits[at] = edit{Of: w.memory.Written[at], Copy: copied, Sum: sum}
	w.report(at, copied, false)
	return w.thin(at, copied)
}

// keepAs gives what is at the path at a second name, one that nothing else has.
func (w *writer) keepAs(at, sum string) (string, error) {
	name := at + backupMark + sum[:12]
	for n := 1; ; n++ {
		copied := name
		if n > 1 {
			copied = fmt.Sprintf("%s-%d", name, n)
		}
		err := w.root.Link(at, copied)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			// Who may not link another user's file, or whose file system has no links,
			// may still copy it.
			err = w.duplicate(at, copied)
		}
		if err == nil {
			return copied, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if there, err := w.sum(copied); err == nil && there == sum {
			return copied, nil
		}
		if n == 100 {
			return "", fmt.Errorf("%s and 99 names like it are taken", name)
		}
	}
}

func (w *writer) duplicate(at, copied string) error {
	from, err := w.root.Open(at)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := w.root.OpenFile(copied, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(err, to.Close(), w.root.Remove(copied))
	}
	return errors.Join(to.Sync(), to.Close())
}

// thin removes the oldest backups of a file but for the one just made.
func (w *writer) thin(at, newest string) error {
	dir, err := w.root.Open(path.Dir(at))
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	changed := map[string]time.Time{}
	for _, e := range entries {
		name := path.Join(path.Dir(at), e.Name())
		if info, err := e.Info(); err == nil && name != newest && info.Mode().IsRegular() && strings.HasPrefix(name, at+backupMark) {
			changed[name] = info.ModTime()
		}
	}
	old := slices.SortedFunc(maps.Keys(changed), func(a, b string) int {
		return cmp.Or(changed[b].Compare(changed[a]), cmp.Compare(a, b))
	})
	for _, name := range old[min(maxBackups-1, len(old)):] {
		if err := w.root.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// restore puts back what a container had made of Git's version want, once Git goes
// back to it: a revert restores what was there. It reports whether it did.
func (w *writer) restore(at, want string) bool {
	e, ok := w.memory.Edits[at]
	if !ok || e.Of != want {
		return false
	}
	if have, err := w.sum(e.Copy); err != nil || have != e.Sum || w.root.Rename(e.Copy, at) != nil {
		return false
	}
	delete(w.memory.Edits, at)
	w.memory.Written[at] = want
	w.report(at, e.Copy, true)
	return true
}

func (w *writer) report(at, copied string, restored bool) {
	w.backups = append(w.backups, Backup{
		File: filepath.Join(w.root.Name(), at), Copy: filepath.Join(w.root.Name(), copied), Restored: restored,
	})
}

// replace puts the item in the place of what is there, with the same owner.
func (w *writer) replace(i item, at string, info fs.FileInfo) error {
	scratch := path.Join(path.Dir(at), temporary+path.Base(at))
	if err := w.root.Remove(scratch); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := w.root.OpenFile(scratch, os.O_WRONLY|os.O_CREATE|os.O_EXCL, i.mode())
	if err != nil {
		return err
	}
	if info != nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			// Only root can give files away, and only root has to.
			_ = f.Chown(int(owner.Uid), int(owner.Gid))
		}
	}
	if err := i.fill(f); err != nil {
		return errors.Join(err, w.root.Remove(scratch))
	}
	return w.root.Rename(scratch, at)
}
