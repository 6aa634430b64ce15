package engine_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"

	"davit/reconcile"
)

// probed is a container whose command `/app hook` ends as how says, an engine behind a
// recorder, and the hook of a probe that runs it.
func probed(t *testing.T, how string) (l lab, r *recorder, id string, probe func(limit time.Duration) error) {
	l, r = newLab(t), newRecorder(t)
	s := onNetworks("default")
	s.Environment = types.MappingWithEquals{"HOOK": &how}
	id = l.create(l.request(l.stack(), s, "web-1"))
	l.start(id)
	slow := newEngine(t, r.host)
	return l, r, id, func(limit time.Duration) error {
		h := reconcile.Hook{Phase: reconcile.HookProbe, Timeout: limit}
		h.Command = types.ShellCommand{"/app", "hook"}
		return slow.Run(t.Context(), id, h)
	}
}

func TestAnEngineThatIsSlowIsNotTheCommandsFault(t *testing.T) {
	for name, delayed := range map[string]func(method, path string) bool{
		"to make it":  func(method, path string) bool { return method == http.MethodPost && strings.HasSuffix(path, "/exec") },
		"to begin it": func(method, path string) bool { return method == http.MethodPost && strings.HasPrefix(path, "exec/") },
	} {
		t.Run(name, func(t *testing.T) {
			_, r, _, probe := probed(t, "0")
			r.intercept(func(_ http.ResponseWriter, q *http.Request) bool {
				if delayed(q.Method, path(q)) {
					time.Sleep(2 * time.Second)
				}
				return false
			})
			var failed *reconcile.HookFailure
			if err := probe(time.Second); errors.As(err, &failed) && failed.TimedOut > 0 {
				t.Errorf("the command is blamed: %v", err)
			}
		})
	}
	t.Run("to say that it runs", func(t *testing.T) {
		_, r, _, probe := probed(t, "never")
		r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
			if q.Method != http.MethodGet || !strings.HasPrefix(path(q), "exec/") {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"Running": true, "ExitCode": null, "Pid": 0}`)
			return true
		})
		var failed *reconcile.HookFailure
		if err := probe(time.Second); err == nil || errors.As(err, &failed) || !errors.Is(err, reconcile.ErrEngineUnavailable) {
			t.Errorf("got %v of a command that was not begun", err)
		}
	})
}

func TestAProbesCommandThatDoesNotEndIsNotRunBesideItself(t *testing.T) {
	l, r, id, probe := probed(t, "never")
	begun := func() int {
		return len(slices.DeleteFunc(r.take(), func(ask string) bool { return ask != "POST containers/"+id+"/exec" }))
	}
	for i := range 10 {
		var failed *reconcile.HookFailure
		if err := probe(300 * time.Millisecond); !errors.As(err, &failed) || failed.TimedOut == 0 {
			t.Fatalf("look %d: %v", i, err)
		}
	}
	if n := begun(); n != 1 {
		t.Errorf("the command was begun %d times", n)
	}
	now := 0
	if err := l.docker.ContainerRestart(t.Context(), id, container.StopOptions{Timeout: &now}); err != nil {
		t.Fatal(err)
	}
	if err := probe(300 * time.Millisecond); err == nil {
		t.Error("a command that never ends has succeeded")
	}
	if n := begun(); n != 1 {
		t.Errorf("after a restart, where none runs any more, it was begun %d times", n)
	}
}
