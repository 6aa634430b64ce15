package compose

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// BuildContext is a directory of the exported revision as a builder is sent it:
// what .dockerignore leaves of it, and the Dockerfile.
type BuildContext struct {
	// Digest is the sha256, in hex, of the names, modes and contents in it.
	Digest string
	// Dockerfile is the Dockerfile's name in it.
	Dockerfile string

	// root is the exported revision, dir the context in it.
	root, dir string
	// ignore are the patterns of what is left out.
	ignore []string
	// extra are files that are not in the directory, by their name in the context.
	extra map[string][]byte
}

// dockerignore is the file of patterns that every builder knows.
const dockerignore = ".dockerignore"

// context surveys the build context of a service.
func (l *loading) context(b *types.BuildConfig) (BuildContext, error) {
	dir, ok := l.export.rel(b.Context)
	if !ok {
		return BuildContext{}, fmt.Errorf("context %q %w", b.Context, errEscapes)
	}
	info, err := l.export.stat(dir)
	if err != nil {
		return BuildContext{}, fmt.Errorf("context %q %w", dir, err)
	}
	if !info.IsDir() {
		return BuildContext{}, fmt.Errorf("context %q is not a directory", dir)
	}
	c := BuildContext{root: l.export.dir, dir: dir, extra: map[string][]byte{}}
	if err := c.place(l.export, b); err != nil {
		return BuildContext{}, err
	}
	whole := sha256.New()
	if err := c.write(&summing{hash: whole}); err != nil {
		return BuildContext{}, fmt.Errorf("context %q: %w", dir, err)
	}
	fmt.Fprintf(whole, "dockerfile %q\n", c.Dockerfile)
	c.Digest = hex.EncodeToString(whole.Sum(nil))
	return c, nil
}

// place finds the Dockerfile and the patterns. A Dockerfile that is not in the
// directory is sent under a name of its own, hidden from COPY.
func (c *BuildContext) place(x *export, b *types.BuildConfig) error {
	if b.DockerfileInline != "" {
		return c.hide(x, []byte(b.DockerfileInline), path.Join(c.dir, dockerignore))
	}
	at, err := local(c.dir, b.Dockerfile)
	if err != nil {
		return fmt.Errorf("dockerfile %q %w", b.Dockerfile, err)
	}
	content, err := x.read(at, maxFile)
	if err != nil {
		return fmt.Errorf("dockerfile %q %w", at, err)
	}
	own := at + dockerignore
	if rel, err := filepath.Rel(filepath.FromSlash(c.dir), filepath.FromSlash(at)); err == nil && filepath.IsLocal(rel) {
		c.Dockerfile = filepath.ToSlash(rel)
		_, err := c.patterns(x, own, path.Join(c.dir, dockerignore))
		return err
	}
	return c.hide(x, content, own)
}

// hide adds a Dockerfile that the context does not have. Builders drop from it
// what .dockerignore names, after they have read it.
func (c *BuildContext) hide(x *export, content []byte, own string) error {
	patterns, err := c.patterns(x, own, path.Join(c.dir, dockerignore))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	c.Dockerfile = ".dockerfile." + hex.EncodeToString(sum[:8])
	c.extra[c.Dockerfile] = content
	c.extra[dockerignore] = fmt.Appendf(patterns, "\n%s\n%s\n", dockerignore, c.Dockerfile)
	return nil
}

