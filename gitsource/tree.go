package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"davit/reconcile"
)

// exporter writes one commit's tree. Everything goes through an os.Root, so that
// even a mistake in the checks below cannot write outside.
type exporter struct {
	store   storer.EncodedObjectStorer
	root    *os.Root
	limits  Limits
	files   []file
	links   []string
	skipped []string // submodules
	bytes   int64
}

const (
	maxName = 255  // bytes of one path element, as file systems have it
	maxPath = 4000 // bytes of a path, or of a link's target

	filePerm       fs.FileMode = 0o644
	executablePerm fs.FileMode = 0o755
	dirPerm        fs.FileMode = 0o755
)

// export writes the tree into dir, which exists and is empty, and waits until
// all of it is on the disk.
func export(ctx context.Context, store storer.EncodedObjectStorer, tree plumbing.Hash, dir string, l Limits) (*exporter, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // nothing is buffered in it
	e := &exporter{store: store, root: root, limits: l}
	if err := e.directory(ctx, tree, "", 0); err != nil {
		return nil, err
	}
	if err := e.checkLinks(); err != nil {
		return nil, err
	}
	return e, syncTree(ctx, root, e.files)
}

func (e *exporter) directory(ctx context.Context, tree plumbing.Hash, dir string, depth int) error {
	if depth > e.limits.Depth {
		return refuse(ErrTooLarge, dir, "it is more than %d directories deep", e.limits.Depth)
	}
	entries, err := readTree(e.store, tree)
	if err != nil {
		return err
	}
	if len(e.files)+len(entries) > e.limits.Files {
		return reconcile.WithHint(stalled(ErrTooLarge, "export more than %d files and directories", e.limits.Files),
			"keep what is deployed in a repository of its own, or raise the limit")
	}
	seen := make(map[string]bool, len(entries))
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(dir, entry.Name)
		if err := checkName(entry.Name); err != nil {
			return refuse(ErrTreeRefused, dir+"/"+entry.Name, "%v", err)
		}
		if seen[entry.Name] {
			return refuse(ErrTreeRefused, name, "it is there twice")
		}
		seen[entry.Name] = true
		if len(name) > maxPath {
			return refuse(ErrTooLarge, name, "its path has more than %d bytes", maxPath)
		}
		if err := e.entry(ctx, entry, name, depth); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) entry(ctx context.Context, entry object.TreeEntry, name string, depth int) error {
	switch entry.Mode {
	case filemode.Dir:
		if err := e.root.Mkdir(name, dirPerm); err != nil {
			return diskError(fmt.Errorf("export %s: %w", name, err))
		}
		if err := e.root.Chmod(name, dirPerm); err != nil { // whatever the umask
			return fmt.Errorf("export %s: %w", name, err)
		}
		e.files = append(e.files, file{Path: name, Mode: fs.ModeDir | dirPerm})
		return e.directory(ctx, entry.Hash, name, depth+1)
	case filemode.Regular, filemode.Deprecated:
		return e.file(entry.Hash, name, filePerm)
	case filemode.Executable:
		return e.file(entry.Hash, name, executablePerm)
	case filemode.Symlink:
		return e.symlink(entry.Hash, name)
	case filemode.Submodule:
		e.skipped = append(e.skipped, name)
		return nil
	}
	return refuse(ErrTreeRefused, name, "its mode %s is not known", entry.Mode)
}

// checkName refuses what is no plain file name, and the names that Git gives a
// meaning to.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return errors.New("it is no file name")
	case strings.ContainsAny(name, "/\x00"):
		return errors.New("its name holds a separator")
	case len(name) > maxName:
		return fmt.Errorf("its name has more than %d bytes", maxName)
	case strings.EqualFold(name, ".git"):
		return errors.New("it would be a Git directory")
	}
	return nil
}

func (e *exporter) file(hash plumbing.Hash, name string, perm fs.FileMode) error {
	size, err := objectSize(e.store, hash)
	if err != nil {
		return damaged(plumbing.BlobObject, hash, err)
	}
	if size > e.limits.File {
		return refuse(ErrTooLarge, name, "it holds %d bytes, %d are allowed", size, e.limits.File)
	}
	if e.bytes += size; e.bytes > e.limits.Bytes {
		return refuse(ErrTooLarge, name, "all files together hold more than %d bytes", e.limits.Bytes)
	}
	f, err := e.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return diskError(fmt.Errorf("export %s: %w", name, err))
	}
	n, sum, err := copyBlob(e.store, hash, f)
	if err = errors.Join(err, f.Chmod(perm), f.Close()); err != nil {
		return fmt.Errorf("export %s: %w", name, diskError(err))
	}
	e.files = append(e.files, file{Path: name, Mode: perm, Size: n, SHA256: sum})
	return nil
}

// symlink writes a link whose target, read as text, stays inside. Where it really
// leads is checked when everything is there.
func (e *exporter) symlink(hash plumbing.Hash, name string) error {
	blob, err := readObject(e.store, hash, plumbing.BlobObject, maxPath)
	if err != nil {
		return err
	}
	r, err := blob.Reader()
	if err != nil {
		return err
	}
	b := make([]byte, blob.Size())
	if _, err := r.Read(b); err != nil && len(b) > 0 {
		return err
	}
	target := string(b)
	if err := checkTarget(name, target); err != nil {
		return refuse(ErrTreeRefused, name, "it is a link and %v", err)
	}
	if err := e.root.Symlink(target, name); err != nil {
		return diskError(fmt.Errorf("export %s: %w", name, err))
	}
	e.links = append(e.links, name)
	e.files = append(e.files, file{Path: name, Mode: fs.ModeSymlink, Link: target})
	return nil
}

func checkTarget(name, target string) error {
	switch {
	case target == "" || strings.Contains(target, "\x00"):
		return errors.New("its target is no path")
	case path.IsAbs(target):
		return fmt.Errorf("its target %q is absolute", clean(target, 200))
	}
	if to := path.Join(path.Dir(name), target); to == ".." || strings.HasPrefix(to, "../") {
		return fmt.Errorf("its target %q is outside the repository", clean(target, 200))
	}
	return nil
}

// checkLinks follows every link as the kernel would, other links on its way
// included. One that leads nowhere is allowed: it leads nowhere outside either.
func (e *exporter) checkLinks() error {
	for _, name := range e.links {
		if _, err := e.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return refuse(ErrTreeRefused, name, "it is a link that cannot be followed inside the repository")
		}
	}
	return nil
}

func refuse(cause error, name, format string, args ...any) error {
	return reconcile.WithHint(stalled(cause, "export %q: %s", clean(name, 300), fmt.Sprintf(format, args...)),
		"what runs is left as it is until a commit without it is pushed")
}
