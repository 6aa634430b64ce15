package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// TestEveryGoldenPlanCutOffAtEveryStepEndsAlike puts the world of each golden case
// on the engine in memory and carries its plan out: once in peace, and once for
// every mutation and each side of it with a death there. Whoever comes after only
// looks and plans anew, and must end where the undisturbed run ended.
func TestEveryGoldenPlanCutOffAtEveryStepEndsAlike(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/plans/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden plans found: %v", err)
	}
	points := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := parseCase(t, archive)
			plan, err := reconcile.NewPlan(c.desired, c.observed, now)
			if err != nil {
				return // it is about a refusal
			}
			if slices.ContainsFunc(plan.Steps, func(s reconcile.Step) bool { return s.Hook.Lost != "" }) {
				return // it is about a failure
			}
			want, mutations := enact(t, archive, 0, enginetest.Before)
			for n := 1; n <= mutations; n++ {
				for _, side := range []enginetest.Moment{enginetest.Before, enginetest.After} {
					points++
					if got, _ := enact(t, archive, n, side); got != want {
						t.Errorf("cut off %s mutation %d of %d:\n got %s\nwant %s", side, n, mutations, got, want)
					}
				}
			}
		})
	}
	t.Logf("covered %d points of %d golden plans", points, len(files))
}

// stage is one golden case on an engine in memory.
type stage struct {
	t      *testing.T
	engine *enginetest.Engine
	// edge is nil where the case has none.
	edge *enginetest.Edge
	desk *reconcile.Switchboard
	c    planCase
	// ids are the engine's image IDs by the golden files' made-up ones.
	ids map[string]string

	mu        sync.Mutex
	mutations int
	dead      bool
}

// enact carries a case out, with a death at the nth mutation (0 for none), and
// says how it ended and how many mutations an undisturbed run needs.
func enact(t *testing.T, archive *txtar.Archive, n int, side enginetest.Moment) (end string, mutations int) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, engine: enginetest.New(enginetest.Options{Instance: "here"}), c: parseCase(t, archive), ids: map[string]string{}}
		s.set()
		inside := callers{engine: s.engine, known: map[string]time.Time{}}
		s.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.dead {
				s.must(inside.see(t.Context(), op, at))
			}
			if at == enginetest.Before && !s.dead {
				s.mutations++
			}
			if s.mutations == n && at == side {
				s.dead = true
			}
			if s.dead {
				return errKilled
			}
			return nil
		})
		for range 6 {
			if s.play() {
				break
			}
		}
		time.Sleep(2 * time.Hour) // standbys are over
		for range 4 {
			s.play()
		}
		s.onceEach()
		for _, wrong := range inside.wrongs {
			t.Errorf("cut off %s mutation %d: %s", side, n, wrong)
		}
		end, mutations = s.summary(), s.mutations
	})
	return end, mutations
}

// set builds the world that the case observes.
func (s *stage) set() {
	d, shift := &s.c.desired, time.Since(now)
	for _, service := range d.Project.Services {
		fact := d.Images[service.Name]
		b := enginetest.Behaviour{Healthcheck: fact.Healthcheck, HealthyAfter: time.Second, Volumes: fact.Volumes, HooksTake: 3 * time.Second}
		if service.OneShot {
			b = enginetest.Behaviour{Exits: true, ExitAfter: time.Second}
		}
		image := s.engine.AddImage(fact.Ref, b)
		s.ids[service.Name+" "+fact.ID] = image.ID
		fact.ID, fact.Digest, fact.Local = image.ID, "", true
		d.Images[service.Name] = fact
	}
	for _, n := range s.c.observed.Networks {
		if _, declared := d.Project.Model.Networks[n.Key]; declared {
			by := d.Project
			if n.ConfigHash != by.NetworkHash(n.Key) {
				by = d.PreviousProject
			}
			s.must(s.engine.CreateNetwork(s.t.Context(), by, n.Key))
		} else {
			s.engine.AddNetwork(n.Name)
		}
	}
	for _, c := range s.c.observed.Containers {
		s.place(c, shift)
	}
	if s.c.observed.Edge != nil {
		s.setEdge()
	}
	for id, at := range d.Left {
		d.Left[id] = at.Add(shift)
	}
	if d.Attempts == nil {
		d.Attempts = map[int64]bool{}
	}
	d.Attempts[2] = true // whoever comes after a death goes on with it
	if s.c.restarted != "" {
		d.RestartAll(s.c.restarted, time.Now(), "restarted by ann")
	}
}

// setEdge puts an edge beside the engine that serves what the case observes.
func (s *stage) setEdge() {
	s.edge = enginetest.NewEdge(s.engine)
	s.desk = reconcile.NewSwitchboard(s.edge)
	if s.c.observed.Edge.Away != "" {
		s.edge.Die()
		return
	}
	table := *s.c.observed.Edge
	for _, r := range table.Routes {
		for i := range r.Members {
			m := &r.Members[i]
			c, err := s.engine.Inspect(s.t.Context(), m.Container)
			s.must(err)
			m.Started = c.Started
			if !m.Draining.IsZero() {
				m.Draining = m.Draining.Add(time.Since(now))
			}
		}
	}
	s.must(s.edge.Apply(s.t.Context(), table))
}

// look is what there is at the moment.
func (s *stage) look() reconcile.Observed {
	o, err := s.engine.Observe(s.t.Context())
	s.must(err)
	if s.edge == nil {
		return o
	}
	table, err := s.desk.Look(s.t.Context())
	if err != nil {
		table.Away = err.Error()
	}
	o.Edge = &table
	return o
}

