package engine_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"davit/engine"
	"davit/engine/enginetest"
	"davit/reconcile"
)

const instance = "engine-test"

// lab is a real engine with a project of its own on it.
type lab struct {
	*testing.T
	docker  *client.Client
	engine  *engine.Engine
	project string
}

func newLab(t *testing.T) lab {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { docker.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := docker.Ping(ctx); err != nil {
		t.Fatalf("no Docker Engine answers here: %v (scripts/ensure-docker starts one)", err)
	}
	l := lab{T: t, docker: docker, project: "engine-" + strings.ToLower(rand.Text()[:8])}
	l.engine = newEngine(t, "")
	t.Cleanup(l.clean)
	return l
}

func newEngine(t *testing.T, host string) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Options{
		Host: host, Instance: instance, DockerConfigDir: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestTheEngineKeepsTheContract(t *testing.T) {
	enginetest.Contract(t, func(t *testing.T) enginetest.Bench {
		l := newLab(t)
		return enginetest.Bench{
			Engine: l.engine, Instance: instance, Project: l.project, Port: freePort(t), Dir: secretDir(t), Image: l.image,
			Buildable: func(_ *testing.T, content string) reconcile.Image {
				file := "FROM scratch\nVOLUME /data\nHEALTHCHECK CMD [\"/x\"]\nCOPY content /\n"
				if content == enginetest.Unbuildable {
					file = "FROM scratch\nCOPY nowhere /\n"
				}
				return l.buildable(l.marked(""), map[string]string{"Dockerfile": file, "content": content})
			},
			StopByHand: func(t *testing.T, id string) {
				if err := l.docker.ContainerStop(t.Context(), id, container.StopOptions{}); err != nil {
					t.Fatal(err)
				}
			},
			RemoveByHand: func(t *testing.T, id string) {
				if err := l.docker.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// clean removes everything that carries the project's name.
func (l lab) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	containers, err := l.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", l.project))})
	l.check(err)
	for _, c := range containers {
		l.check(l.docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	networks, err := l.docker.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", l.project))})
	l.check(err)
	for _, n := range networks {
		l.check(l.docker.NetworkRemove(ctx, n.ID))
	}
	images, err := l.docker.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "test="+l.project))})
	l.check(err)
	for _, i := range images {
		_, err := l.docker.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true, PruneChildren: true})
		l.check(err)
	}
	volumes, err := l.docker.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("name", l.project))})
	l.check(err)
	for _, v := range volumes.Volumes {
		l.check(l.docker.VolumeRemove(ctx, v.Name, true))
	}
}

func (l lab) check(err error) {
	l.Helper()
	if err != nil {
		l.Errorf("clean up: %v", err)
	}
}

// image makes an image of the test app that behaves as b says.
func (l lab) image(t *testing.T, ref string, b enginetest.Behaviour) reconcile.Image {
	t.Helper()
	changes := []string{
		`ENTRYPOINT ["/app"]`, "LABEL test=" + l.project,
		fmt.Sprintf("ENV HEALTHY_AFTER=%s EXIT_AFTER=%s EXIT_CODE=%d SICK=%s EXITS=%s DEAF=%s LOG=%q",
			b.HealthyAfter, b.ExitAfter, b.ExitCode, flag(b.Sick), flag(b.Exits), flag(b.IgnoresTERM), strings.ReplaceAll(b.Log, "\n", "|")),
	}
	if b.Healthcheck {
		changes = append(changes, fmt.Sprintf(`HEALTHCHECK --interval=%s --timeout=5s CMD ["/app", "check"]`, cmp.Or(b.CheckedEvery, 100*time.Millisecond)))
	}
	for _, path := range b.Volumes {
		changes = append(changes, "VOLUME "+path)
	}
	l.load(t, ref, changes)
	i, err := l.engine.LocalImage(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (l lab) load(t *testing.T, ref string, changes []string) {
	t.Helper()
	binary, err := app()
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, err := range []error{
		w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(binary))}),
		second(w.Write(binary)),
		w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	source := image.ImportSource{Source: &layer, SourceName: "-"}
	body, err := l.docker.ImageImport(t.Context(), source, ref, image.ImportOptions{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Fatal(err)
	}
}

func second(_ int, err error) error { return err }

func flag(set bool) string {
	if set {
		return "yes"
	}
	return ""
}

// app is the static test binary, built once.
var app = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "engine-app-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the test app: %w\n%s", err, out)
	}
	return os.ReadFile(path)
})

// exec runs a command in a container and returns what it prints.
func (l lab) exec(id string, command ...string) string {
	l.Helper()
	ctx := l.Context()
	e, err := l.docker.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true, Tty: true})
	if err != nil {
		l.Fatal(err)
	}
	a, err := l.docker.ContainerExecAttach(ctx, e.ID, container.ExecAttachOptions{Tty: true})
	if err != nil {
		l.Fatal(err)
	}
	defer a.Close()
	out, err := io.ReadAll(a.Reader)
	if err != nil {
		l.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func secretDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
