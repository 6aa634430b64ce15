package testbed

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// App is an image of testdata/app: one static program and how it behaves.
type App struct {
	// Version is what it answers.
	Version string
	// Env adds to its environment; testdata/app says what it understands.
	Env map[string]string
	// HealthyAfter is how long it warms up. The health check counts no failure
	// meanwhile.
	HealthyAfter time.Duration
	// NoHealthcheck leaves the image's health check out.
	NoHealthcheck bool
	// HealthEvery is the health check's interval; by default a second, for each check
	// costs a tenth of that of a core, and 200ms where the app is to become unhealthy,
	// for which it takes three failures in a row.
	HealthEvery time.Duration
	// Volume is the path of a VOLUME that the app writes to, "" for none.
	Volume string
	// Args replace "serve".
	Args []string
}

// Image is an App under a name.
type Image struct {
	// Ref is how a compose file names it.
	Ref string
	// Digest is the registry's, "sha256:…".
	Digest string
	// ID is the digest of the configuration, which is the image's ID in an engine
	// with the classic image store.
	ID string
}

// Is reports whether an engine's image ID means this image, in either kind of
// image store.
func (i Image) Is(id string) bool { return id == i.ID || id == i.Digest }

// appLayer is the file system of every App, compressed once in a process.
var appLayer = sync.OnceValues(func() (v1.Layer, error) {
	binary, err := appProgram()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the sample app: %w", err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, dir := range []string{"data/", "tmp/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o777}); err != nil {
			return nil, fmt.Errorf("pack the sample app: %w", err)
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "app", Mode: 0o755, Size: int64(len(program))}
	if err := w.WriteHeader(header); err != nil {
		return nil, fmt.Errorf("pack the sample app: %w", err)
	}
	if _, err := w.Write(program); err != nil {
		return nil, fmt.Errorf("pack the sample app: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the sample app: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithCompressedCaching)
})

// healthcheck is the command of every App's health check.
var healthcheck = []string{"/app", "healthcheck"}

// image is the App on top of layer; label marks it for the sweep.
func (a App) image(layer v1.Layer, label string) (v1.Image, error) {
	base, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", a.Version, err)
	}
	file, err := base.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", a.Version, err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = a.config(label)
	return mutate.ConfigFile(base, file)
}

func (a App) config(label string) v1.Config {
	config := v1.Config{
		Env:        []string{"VERSION=" + a.Version},
		Entrypoint: []string{"/app"},
		Cmd:        a.Args,
		Labels:     map[string]string{bedLabel: label},
	}
	if len(a.Args) == 0 {
		config.Cmd = []string{"serve"}
	}
	for name, value := range a.Env {
		config.Env = append(config.Env, name+"="+value)
	}
	if a.Volume != "" {
		config.Volumes = map[string]struct{}{a.Volume: {}}
		config.Env = append(config.Env, "DATA="+a.Volume)
	}
	if a.HealthyAfter > 0 {
		config.Env = append(config.Env, "HEALTHY_AFTER="+a.HealthyAfter.String())
	}
	slices.Sort(config.Env)
	if !a.NoHealthcheck {
		config.Healthcheck = &v1.HealthConfig{
			Test:     append([]string{"CMD"}, healthcheck...),
			Interval: a.healthEvery(),
			Timeout:  5 * time.Second,
			Retries:  3,
			// A slow machine gets there later than the app's own clock says.
			StartPeriod: 5 * a.HealthyAfter,
		}
	}
	return config
}

func (a App) healthEvery() time.Duration {
	switch {
	case a.HealthEvery > 0:
		return a.HealthEvery
	case a.Env["HEALTH"] == "never" || a.Env["UNHEALTHY_AFTER"] != "":
		return 200 * time.Millisecond
	}
	return time.Second
}
