package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// writer updates files below root.
type writer struct {
	root *os.Root
	// manifest is the file that remembers, by path, the sum of what was written
	// last.
	manifest string
	written  map[string]string
	before   map[string]string
	backups  []Backup
}

func (w *writer) load() error {
	w.written = map[string]string{}
	data, err := os.ReadFile(w.manifest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && json.Unmarshal(data, &w.written) != nil {
		// Without a memory every file that differs is backed up first.
		w.written = map[string]string{}
	}
	w.before = maps.Clone(w.written)
	return nil
}

func (w *writer) save() error {
	if maps.Equal(w.before, w.written) {
		return nil
	}
	data, err := json.MarshalIndent(w.written, "", "  ")
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
	last, known := w.written[at]
	if info != nil && known && last == want {
		return nil
	}
	if info != nil {
		have, err := w.sum(at)
		if err != nil {
			return err
		}
		if have == want {
			w.written[at] = want
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
	w.written[at] = want
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

// backup keeps the container's version beside the file, named by what it
// contains.
func (w *writer) backup(at, sum string) error {
	copied := at + ".davit-backup-" + sum[:12]
	if err := w.root.Link(at, copied); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	w.backups = append(w.backups, Backup{
		File: filepath.Join(w.root.Name(), at), Copy: filepath.Join(w.root.Name(), copied),
	})
	return nil
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