// place puts an observed container there. One that is only just starting is
// started, so that it comes to an end.
func (s *stage) place(c reconcile.Container, shift time.Duration) {
	key := c.Service + " " + c.ImageID
	if s.ids[key] == "" {
		s.ids[key] = s.engine.AddImage(c.ImageRef, enginetest.Behaviour{HealthyAfter: time.Second}).ID
	}
	c.ImageID = s.ids[key]
	for _, at := range []*time.Time{&c.Created, &c.Started, &c.Finished} {
		if !at.IsZero() {
			*at = at.Add(shift)
		}
	}
	starting := c.State == reconcile.Running && (c.Health == reconcile.HealthStarting || c.OneOff)
	if starting || c.State == reconcile.Created {
		c.State, c.Started, c.Health = reconcile.Created, time.Time{}, reconcile.HealthNone
	}
	id := s.engine.AddContainer(c)
	if starting {
		s.must(s.engine.Start(s.t.Context(), id))
	}
}

// onceEach checks that the hooks of the release were started once at the most, and
// that none of their containers is left.
func (s *stage) onceEach() {
	started := map[string]int{}
	for _, op := range s.engine.Log() {
		for _, phase := range []reconcile.HookPhase{reconcile.HookPreDeploy, reconcile.HookPostDeploy} {
			if op.Kind == enginetest.OpStart && strings.Contains(op.Target, "-"+phase.String()+"-") {
				started[op.Target]++
			}
		}
	}
	for name, n := range started {
		if n > 1 {
			s.t.Errorf("%s was started %d times", name, n)
		}
	}
	for _, c := range s.look().Containers {
		if c.Hook.Phase.OfRelease() {
			s.t.Errorf("%s is left", c.Name)
		}
	}
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// play looks, plans and carries the plan out, and reports whether there was
// nothing to do. Whoever plays is alive.
func (s *stage) play() bool {
	s.mu.Lock()
	s.dead = false
	s.mu.Unlock()
	p, err := reconcile.NewPlan(s.c.desired, s.look(), time.Now())
	if errors.Is(err, reconcile.ErrBudget) {
		return true
	}
	s.must(err)
	if p.Empty() {
		return true
	}
	options := rollout.Options{Engine: s.engine, Prober: s.engine, Journal: &record{}}
	if s.edge != nil {
		options.Edge = s.desk
	}
	executor := rollout.New(options)
	result := executor.Execute(s.t.Context(), reconcile.Job{Plan: p, Release: reconcile.Release{Stack: p.Stack, Seq: 2}, Report: func(reconcile.Event) {}})
	switch {
	case result.Failure != nil && !strings.Contains(result.Failure.Reason, errKilled.Error()):
		s.t.Fatalf("the content failed: %s\n%s", result.Failure.Reason, p)
	case result.Err != nil && !errors.Is(result.Err, errKilled) && !errors.Is(result.Err, context.Canceled):
		s.t.Fatalf("%v\n%s", result.Err, p)
	case result.Err == nil && result.Failure == nil:
		s.c.desired.Settled = true
	}
	return false
}

// summary is what must be equal: what runs, how it is known and kept, its data,
// and what else is left.
func (s *stage) summary() string {
	o, err := s.engine.Observe(s.t.Context())
	s.must(err)
	var lines []string
	stopped, running := map[string]int{}, map[string]bool{}
	for _, c := range o.Containers {
		running[c.ID] = c.Running()
	}
	for _, c := range o.Containers {
		if !c.Running() {
			stopped[c.Service]++
			continue
		}
		names := map[string]bool{}
		for _, e := range c.Endpoints {
			for _, a := range e.Aliases {
				names[a] = true
			}
		}
		data := slices.Sorted(maps.Values(c.Volumes))
		for i, v := range data {
			if strings.HasPrefix(v, "8f60") || strings.HasPrefix(v, s.c.desired.Project.Name) {
				continue
			}
			data[i] = "a new one"
		}
		for _, id := range c.Borrows {
			if !running[id] {
				s.t.Errorf("%s borrows from a container that does not run", c.Name)
			}
		}
		lines = append(lines, fmt.Sprintf("%s image=%.15s restart=%s found=%v healthy=%v fixed-name=%v data=%v", c.Service, c.ImageID, c.Restart,
			names[c.Service], c.Health == reconcile.Healthy, !strings.HasPrefix(c.Name, s.c.desired.Project.Name+"-"), data))
	}
	for _, n := range o.Networks {
		if key := n.Key; has(s.c.desired.Project, key) && n.Instance == "here" && n.ConfigHash != s.c.desired.Project.NetworkHash(key) {
			s.t.Errorf("network %s is not what is declared", n.Name)
		}
	}
	if s.edge != nil {
		lines = append(lines, s.served()...)
	}
	slices.Sort(lines)
	return fmt.Sprintf("%s; stopped %v; %d networks", strings.Join(lines, "; "), stopped, len(o.Networks))
}

// served is what the edge has in the end: ports, and how many answer there.
func (s *stage) served() []string {
	for _, wrong := range s.edge.Wrongs() {
		s.t.Error(wrong)
	}
	var lines []string
	for _, service := range s.c.desired.Project.Services {
		route, _ := s.look().Edge.Route(s.c.desired.Project.Name, service.Name)
		var ports []string
		for _, p := range route.Ports {
			ports = append(ports, reconcile.HostPortOf(p).String()+" "+p.Affinity.String())
		}
		lines = append(lines, fmt.Sprintf("edge %s %v: %d", service.Name, ports, s.edge.Serving(service.Name)))
	}
	return lines
}

func has(p *compose.Project, network string) bool {
	_, declared := p.Model.Networks[network]
	return declared
}
