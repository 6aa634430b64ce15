package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// life is what a container says about itself at an age.
type life func(age time.Duration) reconcile.Container

// call is one call that the scripted engine got.
type call struct {
	what       string // "start web/1"
	begun      time.Time
	ended      time.Time
	err        error
	began, end int // places in the order of everything
}

// scripted is an engine that does what a test wrote down. A container's ID is
// its replica, "web/1".
type scripted struct {
	mu      sync.Mutex
	takes   map[string]time.Duration
	fails   map[string]error
	lives   map[string]life
	logs    map[string]string
	born    map[string]time.Time
	away    bool
	looks   map[string]int
	calls   []*call
	creates []reconcile.CreateRequest
	active  int
	peak    int
	tick    int
	journal []reconcile.Entry
	at      []int // the journal's places in the order of everything
	ends    []reconcile.Entry
	// intend and done are what the journal answers, writing how long it takes.
	intend, done error
	writing      time.Duration
	// examine is what the examination of a container of that age finds; nil for nobody
	// well before Inspect says so. exams are its calls, by the age of the container.
	examine func(ctx context.Context, age time.Duration) error
	exams   []time.Duration
	// evidence is what reading a log answers.
	evidence error
}

func newScripted() *scripted {
	return &scripted{
		takes: map[string]time.Duration{}, fails: map[string]error{}, lives: map[string]life{},
		logs: map[string]string{}, born: map[string]time.Time{}, looks: map[string]int{},
	}
}

// change is what every mutation goes through. Like an engine, it goes on when
// nobody waits any more, except for a pull.
func (s *scripted) change(ctx context.Context, what string) error {
	s.mu.Lock()
	c := &call{what: what, begun: time.Now(), began: s.tick}
	s.tick++
	s.calls = append(s.calls, c)
	s.active++
	s.peak = max(s.peak, s.active)
	takes, err := s.takes[what], s.fails[what]
	s.mu.Unlock()
	if takes > 0 {
		timer := time.NewTimer(takes)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			err = ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	c.ended, c.err, c.end = time.Now(), err, s.tick
	s.tick++
	return err
}

func (s *scripted) Build(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	return s.Pull(ctx, i)
}

func (s *scripted) Pull(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	err := s.change(ctx, "pull "+i.Ref)
	i.ID = "sha256:id-of-" + i.Ref
	return i, err
}

func (s *scripted) CreateNetwork(ctx context.Context, _ *compose.Project, key string) error {
	return s.change(ctx, "network "+key)
}

func (s *scripted) CreateVolume(ctx context.Context, _ *compose.Project, key string) error {
	return s.change(ctx, "volume "+key)
}

func (s *scripted) RemoveNetwork(ctx context.Context, id string) error {
	return s.change(ctx, "prune "+id)
}

func (s *scripted) Create(ctx context.Context, r reconcile.CreateRequest) (string, error) {
	id := fmt.Sprintf("%s/%d", r.Service.Name, r.Number)
	s.mu.Lock()
	s.creates = append(s.creates, r)
	s.mu.Unlock()
	return id, s.change(ctx, "create "+id)
}

func (s *scripted) Start(ctx context.Context, id string) error {
	err := s.change(ctx, "start "+id)
	if err == nil {
		s.mu.Lock()
		s.born[id] = time.Now()
		s.mu.Unlock()
	}
	return err
}

func (s *scripted) Stop(ctx context.Context, id string) error { return s.change(ctx, "stop "+id) }
func (s *scripted) Remove(ctx context.Context, id string) error {
	return s.change(ctx, "remove "+id)
}

func (s *scripted) Join(ctx context.Context, id string, _ *compose.Project, c compose.Service) error {
	return s.change(ctx, "join "+id+" "+c.Name)
}

func (s *scripted) Leave(ctx context.Context, id string, _ *compose.Project, c compose.Service) error {
	return s.change(ctx, "join "+id+" "+c.Name)
}

func (s *scripted) SetRestart(ctx context.Context, id, policy string) error {
	return s.change(ctx, "policy "+id+" "+policy)
}

func (s *scripted) Run(ctx context.Context, id string, h reconcile.Hook) error {
	return s.change(ctx, "hook "+id+" "+h.Phase.String())
}

func (s *scripted) RunFirst(ctx context.Context, id string, _ reconcile.CreateRequest, h reconcile.Hook) error {
	return s.change(ctx, "hook "+id+" "+h.Phase.String())
}

func (s *scripted) Disconnect(ctx context.Context, id, network string) error {
	return s.change(ctx, "unplug "+id+" "+network)
}

func (s *scripted) Rename(ctx context.Context, id, name string) error {
	return s.change(ctx, "rename "+id+" "+name)
}

func (s *scripted) Answers(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return reconcile.ErrEngineUnavailable
	}
	return s.fails["answer"]
}

