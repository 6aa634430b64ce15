package enginetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/engine"
	"davit/reconcile"
)

// Subject is what the twin and the adapter have in common.
type Subject interface {
	Ping(ctx context.Context) (engine.Info, error)
	Observe(ctx context.Context) (reconcile.Observed, error)
	Events(ctx context.Context, f func(engine.Change)) error
	Pull(ctx context.Context, i reconcile.Image) (reconcile.Image, error)
	Build(ctx context.Context, i reconcile.Image) (reconcile.Image, error)
	LocalImage(ctx context.Context, ref string) (reconcile.Image, error)
	Tag(ctx context.Context, id, ref string) error
	Untag(ctx context.Context, ref string) error
	RemoveImage(ctx context.Context, id string) error
	KeepTags(ctx context.Context) (map[string]string, error)
	BuildTags(ctx context.Context) (map[string]string, error)
	CreateNetwork(ctx context.Context, p *compose.Project, key string) error
	CreateVolume(ctx context.Context, p *compose.Project, key string) error
	RemoveNetwork(ctx context.Context, id string) error
	Create(ctx context.Context, r reconcile.CreateRequest) (string, error)
	Start(ctx context.Context, id string) error
	Stop(ctx context.Context, id string) error
	Remove(ctx context.Context, id string) error
	Join(ctx context.Context, id string, p *compose.Project, s compose.Service) error
	Leave(ctx context.Context, id string, p *compose.Project, s compose.Service) error
	SetRestart(ctx context.Context, id, policy string) error
	Rename(ctx context.Context, id, name string) error
	Disconnect(ctx context.Context, id, network string) error
	Run(ctx context.Context, id string, h reconcile.Hook) error
	Inspect(ctx context.Context, id string) (reconcile.Container, error)
	Examine(ctx context.Context, id string) error
	Usage(ctx context.Context, id string) (reconcile.Usage, error)
	Evidence(ctx context.Context, id string, lines int) (string, error)
}

var (
	_ Subject = (*Engine)(nil)
	_ Subject = (*engine.Engine)(nil)
)

// Bench is one engine on which a contract test may do as it likes.
type Bench struct {
	Engine   Subject
	Instance string
	// Project is a name that nothing on the engine has yet.
	Project string
	// Image puts a new image into the engine as ref, whose name begins with
	// Project.
	Image func(t *testing.T, ref string, b Behaviour) reconcile.Image
	// Buildable is the image of a service web, with a health check and a volume at
	// /data, that is to be built of this content. Unbuildable cannot be.
	Buildable func(t *testing.T, content string) reconcile.Image
	// StopByHand and RemoveByHand are somebody else's doing.
	StopByHand, RemoveByHand func(t *testing.T, id string)
	// Port is a host port that is free.
	Port string
	// Dir is a directory on the host with a file called secret in it.
	Dir string
}

// Unbuildable is content that no builder makes an image of.
const Unbuildable = "unbuildable"

// Contract runs every test against benches from newBench, which cleans up after
// itself.
func Contract(t *testing.T, newBench func(t *testing.T) Bench) {
	for _, c := range []struct {
		name string
		test func(b *rig)
	}{
		{"create may be repeated until the container starts", createRepeats},
		{"a name that somebody else holds is an error", nameTaken},
		{"start, stop and remove may be repeated", lifecycleRepeats},
		{"a missing container is told apart", missing},
		{"observe reads back what create wrote", readsBack},
		{"discovery names come with join and the address stays", joins},
		{"the restart policy is what was set", policies},
		{"a container is renamed", renames},
		{"a network is made anew under a container that stays", renews},
		{"a command is run in a container that runs", runs},
		{"the container of a hook says whose it is and how it ended", marks},
		{"networks are made once and external ones never", networks},
		{"volumes are kept and carried over", volumes},
		{"images are found, tagged and collected", images},
		{"an image is built once of the same content", builds},
		{"a container runs the pinned image when its tag moves", movedTag},
		{"health goes from starting to healthy", healthy},
		{"an examination is ahead of the engine's own, for one run", examines},
		{"a process that ends leaves its code and log", exitsWithLog},
		{"two containers cannot publish one host port", portTaken},
		{"a container that vanishes is not observed", vanishes},
		{"events tell a person's stop from our own", tellsStops},
		{"mounts and volumes are observed as they are", mounts},
		{"a volume that is declared otherwise than it was made is an error", divergingVolume},
		{"a container shares what its peer has", shares},
		{"what Compose records is read back", recorded},
		{"a person's stop is remembered until the next start", remembersStops},
		{"what a container uses is known while it runs", used},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(newRig(t, newBench(t)))
		})
	}
}

