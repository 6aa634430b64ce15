package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"davit/engine"
	"davit/reconcile"
)

// quick is an engine that loses patience soon.
func quick(t *testing.T, host string) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Options{
		Host: host, Instance: instance, DockerConfigDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Timeout: 300 * time.Millisecond, PullTimeout: 10 * time.Second, PullStall: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// answering serves a Docker Engine of the given API version with f's answers.
func answering(t *testing.T, version string, f http.HandlerFunc) string {
	t.Helper()
	return listen(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if path(q) == "_ping" {
			w.Header().Set("Api-Version", version)
			return
		}
		f(w, q)
	}))
}

// empty answers as f does, on a host without containers.
func empty(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if path(q) == "containers/json" {
			fmt.Fprint(w, "[]")
			return
		}
		f(w, q)
	}
}

func fail(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"message":%q}`, message)
}

func TestBadWeatherIsToldApart(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
		hint   string
	}{
		{"the container is gone", func(w http.ResponseWriter, _ *http.Request) {
			fail(w, 404, "No such container: abc")
		}, reconcile.ErrContainerMissing, ""},
		{"the disk is full", func(w http.ResponseWriter, _ *http.Request) {
			fail(w, 500, "mkdir /var/lib/docker/overlay2/x: no space left on device")
		}, reconcile.ErrDiskFull, "space"},
		{"the engine hangs", func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, reconcile.ErrEngineUnavailable, ""},
		{"the engine dies in mid-sentence", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(500)
			panic(http.ErrAbortHandler)
		}, reconcile.ErrEngineUnavailable, ""},
		{"the port is taken", func(w http.ResponseWriter, _ *http.Request) {
			fail(w, 500, "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated")
		}, nil, "host port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := quick(t, answering(t, "1.41", empty(c.answer)))
			err := e.Start(t.Context(), "abc")
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("start: %v, want %v", err, c.want)
			}
			if c.want == nil && errors.Is(err, reconcile.ErrEngineUnavailable) {
				t.Errorf("start: %v: the engine answered", err)
			}
			if !strings.Contains(err.Error(), "start container abc") {
				t.Errorf("%v: does not name the operation", err)
			}
			if !strings.Contains(reconcile.Hint(err), c.hint) {
				t.Errorf("hint %q, want %q", reconcile.Hint(err), c.hint)
			}
		})
	}
}

func TestAnEngineThatIsNotThereIsUnavailable(t *testing.T) {
	e := quick(t, "unix://"+t.TempDir()+"/nothing.sock")
	for name, call := range map[string]func() error{
		"ping":    func() error { _, err := e.Ping(t.Context()); return err },
		"observe": func() error { _, err := e.Observe(t.Context()); return err },
		"start":   func() error { return e.Start(t.Context(), "x") },
		"pull":    func() error { _, err := e.Pull(t.Context(), reconcile.Image{Ref: "x:1"}); return err },
	} {
		if err := call(); !errors.Is(err, reconcile.ErrEngineUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheCallersOwnEndIsNotTheEnginesFault(t *testing.T) {
	e := quick(t, answering(t, "1.41", func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	err := e.Start(ctx, "abc")
	if !errors.Is(err, context.Canceled) || errors.Is(err, reconcile.ErrEngineUnavailable) {
		t.Errorf("start: %v", err)
	}
}

func TestTheVersionIsNegotiatedAnewAfterAnOutage(t *testing.T) {
	var version atomic.Value
	version.Store("1.41")
	var down atomic.Bool
	e := quick(t, listen(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Api-Version", version.Load().(string))
		fmt.Fprint(w, `{"Version":"20.10.24"}`)
	})))
	ping := func() string {
		info, err := e.Ping(t.Context())
		if err != nil {
			return err.Error()
		}
		return info.APIVersion
	}
	if got := ping(); got != "1.41" {
		t.Errorf("at first: %s", got)
	}
	version.Store("1.44")
	if got := ping(); got != "1.41" {
		t.Errorf("while it is up: %s", got)
	}
	down.Store(true)
	if _, err := e.Ping(t.Context()); !errors.Is(err, reconcile.ErrEngineUnavailable) {
		t.Errorf("while it is down: %v", err)
	}
	down.Store(false)
	if got := ping(); got != "1.44" {
		t.Errorf("after the outage: %s", got)
	}
}

func TestWhatTheRegistrySaysIsToldApart(t *testing.T) {
	stream := func(lines ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, strings.Join(lines, "\n")) }
	}
	refused := func(code int, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fail(w, code, message) }
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"no such tag", refused(404, "manifest for r.test/shop:1 not found: manifest unknown: manifest unknown"), reconcile.ErrImageMissing},
		{"no such repository", refused(404, "name unknown: repository name not known to registry"), reconcile.ErrImageMissing},
		{"not for this platform", stream(`{"errorDetail":{"message":"no matching manifest for linux/amd64 in the manifest list entries"},"error":"no matching manifest"}`), reconcile.ErrImageMissing},
		{"wrong credentials", refused(500, "Get https://r.test/v2/: unauthorized: incorrect username or password"), reconcile.ErrRegistryDenied},
		{"no credentials", refused(500, "Head r.test: no basic auth credentials"), reconcile.ErrRegistryDenied},
		{"a private repository", refused(404, "pull access denied for shop, repository does not exist or may require 'docker login'"), reconcile.ErrRegistryDenied},
		{"nobody there", refused(500, `Get "https://r.test/v2/": dial tcp 127.0.0.1:1: connect: connection refused`), reconcile.ErrRegistryUnavailable},
		{"no such host", refused(500, `Get "https://r.test/v2/": dial tcp: lookup r.test: no such host`), reconcile.ErrRegistryUnavailable},
		{"asked too often", refused(500, "toomanyrequests: You have reached your pull rate limit"), reconcile.ErrRegistryUnavailable},
		{"an error in mid-stream", stream(`{"status":"Downloading"}`, `{"errorDetail":{"message":"received unexpected HTTP status: 502 Bad Gateway"},"error":"x"}`), reconcile.ErrRegistryUnavailable},
		{"a full disk in mid-stream", stream(`{"errorDetail":{"message":"write /var/lib/docker/tmp/x: no space left on device"},"error":"x"}`), reconcile.ErrDiskFull},
		{"a silent download", func(w http.ResponseWriter, q *http.Request) {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-q.Context().Done()
		}, reconcile.ErrRegistryUnavailable},
		{"garbage", stream(`{"status":`, `<html>`), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := quick(t, answering(t, "1.41", func(w http.ResponseWriter, q *http.Request) {
				if path(q) == "images/create" {
					c.answer(w, q)
					return
				}
				fail(w, 404, "No such image: x")
			}))
			_, err := e.Pull(t.Context(), reconcile.Image{Ref: "r.test/shop:1", Digest: "sha256:" + strings.Repeat("a", 64)})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("pull: %v, want %v", err, c.want)
			}
			if c.want != nil && reconcile.Hint(err) == "" && !strings.Contains(c.name, "silent") {
				t.Errorf("pull: %v: no hint", err)
			}
		})
	}
}

func TestExhaustedAddressesComeWithAdvice(t *testing.T) {
	l := newLab(t)
	p := l.stack()
	e := quick(t, answering(t, "1.41", func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			fail(w, 404, "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network")
			return
		}
		fmt.Fprint(w, "[]")
	}))
	err := e.CreateNetwork(t.Context(), p, "default")
	if err == nil || !strings.Contains(reconcile.Hint(err), "default-address-pools") {
		t.Errorf("create network: %v (hint %q)", err, reconcile.Hint(err))
	}
}

func TestARestartPolicyThatDoesNotStickIsAnError(t *testing.T) {
	e := quick(t, answering(t, "1.41", func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			fmt.Fprint(w, `{}`)
			return
		}
		fmt.Fprint(w, `{"Id":"abc","State":{"Status":"exited"},"Config":{},"HostConfig":{"RestartPolicy":{"Name":"always"}}}`)
	}))
	if err := e.SetRestart(t.Context(), "abc", "no"); err == nil || !strings.Contains(err.Error(), "always") {
		t.Errorf("set restart: %v", err)
	}
}

func TestAHalfStartedContainerIsStartedOnceTheEngineHasClearedItUp(t *testing.T) {
	for name, said := range map[string]string{
		"its record is left":         "id already in use",
		"its directory is left":      "failed to start shim: mkdir /run/containerd/io.containerd.runtime.v2.task/moby/abc: file exists: unknown",
		"its task is left":           "task abc: already exists",
		"the runtime still knows it": "OCI runtime create failed: container with given ID already exists: unknown",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			e := quick(t, answering(t, "1.41", empty(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 1 {
					fail(w, http.StatusConflict, said)
					return
				}
				w.WriteHeader(http.StatusNoContent)
			})))
			if err := e.Start(t.Context(), "abc"); err != nil || asked.Load() != 2 {
				t.Errorf("asked %d times, err = %v, want a second attempt that succeeds", asked.Load(), err)
			}
		})
	}
}

func TestAFileThatExistsInAContainerIsTheContentsFault(t *testing.T) {
	e := quick(t, answering(t, "1.41", empty(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, 500, "OCI runtime create failed: mkdir /var/lib/docker/overlay2/abc/merged/data: file exists: unknown")
	})))
	if err := e.Start(t.Context(), "abc"); err == nil || errors.Is(err, reconcile.ErrEngineUnavailable) {
		t.Errorf("start: %v", err)
	}
}

func TestAnEngineThatDoesNotClearUpIsNotTheContentsFault(t *testing.T) {
	e := quick(t, answering(t, "1.41", empty(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusConflict, "container with ID already in use")
	})))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := e.Start(ctx, "abc")
	if !errors.Is(err, reconcile.ErrEngineUnavailable) || !strings.Contains(reconcile.Hint(err), "grep -l abc") {
		t.Errorf("start: %v (hint %q)", err, reconcile.Hint(err))
	}
}

func TestAnIncompleteAnswerIsAnError(t *testing.T) {
	for _, body := range []string{`{}`, `{"Id":"abc"}`, `null`, `{"Id":"abc","State":{}}`} {
		e := quick(t, answering(t, "1.41", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		if _, err := e.Inspect(t.Context(), "abc"); err == nil {
			t.Errorf("%s passes for a container", body)
		}
	}
}

func TestAnUnansweredJoinIsLookedAt(t *testing.T) {
	for _, c := range []struct {
		name string
		step string // whose reply is lost, its work done
	}{
		{"the reply to leaving is lost", "disconnect"},
		{"the reply to coming back is lost", "connect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			r := newRecorder(t)
			e := newEngine(t, r.host)
			p := l.stack()
			q := l.request(p, onNetworks("default"), "web-1")
			id := l.create(q)
			l.start(id)
			r.intercept(func(w http.ResponseWriter, ask *http.Request) bool {
				if !strings.HasSuffix(ask.URL.Path, "/"+c.step) {
					return false
				}
				r.intercept(nil)
				forward(t, ask)
				fail(w, 500, "the reply was lost")
				return true
			})
			if err := e.Join(t.Context(), id, p, q.Service); err != nil {
				t.Fatal(err)
			}
			end := l.inspect(id).NetworkSettings.Networks[l.project+"_default"]
			if end == nil || !strings.Contains(strings.Join(end.Aliases, " "), "web") {
				t.Errorf("the container's place is %+v", end)
			}
		})
	}
}

func TestManyCallersOfASilentEngineGiveUpTogether(t *testing.T) {
	t.Parallel()
	e := quick(t, listen(t, http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })))
	began := time.Now()
	results := make(chan error)
	for range 20 {
		go func() { results <- e.Start(t.Context(), "abc") }()
	}
	for range 20 {
		if err := <-results; !errors.Is(err, reconcile.ErrEngineUnavailable) {
			t.Errorf("start: %v", err)
		}
	}
	if took := time.Since(began); took > 3*time.Second { // one after the other would take six
		t.Errorf("it took %s", took)
	}
}
