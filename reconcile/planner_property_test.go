package reconcile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"pgregory.net/rapid"

	"davit/compose"
	"davit/reconcile"
)

// TestPlansCutOffAnywhereConverge executes plans step by step in any order that
// their prerequisites allow, cuts them off anywhere, changes its mind about what
// is desired, and checks what must hold at every instant and in the end.
func TestPlansCutOffAnywhereConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.desire(1)
		for round := range rapid.IntRange(1, 6).Draw(t, "rounds") {
			if rapid.Bool().Draw(t, fmt.Sprintf("new content in round %d", round)) {
				w.generation = rapid.IntRange(1, 3).Draw(t, "generation")
			}
			w.rescale()
			w.execute(w.plan(false), rapid.IntRange(0, 30).Draw(t, "steps before the crash"))
			w.meddle()
		}
		for range 4 {
			w.execute(w.plan(false), 1000)
		}
		w.converged()
		w.now = w.now.Add(time.Hour)
		w.execute(w.plan(true), 1000) // standbys are over
		if p := w.plan(true); !p.Empty() {
			t.Fatalf("a settled stack still has steps:\n%s", p)
		}
	})
}

// world is a model of an engine, small enough to be believed.
type world struct {
	t          *rapid.T
	now        time.Time
	containers []reconcile.Container
	networks   []reconcile.Network
	services   []compose.Service // as drawn, without a generation
	desired    reconcile.Desired
	made       int
	volumes    int
	// data is the volume of a service that has had one replica all along.
	data map[string]string
	// floor is how many ready replicas each start-first service must keep.
	floor map[string]int
	// most is how many replicas of a service were ever declared.
	most map[string]int
	// generation is the content that is declared.
	generation int
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, now: now, floor: map[string]int{}, data: map[string]string{}, most: map[string]int{}}
	names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "services")]
	for i, name := range names {
		s := compose.Service{Name: name, Replicas: rapid.IntRange(1, 4).Draw(t, name+" replicas")}
		s.Settings.Update = compose.Rolling{MaxSurge: compose.Amount{Value: rapid.IntRange(1, 2).Draw(t, name+" surge")},
			MaxUnavailable: compose.Amount{Value: rapid.IntRange(0, 1).Draw(t, name+" unavailable")}}
		s.Settings.Rollback = s.Settings.Update
		if rapid.Bool().Draw(t, name+" has an unnamed volume") {
			s.Config.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Target: "/data"}}
		}
		s.Settings.StandbyFor, s.Settings.StartTimeout = 30*time.Minute, time.Minute
		s.Config.Name, s.Config.Image, s.Config.Restart = name, name+":1", "always"
		s.Config.Networks = map[string]*types.ServiceNetworkConfig{"default": nil}
		s.Config.HealthCheck = &types.HealthCheckConfig{Test: []string{"CMD", "x"}}
		if len(s.Config.Volumes) == 0 && rapid.Bool().Draw(t, name+" writes") {
			s.Replicas = 1
			s.Config.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Source: "data-" + name, Target: "/data"}}
		}
		if i > 0 && rapid.Bool().Draw(t, name+" depends") {
			s.DependsOn = []compose.Dependency{{Service: names[i-1], Condition: compose.ConditionHealthy, Required: true}}
		}
		w.services = append(w.services, s)
	}
	return w
}

// desire asks for a generation of every service: its own spec and image.
func (w *world) desire(generation int) {
	w.generation = generation
	p := &compose.Project{Name: "shop", Settings: compose.Settings{Prune: true}, Model: &types.Project{
		Name: "shop", Networks: types.Networks{"default": {Name: "shop_default"}}, Volumes: types.Volumes{}}}
	images := map[string]reconcile.Image{}
	for _, s := range w.services {
		s.Hash = fmt.Sprintf("spec-%s-%d", s.Name, generation)
		images[s.Name] = reconcile.Image{Ref: s.Config.Image, ID: fmt.Sprintf("image-%d", generation), Local: true}
		p.Services = append(p.Services, s)
		for _, v := range s.Config.Volumes {
			if v.Source == "" {
				continue
			}
			p.Model.Volumes[v.Source] = types.VolumeConfig{Name: "shop_" + v.Source}
		}
		w.floor[s.Name] = w.ready(s.Name)
	}
	failed := w.desired.Failed
	if failed == nil {
		failed = map[string]bool{}
	}
	w.desired = reconcile.Desired{Project: p, Images: images, Instance: "here", Failed: failed}
}

