package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bed is one world to run davit in. Its methods end the test on failure.
type Bed struct {
	// Name is unique among all beds and part of every name that is made here.
	Name string
	// Dir is the bed's own directory, short enough for a unix socket's path.
	Dir      string
	Engine   *Engine
	Registry *Registry
	Git      *GitServer

	tb    TB
	davit string // binary
	layer v1.Layer

	mu     sync.Mutex
	stacks []*Stack
	agents int
	client Image // of load clients, once one is wanted
}

// Config says what a Bed does not make itself.
type Config struct {
	// Engine is the engine's address, such as a private engine's Host; "" means
	// DOCKER_HOST or the usual socket.
	Engine string
	// Davit is the binary; "" means that it is built from this module.
	Davit string
}

// New makes a bed on the machine's engine with davit as it stands in this module.
func New(tb TB) *Bed {
	tb.Helper()
	return NewWith(tb, Config{})
}

// NewWith makes a bed as config says.
func NewWith(tb TB, config Config) *Bed {
	tb.Helper()
	ctx := tb.Context()
	dir, err := os.MkdirTemp("", "davit-bed-")
	if err != nil {
		tb.Fatalf("make a bed: %v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &Bed{Name: strings.ToLower(rand.Text()[:8]), Dir: dir, tb: tb, davit: config.Davit}
	if b.Engine, err = NewEngine(config.Engine); err != nil {
		tb.Fatalf("make a bed: %v", err)
	}
	if err := b.Engine.Ping(ctx); err != nil {
		tb.Fatalf("make a bed: no container engine answers; scripts/ensure-docker helps: %v", err)
	}
	tb.Cleanup(b.sweep)
	if b.layer, err = appLayer(); err == nil && b.davit == "" {
		b.davit, err = davitProgram()
	}
	if err != nil {
		tb.Fatalf("make a bed: %v", err)
	}
	b.Registry = newRegistry(tb)
	b.Git = newGitServer(tb, b.directory("git"))
	return b
}

// sweep takes the bed away. A failed test shows first what there was.
func (b *Bed) sweep() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.tb.Context()), 2*time.Minute)
	defer cancel()
	s := sweep{engine: b.Engine, bed: b.Name}
	for _, stack := range b.stacks {
		if b.tb.Failed() {
			stack.show(ctx)
		}
		stack.observer.stop()
		s.stacks = append(s.stacks, stack.Name)
		s.volumes = append(s.volumes, stack.observer.volumes()...)
	}
	// A network can still be letting go of a container that was just removed.
	err := s.run(ctx)
	for range 5 {
		if err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
		err = s.run(ctx)
	}
	b.tb.Errorf("take the bed away: %v", err)
}

func (b *Bed) directory(name string) string {
	b.tb.Helper()
	dir := filepath.Join(b.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.tb.Fatalf("make a bed: %v", err)
	}
	return dir
}

// Repo makes a repository on the bed's Git server.
func (b *Bed) Repo(name string) *Repo {
	b.tb.Helper()
	return newRepo(b.tb, b.Git, b.directory("work"), name)
}

// Push builds an app and pushes it to the bed's registry under a short name such
// as "web:1.0.0". Pushing other content under the same name moves the tag.
func (b *Bed) Push(name string, app App) Image {
	b.tb.Helper()
	image, described := b.build(app)
	described.Ref = b.Registry.Addr + "/" + b.Name + "/" + name
	b.Registry.push(described.Ref, image)
	return described
}

// Ref is the name that Push would give.
func (b *Bed) Ref(name string) string { return b.Registry.Addr + "/" + b.Name + "/" + name }

// Load builds an app and puts it straight into the engine, under a name that no
// registry knows.
func (b *Bed) Load(name string, app App) Image {
	b.tb.Helper()
	image, described := b.build(app)
	described.Ref, described.Digest = "davit.test/"+b.Name+"/"+name, ""
	if err := b.Engine.load(b.tb.Context(), described.Ref, image); err != nil {
		b.tb.Fatalf("%v", err)
	}
	return described
}

func (b *Bed) build(app App) (v1.Image, Image) {
	b.tb.Helper()
	image, err := app.image(b.layer, b.Name)
	if err != nil {
		b.tb.Fatalf("%v", err)
	}
	digest, err := image.Digest()
	id, iderr := image.ConfigName()
	if err := errors.Join(err, iderr); err != nil {
		b.tb.Fatalf("build image %s: %v", app.Version, err)
	}
	return image, Image{Digest: digest.String(), ID: id.String()}
}

// Proxy stands a recording, interfering proxy in front of the bed's engine.
func (b *Bed) Proxy() *EngineProxy {
	b.tb.Helper()
	return newEngineProxy(b.tb, b.Engine.Host, filepath.Join(b.Dir, strings.ToLower(rand.Text()[:6])+".sock"))
}
