package engine_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"davit/engine"
	"davit/reconcile"
)

// TestAnEngineThatShutsDownDoesNotPassForAPerson: Docker 20.10 takes no new
// connection, stops every container, reports each as stopped over the streams
// that are open, and goes.
func TestAnEngineThatShutsDownDoesNotPassForAPerson(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		leave bool
	}{{"an engine that goes", true}, {"an engine that stays", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "engine-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			listening := make(chan struct{})
			s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("Api-Version", "1.41")
				if path(q) != "events" {
					return
				}
				w.(http.Flusher).Flush()
				<-listening
				if c.leave {
					l.Close()
				}
				for _, action := range []string{"kill", "die", "stop"} {
					fmt.Fprintf(w, `{"Type":"container","Action":%q,"Actor":{"ID":"abc","Attributes":{"signal":"15",`+
						`"com.docker.compose.project":"shop","com.docker.compose.service":"web"}}}`+"\n", action)
				}
				w.(http.Flusher).Flush()
				if !c.leave {
					<-q.Context().Done()
				}
				time.Sleep(100 * time.Millisecond) // as long as the containers take
			})}}
			s.Start()
			t.Cleanup(func() { s.CloseClientConnections(); s.Close() })

			changes := follow(t, newEngine(t, "unix://"+filepath.Join(dir, "s")))
			close(listening)
			await(t, changes, func(c engine.Change) bool { return c.Action == "stop" })
			last := await(t, changes, func(c engine.Change) bool { return c.ByHand || c.Kind == engine.EngineLost })
			if last.ByHand == c.leave {
				t.Errorf("the next news is %+v", last)
			}
		})
	}
}

// TestAnEngineThatShutsDownIsNotBelievedThatAContainerEnded: it still answers over
// the connections that are open.
func TestAnEngineThatShutsDownIsNotBelievedThatAContainerEnded(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if path(q) != "_ping" {
			fmt.Fprint(w, `{"Id":"abc","State":{"Status":"exited"},"Config":{},"HostConfig":{}}`)
		}
	})}}
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	e := newEngine(t, "unix://"+filepath.Join(dir, "s"))
	if c, err := e.Inspect(t.Context(), "abc"); err != nil || c.State != reconcile.Exited {
		t.Fatalf("inspect = %v, %v, want a container that has ended", c.State, err)
	}
	l.Close()
	if _, err := e.Inspect(t.Context(), "abc"); !errors.Is(err, reconcile.ErrEngineUnavailable) {
		t.Errorf("inspect of an engine that shuts down: %v", err)
	}
}

func TestAStreamOfGarbageIsALostEngine(t *testing.T) {
	t.Parallel()
	e := quick(t, answering(t, "1.41", func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, "<html>") }))
	changes := follow(t, e)
	await(t, changes, func(c engine.Change) bool { return c.Kind == engine.EngineLost })
	await(t, changes, func(c engine.Change) bool { return c.Kind == engine.EngineRecovered })
}

func TestAnEngineThatIsDownIsReportedOnce(t *testing.T) {
	t.Parallel()
	e := quick(t, "unix://"+t.TempDir()+"/nothing.sock")
	changes := overhear(t, e)
	await(t, changes, func(c engine.Change) bool { return c.Kind == engine.EngineLost && c.Err != nil })
	select {
	case c := <-changes:
		t.Errorf("then came %+v", c)
	case <-time.After(time.Second): // several tries later
	}
}

// TestWhatAKilledEngineLeavesIsNotBelieved: after kill -9 of the daemon an exited
// container was seen with the address of a running one, and healthy.
func TestWhatAKilledEngineLeavesIsNotBelieved(t *testing.T) {
	e := quick(t, answering(t, "1.41", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Id":"abc","Name":"/x","State":{"Status":"exited","Health":{"Status":"healthy"}},"Config":{},"HostConfig":{},`+
			`"NetworkSettings":{"Networks":{"n":{"IPAddress":"10.0.0.2","NetworkID":"def"}}}}`)
	}))
	c, err := e.Inspect(t.Context(), "abc")
	if err != nil {
		t.Fatal(err)
	}
	if c.Health != reconcile.Unhealthy || c.Endpoints["n"].IP != "" {
		t.Errorf("observed %+v", c)
	}
}