// patterns reads the first of the files that exists.
func (c *BuildContext) patterns(x *export, files ...string) ([]byte, error) {
	for _, name := range files {
		content, err := x.read(name, maxEnvFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			c.ignore, err = ignorefile.ReadAll(bytes.NewReader(content))
		}
		if err == nil {
			_, err = patternmatcher.New(c.ignore)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return content, nil
	}
	return nil, nil
}

// WriteTo writes the context as a tar archive. It fails when the content is not
// what it was when the stack was loaded.
func (c BuildContext) WriteTo(w io.Writer) (int64, error) {
	counted := &counting{to: w}
	buffered := bufio.NewWriterSize(counted, 64<<10)
	whole := sha256.New()
	archive := &archiving{tar: tar.NewWriter(buffered), sum: &summing{hash: whole}}
	if err := c.write(archive); err != nil {
		return counted.n, fmt.Errorf("pack build context %s: %w", c.dir, err)
	}
	fmt.Fprintf(whole, "dockerfile %q\n", c.Dockerfile)
	if hex.EncodeToString(whole.Sum(nil)) != c.Digest {
		return counted.n, fmt.Errorf("pack build context %s: it is not what it was when the stack was loaded", c.dir)
	}
	err := errors.Join(archive.tar.Close(), buffered.Flush())
	return counted.n, err
}

// sink takes the context's entries in the order of their names. Times and owners
// are no part of a context: they differ from one checkout to the next.
type sink interface {
	add(h tar.Header, content io.Reader) error
}

// write hands every entry to s. Nothing is read but through the root, and links
// are passed on as links, so that nothing from outside gets in.
func (c BuildContext) write(s sink) error {
	root, err := os.OpenRoot(c.root)
	if err != nil {
		return err
	}
	defer root.Close()
	matcher, err := patternmatcher.New(c.ignore)
	if err != nil {
		return err
	}
	files := root.FS()
	err = fs.WalkDir(files, c.dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return plain(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(at, c.dir), "/")
		if c.dir == "." {
			name = at
		}
		if at == c.dir || c.extra[name] != nil {
			return nil
		}
		ignored, err := c.ignores(matcher, name)
		if err != nil || ignored {
			return c.skip(matcher, name, entry, err)
		}
		if err := c.entry(files, s, at, name, entry); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(c.extra)) {
		h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(c.extra[name]))}
		err = errors.Join(err, s.add(h, bytes.NewReader(c.extra[name])))
	}
	return err
}

// ignores reports whether the patterns leave name out. The Dockerfile and the
// patterns themselves are always sent.
func (c BuildContext) ignores(m *patternmatcher.PatternMatcher, name string) (bool, error) {
	if name == c.Dockerfile || name == dockerignore {
		return false, nil
	}
	return m.MatchesOrParentMatches(name)
}

// skip leaves a directory out as a whole, unless a pattern may bring something in
// it back, or the Dockerfile is in it.
func (c BuildContext) skip(m *patternmatcher.PatternMatcher, name string, entry fs.DirEntry, err error) error {
	if err == nil && entry.IsDir() && !m.Exclusions() && !strings.HasPrefix(c.Dockerfile, name+"/") {
		return fs.SkipDir
	}
	return err
}

func (c BuildContext) entry(files fs.FS, s sink, at, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return plain(err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return s.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, nil)
	case mode&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(files, at)
		if err != nil {
			return plain(err)
		}
		return s.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
	case !mode.IsRegular():
		return errors.New("is neither a file nor a directory")
	}
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size()}
	if info.Mode()&0o111 != 0 {
		h.Mode = 0o755
	}
	f, err := files.Open(at)
	if err != nil {
		return plain(err)
	}
	defer f.Close()
	return s.add(h, f)
}

// summing adds entries up.
type summing struct{ hash io.Writer }

func (s *summing) add(h tar.Header, content io.Reader) error {
	one := sha256.New()
	if content != nil {
		if _, err := io.Copy(one, content); err != nil {
			return plain(err)
		}
	}
	_, err := fmt.Fprintf(s.hash, "%q %c %o %q %x\n", h.Name, h.Typeflag, h.Mode, h.Linkname, one.Sum(nil))
	return err
}

// archiving packs entries and adds them up on the way.
type archiving struct {
	tar *tar.Writer
	sum *summing
}

func (a *archiving) add(h tar.Header, content io.Reader) error {
	if err := a.tar.WriteHeader(&h); err != nil {
		return err
	}
	if content != nil {
		content = io.TeeReader(content, a.tar)
	}
	return a.sum.add(h, content)
}

// counting counts what passes through.
type counting struct {
	to io.Writer
	n  int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}
