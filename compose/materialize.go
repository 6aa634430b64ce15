package compose

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// temporary begins the name of what is not completely written yet.
const temporary = ".davit-"

// Backup is what became of a file that a container had changed.
type Backup struct {
	// File is the file, Copy what the container had made of it.
	File, Copy string
	// Restored is true where the copy was put back because Git went back to the
	// version that the container had changed; false where a new version took its
	// place.
	Restored bool
}

// Files puts what containers mount into its place on this host, and takes away
// what nobody needs any more.
type Files struct {
	// DataDir is the agent's data directory; "" collects nothing.
	DataDir string
	Secrets Secrets
}

// Write writes the tracked content that the containers of p mount. It is safe to
// repeat; what is there already is left alone. It tells which files, changed by a
// container, were backed up. Its error is an fs.ErrNotExist for content that is
// neither in the revision nor kept on this host any more.
//
// Immutable content appears under its final name only when it is complete and on
// disk. Writable content is written file by file, and only where Git's version
// is another one than davit wrote last: what a container made of the same
// version is its own business. Decrypted content is in memory only and comes back
// here after the host was started anew.
func (f Files) Write(p *Project) ([]Backup, error) {
	var stable []Content
	for _, c := range p.Content {
		if err := c.keep(); err != nil {
			return nil, fmt.Errorf("write content of stack %s to %s: %w", p.Name, c.Copy, err)
		}
		if c.Sealed {
			if err := f.Secrets.unseal(c); err != nil {
				return nil, fmt.Errorf("decrypt %s of stack %s: %w", filepath.Base(c.Copy), p.Name, err)
			}
		}
		if c.Writable {
			stable = append(stable, c)
		}
	}
	if len(stable) == 0 {
		return nil, nil
	}
	backups, err := p.update(stable)
	if err != nil {
		return backups, fmt.Errorf("update files of stack %s in %s: %w", p.Name, p.WorkingDir, err)
	}
	return backups, nil
}

// keep makes the immutable copy unless it is there.
func (c Content) keep() error {
	if _, err := os.Lstat(c.Copy); err == nil {
		return nil
	}
	list, err := items(c.From, anywhere)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.From, err)
	}
	dir := filepath.Dir(c.Copy)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(dir, temporary)
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(scratch, "content")
	for _, i := range list {
		if err := i.copyTo(filepath.Join(made, filepath.FromSlash(i.name))); err != nil {
			return err
		}
	}
	if sum, err := digest(made, anywhere); err != nil || sum != c.Digest {
		return errors.Join(fmt.Errorf("%s is not what it was when the stack was loaded", c.From), err)
	}
	if err := os.Rename(made, c.Copy); err != nil {
		if _, there := os.Lstat(c.Copy); there == nil {
			return nil
		}
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// copyTo makes the item at the path to. The parent directory exists.
func (i item) copyTo(to string) error {
	switch {
	case i.link != "":
		return os.Symlink(i.link, to)
	case i.source == "":
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		return os.Chmod(to, 0o755)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, i.mode())
	if err != nil {
		return err
	}
	return i.fill(f)
}

// fill writes the item's content into f, makes it durable and closes f.
func (i item) fill(f *os.File) error {
	from, err := os.Open(i.source)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer from.Close()
	if _, err := io.Copy(f, from); err != nil {
		return errors.Join(err, f.Close())
	}
	// The process's umask must not keep the container's user out.
	return errors.Join(f.Chmod(i.mode()), f.Sync(), f.Close())
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// update brings the files of a stack's stable directory to Git's version. Only
// through the directory's own root are they reached: containers write there too
// and may have put a link in the way.
func (p *Project) update(stable []Content) ([]Backup, error) {
	if err := os.MkdirAll(p.WorkingDir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(p.WorkingDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Not beside an adopted stack's directory, which is somebody else's.
	if err := os.MkdirAll(filepath.Dir(p.own()), 0o755); err != nil {
		return nil, err
	}
	w := writer{root: root, manifest: p.own() + ".written.json"}
	if err := w.load(); err != nil {
		return nil, err
	}
	for _, c := range stable {
		rel, err := filepath.Rel(p.WorkingDir, c.To)
		if err != nil {
			return w.backups, err
		}
		if err := w.write(c.Copy, filepath.ToSlash(rel)); err != nil {
			return w.backups, errors.Join(err, w.save())
		}
	}
	return w.backups, w.save()
}

// WithSources is p with content that is read from the revision of declared where
// that has the same.
func (p *Project) WithSources(declared *Project) *Project {
	from := map[string]string{}
	for _, c := range declared.Content {
		from[c.Copy] = c.From
	}
	out := *p
	out.Content = slices.Clone(p.Content)
	for i, c := range out.Content {
		if source, ok := from[c.Copy]; ok {
			out.Content[i].From = source
		}
	}
	return &out
}
