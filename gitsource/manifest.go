package gitsource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// manifest says what an export holds. It lies beside the export and is written
// after it, so that its presence means that the export was finished.
type manifest struct {
	Format  int       `json:"format"`
	Commit  string    `json:"commit"`
	Author  string    `json:"author"`
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	Files   []file    `json:"files"`
}

const manifestFormat = 1

// file is one file, directory or link of an export.
type file struct {
	Path   string      `json:"path"`
	Mode   fs.FileMode `json:"mode"`
	Size   int64       `json:"size,omitempty"`
	SHA256 string      `json:"sha256,omitempty"`
	Link   string      `json:"link,omitempty"`
}

// kept is an export on the disk.
type kept struct {
	manifest manifest
	dir      string
	// stamps is what the files looked like when their content was last compared.
	stamps map[string]stamp
}

// stamp is what the file system tells of a file without reading it.
type stamp struct {
	mode    fs.FileMode
	size    int64
	changed time.Time
}

// intact reports whether the export is still what its manifest says. Content is
// only read again where the file system says that something was touched.
func (k *kept) intact(ctx context.Context) error {
	now, err := stamps(k.dir)
	if err != nil {
		return err
	}
	if k.stamps != nil && maps.Equal(now, k.stamps) {
		return nil
	}
	if err := k.compare(ctx, now); err != nil {
		return err
	}
	k.stamps = now
	return nil
}

func stamps(dir string) (map[string]stamp, error) {
	out := map[string]stamp{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == "." {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s := stamp{mode: info.Mode(), changed: info.ModTime()}
		if info.Mode().IsRegular() {
			s.size = info.Size()
		}
		out[name] = s
		return nil
	})
	return out, err
}

// compare reads the whole export.
func (k *kept) compare(ctx context.Context, now map[string]stamp) error {
	if len(now) != len(k.manifest.Files) {
		return fmt.Errorf("it holds %d files and directories instead of %d", len(now), len(k.manifest.Files))
	}
	root, err := os.OpenRoot(k.dir)
	if err != nil {
		return err
	}
	defer root.Close() // only read
	for _, f := range k.manifest.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, ok := now[f.Path]
		if !ok {
			return fmt.Errorf("%q is missing", f.Path)
		}
		if err := f.compare(root, s); err != nil {
			return fmt.Errorf("%q: %w", f.Path, err)
		}
	}
	return nil
}

func (f file) compare(root *os.Root, s stamp) error {
	switch {
	case f.Mode.Type() != s.mode.Type():
		return errors.New("it is of another kind")
	case f.Mode.Type() == fs.ModeSymlink:
		if target, err := root.Readlink(f.Path); err != nil || target != f.Link {
			return errors.New("it leads elsewhere")
		}
		return nil
	case f.Mode.Perm() != s.mode.Perm():
		return errors.New("its permissions changed")
	case f.Mode.IsDir():
		return nil
	case f.Size != s.size:
		return errors.New("its size changed")
	}
	in, err := root.Open(f.Path)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return errors.New("its content changed")
	}
	return nil
}

// syncTree waits until all files and directories are on the disk. Waiting for
// several at once lets the file system write them together.
func syncTree(ctx context.Context, root *os.Root, files []file) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, f := range append([]file{{Path: ".", Mode: fs.ModeDir}}, files...) {
		if f.Mode.Type() == fs.ModeSymlink {
			continue // lies in its directory
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			in, err := root.Open(f.Path)
			if err != nil {
				return err
			}
			return diskError(errors.Join(in.Sync(), in.Close()))
		})
	}
	return group.Wait()
}