// rig is a bench with a project on it.
type rig struct {
	*testing.T
	Bench
	p *compose.Project
}

func newRig(t *testing.T, b Bench) *rig {
	model := &types.Project{
		Name: b.Project, Services: types.Services{},
		Networks: types.Networks{
			"back":  {Name: b.Project + "_back"},
			"front": {Name: b.Project + "_front"},
			"there": {Name: b.Project + "_there", External: true},
		},
		Volumes: types.Volumes{
			"data":  {Name: b.Project + "_data"},
			"there": {Name: b.Project + "_there", External: true},
		},
	}
	return &rig{T: t, Bench: b, p: &compose.Project{
		Name: b.Project, Files: []string{"compose.yaml"}, WorkingDir: "/srv/" + b.Project, Model: model,
	}}
}

// service is a service called web on the networks front and back.
func (r *rig) service(edit func(*types.ServiceConfig)) compose.Service {
	cfg := types.ServiceConfig{Name: "web"}
	cfg.Networks = map[string]*types.ServiceNetworkConfig{"front": {Aliases: []string{"shopfront"}}, "back": nil}
	if edit != nil {
		edit(&cfg)
	}
	return compose.Service{Name: "web", Config: cfg, Hash: "v1:" + r.Name(), ConfigHash: "c0ffee", Replicas: 1}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) networks() {
	r.Helper()
	r.must(r.Engine.CreateNetwork(r.Context(), r.p, "front"))
	r.must(r.Engine.CreateNetwork(r.Context(), r.p, "back"))
}

func (r *rig) request(s compose.Service, i reconcile.Image, number int) reconcile.CreateRequest {
	name := r.Project + "-web-" + string(rune('0'+number))
	return reconcile.CreateRequest{
		Project: r.p, Service: s, Image: i, Number: number, Restart: "no", Release: 7, Version: "v1.2.3",
		Create: reconcile.Create{Name: name, Final: name},
	}
}

// plain makes a container that runs until it is stopped.
func (r *rig) plain(number int, edit func(*reconcile.CreateRequest)) string {
	r.Helper()
	r.networks()
	q := r.request(r.service(nil), r.Image(r.T, r.Project+":plain", Behaviour{}), number)
	if edit != nil {
		edit(&q)
	}
	return r.create(q)
}

func (r *rig) create(q reconcile.CreateRequest) string {
	r.Helper()
	id, err := r.Engine.Create(r.Context(), q)
	r.must(err)
	return id
}

func (r *rig) start(id string) {
	r.Helper()
	r.must(r.Engine.Start(r.Context(), id))
}

func (r *rig) inspect(id string) reconcile.Container {
	r.Helper()
	c, err := r.Engine.Inspect(r.Context(), id)
	r.must(err)
	return c
}

// observed is the container as Observe has it, the zero one if it is not there.
func (r *rig) observed(id string) reconcile.Container {
	r.Helper()
	o, err := r.Engine.Observe(r.Context())
	r.must(err)
	for _, c := range o.Containers {
		if c.ID == id {
			return c
		}
	}
	return reconcile.Container{}
}

// until waits for something that takes its time.
func (r *rig) until(what string, f func() bool) {
	r.Helper()
	for limit := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			r.Fatalf("waited for %s in vain", what)
		}
	}
}

func (r *rig) fails(what string, err error, words ...string) {
	r.Helper()
	if err == nil {
		r.Errorf("%s succeeded", what)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			r.Errorf("%s: %v: does not say %q", what, err, w)
		}
	}
}

func (r *rig) is(what string, err, target error) {
	r.Helper()
	if !errors.Is(err, target) {
		r.Errorf("%s: %v, want %v", what, err, target)
	}
}

func same[T comparable](r *rig, what string, got, want T) {
	r.Helper()
	if got != want {
		r.Errorf("%s is %v, want %v", what, got, want)
	}
}

func sameList(r *rig, what string, got, want []string) {
	r.Helper()
	if !slices.Equal(got, want) {
		r.Errorf("%s are %v, want %v", what, got, want)
	}
}
