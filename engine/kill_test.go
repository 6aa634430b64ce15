package engine_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"davit/engine/enginetest"
)

// TestACreateMayDieAnywhere lets an agent die before, and after with the reply
// lost, every mutating request of a create that takes several: nothing more gets
// through to the engine. The next agent's create makes the one right container.
func TestACreateMayDieAnywhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	p.Model.Configs["inline"] = types.ConfigObjConfig{Name: "inline", Content: "x"}
	cfg := onNetworks("default", "other")
	cfg.Configs = []types.ServiceConfigObjConfig{{Source: "inline", Target: "/conf"}}
	q := l.request(p, cfg, "web-1")
	points := 0
	for _, replyLost := range []bool{false, true} {
		for n := 1; ; n++ {
			r := newRecorder(t)
			var seen atomic.Int64 // mutating requests
			var died atomic.Bool
			r.intercept(func(w http.ResponseWriter, ask *http.Request) bool {
				mutates := ask.Method != http.MethodGet && ask.Method != http.MethodHead
				if mutates && !died.Load() && seen.Add(1) == int64(n) {
					died.Store(true)
					if replyLost {
						forward(t, ask)
					}
				}
				if died.Load() {
					panic(http.ErrAbortHandler)
				}
				return false
			})
			_, err := newEngine(t, r.host).Create(t.Context(), q)
			if !died.Load() {
				if err != nil {
					t.Fatalf("undisturbed: %v", err)
				}
				break
			}
			points++
			if err == nil {
				t.Errorf("request %d: the create succeeded", n)
			}
			verify(t, l, l.create(q), fmt.Sprintf("request %d, reply lost %v", n, replyLost))
		}
		l.remove(l.create(q))
	}
	t.Logf("%d points", points)
	if points < 8 { // create, connect, copy, rename
		t.Errorf("only %d points were covered", points)
	}
}

// verify checks that id is the project's only container and whole, and removes it.
func verify(t *testing.T, l lab, id, when string) {
	t.Helper()
	all, err := l.docker.ContainerList(t.Context(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "com.docker.compose.project="+l.project)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].ID != id || all[0].Names[0] != "/"+l.project+"-web-1" {
		t.Errorf("%s: containers %+v", when, all)
	}
	if n := len(l.inspect(id).NetworkSettings.Networks); n != 2 {
		t.Errorf("%s: it is in %d networks", when, n)
	}
	if _, err := l.docker.ContainerStatPath(t.Context(), id, "/conf"); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	l.remove(id)
}

func (l lab) remove(id string) {
	l.Helper()
	if err := l.engine.Remove(l.Context(), id); err != nil {
		l.Fatal(err)
	}
}

func TestATagThatMovesDuringACreateIsNoticed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	q := l.request(p, onNetworks("default"), "web-1")
	r := newRecorder(t)
	r.intercept(func(_ http.ResponseWriter, ask *http.Request) bool {
		if strings.HasSuffix(ask.URL.Path, "/containers/create") {
			l.image(t, l.project+":app", enginetest.Behaviour{Log: "another"})
		}
		return false
	})
	_, err := newEngine(t, r.host).Create(t.Context(), q)
	if err == nil || !strings.Contains(err.Error(), q.Image.ID) {
		t.Fatalf("create: %v", err)
	}
	for _, c := range observe(t, l.engine).Containers {
		if c.Stack == l.project {
			t.Errorf("container %s was left", c.Name)
		}
	}
	q2 := l.inspect(l.create(q))
	if q2.Image != q.Image.ID {
		t.Errorf("the next create runs %s", q2.Image)
	}
}