func (s *scripted) Inspect(ctx context.Context, id string) (reconcile.Container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks[id]++
	if s.away {
		return reconcile.Container{}, fmt.Errorf("inspect %s: %w", id, reconcile.ErrEngineUnavailable)
	}
	if err := s.fails["inspect "+id]; err != nil {
		return reconcile.Container{}, err
	}
	born, live := s.born[id], s.lives[id]
	if live == nil {
		live = running
	}
	c := live(time.Since(born))
	c.ID = id
	if c.Started.IsZero() && c.State != reconcile.Created {
		c.Started = born
	}
	return c, ctx.Err()
}

// Examine has a container be healthy from its first success on.
func (s *scripted) Examine(ctx context.Context, id string) error {
	s.mu.Lock()
	age, examine := time.Since(s.born[id]), s.examine
	s.exams = append(s.exams, age)
	s.mu.Unlock()
	if examine == nil {
		return &reconcile.HookFailure{ExitCode: 1}
	}
	err := examine(ctx, age)
	if err == nil {
		s.set(func() { s.lives[id] = healthyAfter(0) })
	}
	return err
}

func (s *scripted) Evidence(ctx context.Context, id string, lines int) (string, error) {
	if _, bounded := ctx.Deadline(); !bounded || ctx.Err() != nil || lines <= 0 {
		return "", errors.New("not asked properly")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs[id], s.evidence
}

func (s *scripted) Intend(ctx context.Context, e reconcile.Entry) error {
	time.Sleep(s.writing)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.intend == nil {
		s.journal, s.at = append(s.journal, e), append(s.at, s.tick)
		s.tick++
	}
	return s.intend
}

func (s *scripted) Done(_ context.Context, e reconcile.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, e)
	return s.done
}

func (s *scripted) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// did is every change in the order in which it began.
func (s *scripted) did() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{}
	for _, c := range s.calls {
		out = append(out, c.what)
	}
	return out
}

func running(time.Duration) reconcile.Container {
	return reconcile.Container{State: reconcile.Running}
}

func healthyAfter(d time.Duration) life {
	return func(age time.Duration) reconcile.Container {
		if age < d {
			return reconcile.Container{State: reconcile.Running, Health: reconcile.HealthStarting}
		}
		return reconcile.Container{State: reconcile.Running, Health: reconcile.Healthy}
	}
}

func unhealthyAfter(d time.Duration) life {
	return func(age time.Duration) reconcile.Container {
		if age < d {
			return reconcile.Container{State: reconcile.Running, Health: reconcile.HealthStarting}
		}
		return reconcile.Container{State: reconcile.Running, Health: reconcile.Unhealthy}
	}
}

// exitsAfter needs the engine's clock for Finished.
func (s *scripted) exitsAfter(id string, d time.Duration, code int) {
	s.lives[id] = func(age time.Duration) reconcile.Container {
		if age < d {
			return reconcile.Container{State: reconcile.Running}
		}
		return reconcile.Container{State: reconcile.Exited, ExitCode: code, Finished: time.Now().Add(d - age)}
	}
}

// project declares services by name.
func project(names ...string) *compose.Project {
	p := &compose.Project{Name: "shop"}
	for _, n := range names {
		p.Services = append(p.Services, compose.Service{Name: n})
	}
	return p
}

// plan numbers steps from 1.
func plan(steps ...reconcile.Step) reconcile.Plan {
	p := reconcile.Plan{Stack: "shop", Project: project("web", "db", "worker"), Steps: steps}
	for i := range p.Steps {
		p.Steps[i].ID = i + 1
		if p.Steps[i].Service == "" {
			p.Steps[i].Service = p.Steps[i].Replica.Service
		}
	}
	return p
}

func job(p reconcile.Plan) reconcile.Job {
	return reconcile.Job{Plan: p, Release: reconcile.Release{Stack: "shop", Seq: 7, Version: "v1.3.0", Commit: "9d10e44"}}
}

// on is a step about a container that exists already.
func on(kind reconcile.StepKind, id string, after ...int) reconcile.Step {
	var r reconcile.Replica
	if _, err := fmt.Sscanf(id, "%3s/%d", &r.Service, &r.Number); err != nil {
		panic(err)
	}
	r.ID = id
	return reconcile.Step{Kind: kind, Replica: r, After: after}
}

// of is a step about a container that the plan creates.
func of(kind reconcile.StepKind, service string, number int, after ...int) reconcile.Step {
	return reconcile.Step{Kind: kind, Replica: reconcile.Replica{Service: service, Number: number}, After: after}
}

func gated(s reconcile.Step, g reconcile.Gate) reconcile.Step {
	s.Gate = g
	return s
}

func executor(s *scripted) *Executor { return New(Options{Engine: s, Journal: s}) }

// equal fails the test unless the texts of got and want are one.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
