package engine_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"davit/engine"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// inspects counts the inspects of one container among requests.
func inspects(asks []string, id string) int {
	n := 0
	for _, a := range asks {
		if a == "GET containers/"+id+"/json" {
			n++
		}
	}
	return n
}

func observe(t *testing.T, e *engine.Engine) reconcile.Observed {
	t.Helper()
	o, err := e.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestASecondLookAtAnUnchangedContainerCostsNoInspect(t *testing.T) {
	for _, listening := range []bool{false, true} {
		name := "without events"
		if listening {
			name = "with events"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			r := newRecorder(t)
			e := newEngine(t, r.host)
			heard := func(string) {}
			if listening {
				changes := follow(t, e)
				heard = func(id string) {
					await(t, changes, func(c engine.Change) bool { return c.Container == id && c.Action == "start" })
				}
			}
			id := l.create(l.request(l.stack(), onNetworks("default"), "web-1"))
			l.start(id)
			heard(id) // or the news comes between two looks
			observe(t, e)
			time.Sleep(1100 * time.Millisecond) // "Up 1 second" becomes "Up 2 seconds"
			observe(t, e)
			r.take()
			o := observe(t, e)
			asks := r.take()
			// Other tests' containers change meanwhile: their inspects, and the ping by
			// which one that ended is believed, are not this container's cost.
			lists := slices.DeleteFunc(slices.Clone(asks), func(a string) bool {
				return a == "HEAD _ping" || strings.HasPrefix(a, "GET containers/") && a != "GET containers/json"
			})
			if !slices.Equal(lists, []string{"GET containers/json", "GET networks"}) {
				t.Errorf("one look asked %v", lists)
			}
			if n := inspects(asks, id); n != 0 {
				t.Errorf("the third look inspected the container %d times", n)
			}
			found := slices.ContainsFunc(o.Containers, func(c reconcile.Container) bool { return c.ID == id && c.State == reconcile.Running })
			if !found {
				t.Error("the container is not in the third look")
			}
		})
	}
}

// follow is overhear once the stream is up.
func follow(t *testing.T, e *engine.Engine) <-chan engine.Change {
	t.Helper()
	changes := overhear(t, e)
	await(t, changes, func(c engine.Change) bool { return c.Kind == engine.EngineRecovered })
	return changes
}

// overhear runs Events until the test ends.
func overhear(t *testing.T, e *engine.Engine) <-chan engine.Change {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan engine.Change, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := e.Events(ctx, func(c engine.Change) { changes <- c }); ctx.Err() == nil {
			t.Errorf("Events: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return changes
}

func await(t *testing.T, changes <-chan engine.Change, f func(engine.Change) bool) engine.Change {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case c := <-changes:
			if f(c) {
				return c
			}
		case <-limit:
			t.Fatal("waited for an event in vain")
		}
	}
}

func TestWhatSomebodyElseChangesIsObserved(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l lab, id string) error
		seen   func(reconcile.Container) bool
	}{
		{"a stop", func(l lab, id string) error {
			return l.docker.ContainerStop(l.Context(), id, container.StopOptions{})
		}, func(c reconcile.Container) bool { return c.State == reconcile.Exited }},
		{"a restart", func(l lab, id string) error {
			return l.docker.ContainerRestart(l.Context(), id, container.StopOptions{})
		}, func(c reconcile.Container) bool { return !c.Finished.IsZero() && c.State == reconcile.Running }},
		{"a pause", func(l lab, id string) error {
			return l.docker.ContainerPause(l.Context(), id)
		}, func(c reconcile.Container) bool { return c.State == reconcile.Paused }},
		{"another name", func(l lab, id string) error {
			return l.docker.ContainerRename(l.Context(), id, l.project+"-renamed")
		}, func(c reconcile.Container) bool { return strings.HasSuffix(c.Name, "-renamed") }},
		{"a network less", func(l lab, id string) error {
			return l.docker.NetworkDisconnect(l.Context(), l.project+"_default", id, false)
		}, func(c reconcile.Container) bool { return len(c.Endpoints) == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			id := l.create(l.request(l.stack(), onNetworks("default"), "web-1"))
			l.start(id)
			observe(t, l.engine) // nobody listens to events here
			if err := c.change(l, id); err != nil {
				t.Fatal(err)
			}
			o := observe(t, l.engine)
			i := slices.IndexFunc(o.Containers, func(c reconcile.Container) bool { return c.ID == id })
			if i < 0 || !c.seen(o.Containers[i]) {
				t.Errorf("not seen: %+v", o.Containers)
			}
		})
	}
}

func TestAPolicySetByHandIsObservedOnceItsEventArrived(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	changes := follow(t, l.engine)
	id := l.create(l.request(l.stack(), onNetworks("default"), "web-1"))
	observe(t, l.engine)
	await(t, changes, func(c engine.Change) bool { return c.Container == id && c.Action == "create" })
	update := container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}
	if _, err := l.docker.ContainerUpdate(t.Context(), id, update); err != nil {
		t.Fatal(err)
	}
	await(t, changes, func(c engine.Change) bool { return c.Container == id && c.Action == "update" })
	for _, c := range observe(t, l.engine).Containers {
		if c.ID == id && c.Restart != "always" {
			t.Errorf("the policy is %q", c.Restart)
		}
	}
}

func TestAContainerThatVanishesDuringALookIsLeftOut(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := newRecorder(t)
	e := newEngine(t, r.host)
	id := l.create(l.request(l.stack(), onNetworks("default"), "web-1"))
	r.intercept(func(_ http.ResponseWriter, q *http.Request) bool {
		if path(q) == "containers/"+id+"/json" {
			if err := l.docker.ContainerRemove(context.Background(), id, container.RemoveOptions{Force: true}); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	for _, c := range observe(t, e).Containers {
		if c.ID == id {
			t.Errorf("observed %+v", c)
		}
	}
}

func TestALostStreamComesBackAndSaysSo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := newRecorder(t)
	e := newEngine(t, r.host)
	cut := make(chan struct{})
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if path(q) != "events" {
			return false
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-cut
		return true
	})
	changes := follow(t, e)
	r.intercept(nil)
	close(cut)
	lost := await(t, changes, func(c engine.Change) bool { return c.Kind == engine.EngineLost })
	if lost.Err == nil {
		t.Error("it does not say why")
	}
	await(t, changes, func(c engine.Change) bool { return c.Kind == engine.EngineRecovered })
	id := l.create(l.request(l.stack(), onNetworks("default"), "web-1"))
	got := await(t, changes, func(c engine.Change) bool { return c.Container == id })
	if got.Stack != l.project || got.Service != "web" || got.ByHand {
		t.Errorf("got %+v", got)
	}
}

func TestALocalImageIsNotPulledAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := newRecorder(t)
	e := newEngine(t, r.host)
	i := l.image(t, l.project+":one", enginetest.Behaviour{Volumes: []string{"/data"}})
	got, err := e.Pull(t.Context(), reconcile.Image{Ref: "registry.invalid/one:1", ID: i.ID, Digest: "sha256:" + strings.Repeat("1", 64)})
	if err != nil {
		t.Fatal(err)
	}
	if got.Ref != "registry.invalid/one:1" || !got.Local || len(got.Volumes) != 1 || !strings.HasSuffix(got.Digest, "1111") {
		t.Errorf("got %+v", got)
	}
	for _, a := range r.take() {
		if strings.HasPrefix(a, "POST") {
			t.Errorf("it asked %s", a)
		}
	}
}