func (w *world) plan(settled bool) reconcile.Plan {
	w.desired.Settled = settled
	p, err := reconcile.NewPlan(w.desired, reconcile.Observed{At: w.now, Containers: slices.Clone(w.containers), Networks: w.networks}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.lingers(p)
	return p
}

// execute runs at most limit steps of a plan, each after its prerequisites.
func (w *world) execute(p reconcile.Plan, limit int) {
	made := map[reconcile.Replica]string{}
	done := map[int]bool{}
	for range min(limit, len(p.Steps)) {
		var ready []reconcile.Step
		for _, s := range p.Steps {
			if !done[s.ID] && !slices.ContainsFunc(s.After, func(id int) bool { return !done[id] }) {
				ready = append(ready, s)
			}
		}
		if len(ready) == 0 {
			w.t.Fatalf("steps wait for each other:\n%s", p)
		}
		s := ready[rapid.IntRange(0, len(ready)-1).Draw(w.t, "next step")]
		w.now = w.now.Add(time.Second)
		w.apply(s, made)
		w.invariants(s, p)
		done[s.ID] = true
	}
}

func (w *world) apply(s reconcile.Step, made map[reconcile.Replica]string) {
	switch s.Kind {
	case reconcile.StepNetwork:
		w.networks = append(w.networks, reconcile.Network{Name: "shop_" + s.Resource, Stack: "shop", Key: s.Resource, Instance: "here"})
		return
	case reconcile.StepCreate:
		made[reconcile.Replica{Service: s.Replica.Service, Number: s.Replica.Number}] = w.create(s)
		return
	case reconcile.StepPull, reconcile.StepVolume, reconcile.StepDelay, reconcile.StepPrune:
		return
	}
	id := s.Replica.ID
	if id == "" {
		id = made[s.Replica]
	}
	i := slices.IndexFunc(w.containers, func(c reconcile.Container) bool { return c.ID == id })
	if i < 0 {
		w.t.Fatalf("step %d acts on a container that does not exist: %v", s.ID, s.Target())
	}
	c := &w.containers[i]
	switch s.Kind {
	case reconcile.StepStart:
		c.State, c.Health, c.Started = reconcile.Running, reconcile.HealthStarting, w.now
	case reconcile.StepGate:
		if c.State != reconcile.Running {
			w.t.Fatalf("step %d gates %s, which does not run", s.ID, s.Target())
		}
		c.Health = reconcile.Healthy
	case reconcile.StepJoin:
		c.Endpoints = map[string]reconcile.Endpoint{"shop_default": {Aliases: []string{c.Service}}}
	case reconcile.StepLeave:
		if c.State == reconcile.Running {
			w.t.Fatalf("step %d takes the name from %s, which runs", s.ID, s.Target())
		}
		c.Endpoints = map[string]reconcile.Endpoint{"shop_default": {}}
	case reconcile.StepPolicy:
		c.Restart = s.Restart
	case reconcile.StepStop:
		if c.Restart != "no" {
			w.t.Fatalf("step %d stops %s for good while its restart policy is %s", s.ID, s.Target(), c.Restart)
		}
		c.State, c.Finished, c.Health = reconcile.Exited, w.now, reconcile.HealthNone
	case reconcile.StepRemove:
		if c.State == reconcile.Running {
			w.t.Fatalf("step %d removes %s, which runs", s.ID, s.Target())
		}
		w.containers = slices.Delete(w.containers, i, i+1)
	}
}

func (w *world) create(s reconcile.Step) string {
	declared, _ := w.desired.Project.Service(s.Service)
	for _, c := range w.containers {
		if c.Name == s.Create.Name || c.Service == s.Service && c.Number == s.Replica.Number {
			w.t.Fatalf("step %d creates %s, which exists", s.ID, s.Target())
		}
	}
	w.made++
	c := reconcile.Container{ID: fmt.Sprint("c", w.made), Name: s.Create.Name, Stack: "shop", Service: s.Service, Number: s.Replica.Number,
		Instance: "here", Spec: declared.Hash, ImageID: s.Image.ID, State: reconcile.Created, Created: w.now, Restart: "no",
		Endpoints: map[string]reconcile.Endpoint{"shop_default": {}}, Volumes: map[string]string{}}
	if s.Create.Alias {
		c.Endpoints["shop_default"] = reconcile.Endpoint{Aliases: []string{s.Service}}
	}
	for _, v := range declared.Config.Volumes {
		name := "shop_" + v.Source
		if v.Source == "" {
			if name = s.Create.Carry[v.Target]; name == "" {
				w.volumes++
				name = fmt.Sprintf("%064x", w.volumes)
			}
		}
		c.Volumes[v.Target] = name
	}
	w.containers = append(w.containers, c)
	return c.ID
}

// invariants hold after every single step.
func (w *world) invariants(s reconcile.Step, p reconcile.Plan) {
	w.single(fmt.Sprintf("step %d of\n%s", s.ID, p))
	for _, declared := range w.services {
		running := 0
		for _, c := range w.containers {
			if c.Service == declared.Name && c.State == reconcile.Running {
				running++
			}
		}
		writes := len(declared.Config.Volumes) > 0
		if writes && running > 1 && declared.Config.Volumes[0].Source != "" {
			w.t.Fatalf("two writers of %s after step %d of\n%s", declared.Name, s.ID, p)
		}
		rules, _ := reconcile.ReplacementOf(declared, reconcile.Image{}, false, nil)
		ready := w.ready(declared.Name)
		if !writes && ready < min(w.floor[declared.Name], declared.Replicas-rules.Unavailable) {
			w.t.Fatalf("%s has %d ready replicas after step %d, floor %d of %d, in\n%s", declared.Name, ready, s.ID, w.floor[declared.Name], declared.Replicas, p)
		}
		w.most[declared.Name] = max(w.most[declared.Name], declared.Replicas)
		if running > w.most[declared.Name]*2+rules.Surge {
			w.t.Fatalf("%s runs %d containers after step %d of\n%s", declared.Name, running, s.ID, p)
		}
		w.floor[declared.Name] = max(w.floor[declared.Name], min(ready, declared.Replicas-rules.Unavailable))
	}
}

// single checks that no two containers write one volume, and that a service with
// one replica all along has one volume all along.
func (w *world) single(after string) {
	writer := map[string]string{}
	for _, c := range w.containers {
		for _, volume := range c.Volumes {
			if c.State != reconcile.Running {
				continue
			}
			if other, taken := writer[volume]; taken {
				w.t.Fatalf("%s and %s write %s after %s", other, c.Name, volume, after)
			}
			writer[volume] = c.Name
			if first, ok := w.data[c.Service]; ok && first == "" {
				w.data[c.Service] = volume
			} else if ok && first != volume {
				w.t.Fatalf("%s writes %s, its service's data is in %s, after %s", c.Name, volume, first, after)
			}
		}
	}
}

// rescale changes numbers of replicas, and forgets which service never had two.
func (w *world) rescale() {
	for i := range w.services {
		s := &w.services[i]
		if s.Replicas == 1 && w.made == 0 {
			w.data[s.Name] = ""
		}
		if len(s.Config.Volumes) > 0 && s.Config.Volumes[0].Source != "" || !rapid.Bool().Draw(w.t, s.Name+" is scaled") {
			continue
		}
		if s.Replicas = rapid.IntRange(0, 3).Draw(w.t, s.Name+" replicas now"); s.Replicas > 1 {
			delete(w.data, s.Name)
		}
	}
	w.desire(w.generation)
}

// meddle is what people and bad luck do between two plans.
func (w *world) meddle() {
	if len(w.containers) == 0 {
		return
	}
	c := &w.containers[rapid.IntRange(0, len(w.containers)-1).Draw(w.t, "victim")]
	switch rapid.IntRange(0, 3).Draw(w.t, "what happens to it") {
	case 1:
		if c.State == reconcile.Running {
			c.State, c.Finished, c.Health, c.ExitCode = reconcile.Exited, w.now, reconcile.HealthNone, 137
		}
	case 2:
		if c.State == reconcile.Running {
			c.Health = reconcile.Unhealthy
		}
	case 3:
		w.desired.Failed[c.ID] = rapid.Bool().Draw(w.t, "kept")
	}
	for _, s := range w.services {
		w.floor[s.Name] = w.ready(s.Name)
	}
}

// ready counts the replicas that can answer callers: healthy and known by name.
func (w *world) ready(service string) int {
	n := 0
	for _, c := range w.containers {
		if c.Service == service && c.Health == reconcile.Healthy && slices.Contains(c.Endpoints["shop_default"].Aliases, service) {
			n++
		}
	}
	return n
}

// converged checks the end: exactly what is declared runs, wholly in service.
func (w *world) converged() {
	for _, s := range w.desired.Project.Services {
		if n := w.ready(s.Name); n != s.Replicas {
			w.t.Fatalf("%s ends with %d ready replicas of %d", s.Name, n, s.Replicas)
		}
		for _, c := range w.containers {
			if c.Service == s.Name && c.State == reconcile.Running && (c.Spec != s.Hash || c.Restart != "always") {
				w.t.Fatalf("%s ends with %s running %s, restart %s", s.Name, c.Name, c.Spec, c.Restart)
			}
		}
	}
}
