package engine_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/reconcile"
)

// mounting is a stack whose only container mounts a volume.
func (l lab) mounting() (name, id string) {
	l.Helper()
	p := l.stack()
	name = l.project + "_data"
	p.Model.Volumes = types.Volumes{"data": {Name: name}}
	if err := l.engine.CreateVolume(l.Context(), p, "data"); err != nil {
		l.Fatal(err)
	}
	cfg := onNetworks("default")
	cfg.Volumes = []types.ServiceVolumeConfig{{Type: types.VolumeTypeVolume, Source: "data", Target: "/data"}, {Type: types.VolumeTypeVolume, Target: "/unnamed"}}
	return name, l.create(l.request(p, cfg, "web-1"))
}

func TestAVolumeIsLookedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := newRecorder(t)
	e := newEngine(t, r.host)
	name, id := l.mounting()
	for range 3 {
		o := observe(t, e)
		i := slices.IndexFunc(o.Volumes, func(v reconcile.Volume) bool { return v.Name == name })
		if i < 0 || o.Volumes[i].Stack != l.project || o.Volumes[i].Key != "data" || o.Volumes[i].ConfigHash == "" {
			t.Errorf("observed %+v", o.Volumes)
		}
	}
	asked := 0
	for _, a := range r.take() {
		if a == "GET volumes/"+name {
			asked++
		}
		if a == "GET volumes" {
			t.Error("all volumes were listed")
		}
	}
	if asked != 1 {
		t.Errorf("it was asked for %d times", asked)
	}
	if err := l.engine.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if o := observe(t, e); slices.ContainsFunc(o.Volumes, func(v reconcile.Volume) bool { return v.Name == name }) {
		t.Error("a volume that nothing mounts is observed")
	}
}

func TestAVolumeThatCannotBeLookedAtIsOnePluginsTrouble(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := newRecorder(t)
	e := newEngine(t, r.host)
	name, id := l.mounting()
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if path(q) != "volumes/"+name {
			return false
		}
		http.Error(w, `{"message":"the plugin is broken"}`, http.StatusInternalServerError)
		return true
	})
	for range 2 {
		o := observe(t, e)
		if slices.ContainsFunc(o.Volumes, func(v reconcile.Volume) bool { return v.Name == name }) {
			t.Error("it is observed")
		}
		if !slices.ContainsFunc(o.Containers, func(c reconcile.Container) bool { return c.ID == id && c.Volumes["/data"] == name }) {
			t.Error("its container is not observed")
		}
	}
	asked := slices.DeleteFunc(r.take(), func(a string) bool { return a != "GET volumes/"+name })
	if len(asked) != 1 {
		t.Errorf("the plugin was asked %d times", len(asked))
	}
}

func TestWhatAnOlderEngineCannotDoIsRefusedByName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	off := false
	p.Model.Networks["new"] = types.NetworkConfig{Name: l.project + "_new", EnableIPv4: &off}
	r := newRecorder(t)
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if path(q) == "_ping" {
			w.Header().Set("API-Version", "1.41")
			w.WriteHeader(http.StatusOK)
			return true
		}
		return false
	})
	old := newEngine(t, r.host)
	err := old.CreateNetwork(t.Context(), p, "new")
	if err == nil || !strings.Contains(err.Error(), "enable_ipv4 needs Docker API 1.48") || !strings.Contains(reconcile.Hint(err), "28.0") {
		t.Errorf("a network: %v, hint %q", err, reconcile.Hint(err))
	}
	cfg := onNetworks("default")
	cfg.Annotations = types.Mapping{"a": "b"}
	_, err = old.Create(t.Context(), l.request(p, cfg, "web-1"))
	if err == nil || !strings.Contains(err.Error(), "annotations needs Docker API 1.43") || !strings.Contains(reconcile.Hint(err), "24.0") {
		t.Errorf("a service: %v, hint %q", err, reconcile.Hint(err))
	}
	// A plan is refused as a whole, and only for what it makes.
	p.Services = []compose.Service{{Name: "web", Config: cfg}, {Name: "fine"}}
	plan := reconcile.Plan{Stack: p.Name, Project: p, Steps: []reconcile.Step{
		{Kind: reconcile.StepNetwork, Resource: "new"}, {Kind: reconcile.StepCreate, Service: "web"}, {Kind: reconcile.StepCreate, Service: "fine"}}}
	err = old.Check(t.Context(), plan)
	var stalled *reconcile.Stalled
	if !errors.As(err, &stalled) || !strings.Contains(err.Error(), "enable_ipv4 needs") || !strings.Contains(err.Error(), "annotations needs") || reconcile.Hint(err) == "" {
		t.Errorf("a plan: %v, hint %q", err, reconcile.Hint(err))
	}
	plan.Steps = plan.Steps[2:]
	if err := old.Check(t.Context(), plan); err != nil {
		t.Errorf("a plan that makes neither: %v", err)
	}
	if all, err := old.TooNew(t.Context(), p); err != nil || len(all) != 2 {
		t.Errorf("the project: %v, %v", all, err)
	}
	for _, a := range r.take() {
		if strings.HasPrefix(a, "POST") {
			t.Errorf("it asked %s", a)
		}
	}
}

func TestLinksOutliveAJoin(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	db := l.create(l.request(p, onNetworks("default"), "db-1"))
	l.start(db)
	cfg := onNetworks("default", "other")
	cfg.Links = []string{"db:store"}
	q := l.request(p, cfg, "web-1")
	q.Peers = map[string][]reconcile.Peer{"db": {{ID: db, Name: l.project + "-db-1"}}}
	id := l.create(q)
	l.start(id)
	if err := l.engine.Join(t.Context(), id, p, q.Service); err != nil {
		t.Fatal(err)
	}
	for name, end := range l.inspect(id).NetworkSettings.Networks {
		if !slices.Contains(end.Links, l.project+"-db-1:store") {
			t.Errorf("in %s it has the links %v", name, end.Links)
		}
	}
	if got := l.exec(id, "/app", "resolve", "store"); got == "" || strings.Contains(got, "no such host") {
		t.Errorf("store is resolved to %q", got)
	}
}
