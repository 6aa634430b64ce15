package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// item is one file, directory or link of tracked content.
type item struct {
	// name is relative to the content, "." for itself, with slashes.
	name string
	// source is the real file to copy; "" for a directory or link.
	source string
	// link is a link's target; "" for a file or directory.
	link       string
	executable bool
}

func (i item) dir() bool { return i.source == "" && i.link == "" }

// mode is what a container's user, whoever that is, can read.
func (i item) mode() fs.FileMode {
	if i.dir() || i.executable {
		return 0o755
	}
	return 0o644
}

// items lists the content at from in the order of names. A link that stays
// inside stays a link; one that leads elsewhere becomes the file it leads to, if
// allowed says nothing against it.
func items(from string, allowed func(real string) error) ([]item, error) {
	top, err := filepath.EvalSymlinks(from)
	if err != nil {
		return nil, plain(err)
	}
	if err := allowed(top); err != nil {
		return nil, err
	}
	var list []item
	err = filepath.WalkDir(top, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return plain(err)
		}
		rel, err := filepath.Rel(top, at)
		if err != nil {
			return err
		}
		i, err := newItem(at, rel, entry, allowed)
		if err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		list = append(list, i)
		return nil
	})
	return list, err
}

func newItem(at, rel string, entry fs.DirEntry, allowed func(string) error) (item, error) {
	i := item{name: filepath.ToSlash(rel)}
	info, err := entry.Info()
	if err != nil {
		return i, plain(err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return i, nil
	case mode.IsRegular():
		i.source, i.executable = at, mode&0o111 != 0
		return i, nil
	case mode&fs.ModeSymlink == 0:
		return i, errors.New("is neither a file nor a directory")
	}
	target, err := os.Readlink(at)
	if err != nil {
		return i, plain(err)
	}
	if !filepath.IsAbs(target) && filepath.IsLocal(filepath.Join(filepath.Dir(rel), target)) {
		i.link = target
		return i, nil
	}
	if i.source, err = filepath.EvalSymlinks(at); err != nil {
		return i, fmt.Errorf("link to %s: %w", target, plain(err))
	}
	if err := allowed(i.source); err != nil {
		return i, fmt.Errorf("link to %s: %w", target, err)
	}
	real, err := os.Stat(i.source)
	if err != nil {
		return i, plain(err)
	}
	if !real.Mode().IsRegular() {
		return i, fmt.Errorf("link to %s, a directory that is not mounted with it: %w", target, errUnsupported)
	}
	i.executable = real.Mode()&0o111 != 0
	return i, nil
}

// digest is the sha256, in hex, of the content and modes of what rel holds.
func (x *export) digest(rel string) (string, error) {
	return digest(x.abs(rel), func(real string) error {
		if _, ok := x.rel(real); !ok {
			return errEscapes
		}
		return nil
	})
}

func digest(from string, allowed func(string) error) (string, error) {
	list, err := items(from, allowed)
	if err != nil {
		return "", err
	}
	whole := sha256.New()
	for _, i := range list {
		sum := ""
		if i.source != "" {
			if sum, err = sumFile(i.source); err != nil {
				return "", err
			}
		}
		fmt.Fprintf(whole, "%q %o %q %s\n", i.name, i.mode(), i.link, sum)
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

func sumFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", plain(err)
	}
	defer f.Close()
	return sumOf(f)
}

func sumOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("read content: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func anywhere(string) error { return nil }
