package compose

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// maxFile bounds a compose file, maxEnvFile a file of variables, in bytes.
	maxFile    = 1 << 20
	maxEnvFile = 256 << 10
)

// export is the exported revision. Nothing is read but through it, so that no
// path and no symbolic link can lead out of the repository.
type export struct {
	root *os.Root
	// dir is the real path of the root.
	dir string
	// davit is true once a file was read that names a DAVIT_ variable.
	davit bool
	// secrets open encrypted files.
	secrets Secrets
	notes   []Note
}

// note is a remark about a whole file.
func (x *export) note(file, text string) {
	if n := (Note{File: file, Text: text}); !slices.Contains(x.notes, n) {
		x.notes = append(x.notes, n)
	}
}

func openExport(dir string) (*export, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fmt.Errorf("open source directory: %w", err)
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, fmt.Errorf("open source directory: %w", err)
	}
	return &export{root: root, dir: real}, nil
}

func (x *export) close() { _ = x.root.Close() }

// abs is the host path of rel.
func (x *export) abs(rel string) string { return filepath.Join(x.dir, filepath.FromSlash(rel)) }

// rel is the slash path of abs below the root; false when it is elsewhere.
func (x *export) rel(abs string) (string, bool) {
	r, err := filepath.Rel(x.dir, abs)
	if err != nil || !filepath.IsLocal(r) {
		return "", false
	}
	return filepath.ToSlash(r), true
}

// read returns the regular file rel, which may be limit bytes long at most.
func (x *export) read(rel string, limit int64) ([]byte, error) {
	// A pipe that nobody writes to would be waited for.
	f, err := x.root.OpenFile(filepath.FromSlash(rel), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	data, err := readRegular(f, limit)
	x.davit = x.davit || mentionsDavit(data)
	return data, err
}

// readEnv is read for a file of variables, which may be encrypted.
func (x *export) readEnv(rel string) ([]byte, error) {
	data, err := x.read(rel, maxEnvFile)
	if x.secrets.skips(data) {
		x.note(rel, unread)
		return nil, nil
	}
	if sealed(data) {
		x.remarkKey()
	}
	data, err = x.secrets.reveal(data, err)
	x.davit = x.davit || mentionsDavit(data)
	return data, err
}

// remarkKey notes a key that does not protect anything on this host.
func (x *export) remarkKey() {
	if info, err := os.Stat(x.secrets.KeyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		x.note(x.secrets.KeyFile, "can be read by every user of this host: chmod 600 it")
	}
}

// readLabels is read for a file of labels. Labels can be seen by everybody who may
// ask the engine, so that nothing of them can be secret.
func (x *export) readLabels(rel string) ([]byte, error) {
	data, err := x.read(rel, maxEnvFile)
	if err == nil && sealed(data) {
		return nil, errors.New("is encrypted, and labels are no place for secrets")
	}
	return data, err
}

func readRegular(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errIrregular
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, plain(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than %d KiB", limit>>10)
	}
	return data, nil
}

// stat follows links, within the repository only.
func (x *export) stat(rel string) (fs.FileInfo, error) {
	info, err := x.root.Stat(filepath.FromSlash(rel))
	return info, plain(err)
}

// exists reports whether Git tracks rel, as a file or as a directory with
// tracked files in it.
func (x *export) exists(rel string) bool {
	_, err := x.stat(rel)
	return err == nil
}

// plain drops the operation and path that a file error repeats: the Problem
// around it names them.
func plain(err error) error {
	var pe *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errMissing
	case errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "escapes"):
		return errEscapes
	case errors.Is(err, syscall.ENXIO): // a socket
		return errIrregular
	case errors.As(err, &pe):
		return pe.Err
	}
	return err
}

// missing is fs.ErrNotExist in fewer words.
type missing struct{}

func (missing) Error() string        { return "does not exist" }
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

var errMissing = missing{}

var errIrregular = errors.New("is not a regular file")

var errEscapes = errors.New("leads out of the repository")

// local joins rel to base and refuses what leaves the root.
func local(base, rel string) (string, error) {
	joined := path.Join(base, filepath.ToSlash(rel))
	if !filepath.IsLocal(joined) {
		return "", errEscapes
	}
	return joined, nil
}
