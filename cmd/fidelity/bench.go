package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"davit/cmd/internal/testbed"
)

// home is where files are laid out. It is always the same one, because Compose's
// hash of a service contains the paths that it mounts.
const home = "/tmp/davit-fidelity"

// withVolume is the one image that declares a VOLUME; every other name means the
// plain one.
const withVolume = "davit.example/data"

// bench is the engine that files are tried on, and the directory that they are
// laid out in.
type bench struct {
	engine   *testbed.Engine
	composer string
	// print is the engine's kind, root where it keeps its data.
	print fingerprint
	root  string
	// live is true where Compose is asked rather than its record.
	live bool

	claims *claims
	mu     sync.Mutex
	tags   map[string]bool
}

// newBench connects to the engine at address, or starts one where there is none.
func newBench(o *testbed.Owner, address string) (*bench, error) {
	if err := clear(o); err != nil {
		return nil, err
	}
	b := &bench{claims: newClaims(), tags: map[string]bool{}}
	if address == "" {
		b.engine = testbed.NewPrivateEngine(o).Engine
	} else {
		var err error
		if b.engine, err = testbed.NewEngine(address); err != nil {
			return nil, err
		}
	}
	return b, b.prepare(o.Context())
}

// clear empties the directory and keeps every other run out of it until this one
// ends.
func clear(o *testbed.Owner) error {
	if err := os.Mkdir(home, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make room for the files: %w", err)
	}
	info, err := os.Lstat(home)
	if err != nil {
		return fmt.Errorf("make room for the files: %w", err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || ok && int(s.Uid) != os.Getuid() {
		return fmt.Errorf("make room for the files: %s is not a directory of this user", home)
	}
	lock, err := os.Open(home)
	if err != nil {
		return fmt.Errorf("make room for the files: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		o.Logf("waiting for another run to end")
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			return fmt.Errorf("lock %s: %w", home, err)
		}
	}
	o.Cleanup(func() {
		_ = empties(home)
		_ = lock.Close()
	})
	return empties(home)
}

// empties removes what is in dir and leaves dir, whose lock is held.
func empties(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func (b *bench) prepare(ctx context.Context) error {
	var info struct{ DockerRootDir string }
	if err := b.engine.Ask(ctx, "/info", nil, &info); err != nil {
		return err
	}
	b.root = info.DockerRootDir
	for name, volume := range map[string]string{plain: "", withVolume: "/data"} {
		image, err := tiny(volume)
		if err != nil {
			return err
		}
		if err := b.engine.LoadImage(ctx, name+":latest", image); err != nil {
			return err
		}
	}
	return nil
}

// plain is the image that stands in for all others.
const plain = "davit.example/plain"

// tiny is an image of one file. Nothing is ever started, so that it need not run.
func tiny(volume string) (v1.Image, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	text := []byte("This image stands in for every other one.\n")
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "tiny", Mode: 0o755, Size: int64(len(text))}); err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config = v1.Config{
		Cmd: []string{"/tiny", "serve"}, Env: []string{"PATH=/", "FROM_IMAGE=yes"},
		Labels: map[string]string{"org.example.image": "tiny"},
	}
	if volume != "" {
		file.Config.Volumes = map[string]struct{}{volume: {}}
	}
	return mutate.ConfigFile(image, file)
}

// stand lets the image stand in for each of refs.
func (b *bench) stand(ctx context.Context, refs []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ref := range refs {
		if ref == "" || b.tags[ref] || strings.Contains(ref, "@") {
			continue
		}
		from, repository, tag := plain, ref, "latest"
		if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
			repository, tag = ref[:i], ref[i+1:]
		}
		if repository == withVolume {
			from = withVolume
		}
		err := b.engine.Tell(ctx, "/images/"+from+":latest/tag", url.Values{"repo": {repository}, "tag": {tag}}, nil)
		if err != nil {
			return fmt.Errorf("let the image stand in for %s: %w", ref, err)
		}
		b.tags[ref] = true
	}
	return nil
}
