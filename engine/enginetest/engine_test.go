package enginetest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/engine"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// stack is a project with one service on one network.
func stack(s types.ServiceConfig) (*compose.Project, compose.Service) {
	s.Name = "web"
	if s.Networks == nil {
		s.Networks = map[string]*types.ServiceNetworkConfig{"default": nil}
	}
	model := &types.Project{
		Name:     "shop",
		Services: types.Services{"web": s},
		Networks: types.Networks{"default": {Name: "shop_default"}},
		Volumes:  types.Volumes{"data": {Name: "shop_data"}},
	}
	svc := compose.Service{Name: "web", Config: s, Hash: "v1:one", Replicas: 1}
	return &compose.Project{Name: "shop", Model: model, Services: []compose.Service{svc}}, svc
}

func create(t *testing.T, e *enginetest.Engine, s types.ServiceConfig, image reconcile.Image, name, restart string) string {
	t.Helper()
	p, svc := stack(s)
	if err := e.CreateNetwork(t.Context(), p, "default"); err != nil {
		t.Fatal(err)
	}
	id, err := e.Create(t.Context(), reconcile.CreateRequest{
		Project: p, Service: svc, Image: image, Number: 1, Restart: restart, Release: 1,
		Create: reconcile.Create{Name: name, Final: name, Ports: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func start(t *testing.T, e *enginetest.Engine, id string) {
	t.Helper()
	if err := e.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func inspect(t *testing.T, e *enginetest.Engine, id string) reconcile.Container {
	t.Helper()
	c, err := e.Inspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBehavioursHappenWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := enginetest.New(enginetest.Options{})
		image := e.AddImage("web:1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 3 * time.Second, UnhealthyAfter: time.Minute})
		id := create(t, e, types.ServiceConfig{}, image, "shop-web-1", "no")
		start(t, e, id)
		for _, step := range []struct {
			after time.Duration
			want  reconcile.Health
		}{{0, reconcile.HealthStarting}, {2999 * time.Millisecond, reconcile.HealthStarting}, {time.Millisecond, reconcile.Healthy},
			{59 * time.Second, reconcile.Healthy}, {time.Second, reconcile.Unhealthy}} {
			time.Sleep(step.after)
			if got := inspect(t, e, id).Health; got != step.want {
				t.Errorf("%s later the container is %s, want %s", step.after, got, step.want)
			}
		}
	})
}

func TestACrashLoopBacksOffAsTheEngineDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := enginetest.New(enginetest.Options{})
		image := e.AddImage("web:1", enginetest.Behaviour{Exits: true, ExitAfter: 50 * time.Millisecond, ExitCode: 2})
		id := create(t, e, types.ServiceConfig{}, image, "shop-web-1", "on-failure:3")
		start(t, e, id)
		time.Sleep(60 * time.Millisecond)
		if c := inspect(t, e, id); c.State != reconcile.Restarting || c.Restarts != 1 || c.ExitCode != 2 {
			t.Errorf("after the first exit: %s, %d restarts, code %d", c.State, c.Restarts, c.ExitCode)
		}
		time.Sleep(time.Minute)
		if c := inspect(t, e, id); c.State != reconcile.Exited || c.Restarts != 3 {
			t.Errorf("in the end: %s after %d restarts, want exited after 3", c.State, c.Restarts)
		}
	})
}

func TestADaemonRestartFollowsThePolicies(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		stop, never  bool
		want         reconcile.ContainerState
	}{
		{"a running always container runs again", "always", false, false, reconcile.Running},
		{"a stopped always container runs again", "always", true, false, reconcile.Running},
		{"a running unless-stopped container runs again", "unless-stopped", false, false, reconcile.Running},
		{"a stopped unless-stopped container stays down", "unless-stopped", true, false, reconcile.Exited},
		{"a running container without a policy stays down", "no", false, false, reconcile.Exited},
		{"a created always container is not started", "always", false, true, reconcile.Created},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := enginetest.New(enginetest.Options{})
			id := create(t, e, types.ServiceConfig{}, e.AddImage("web:1", enginetest.Behaviour{}), "shop-web-1", c.policy)
			if !c.never {
				start(t, e, id)
			}
			if c.stop {
				if err := e.Stop(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			e.RestartDaemon()
			if got := inspect(t, e, id).State; got != c.want {
				t.Errorf("it is %s, want %s", got, c.want)
			}
		})
	}
}

func TestTwoWritersAreCounted(t *testing.T) {
	e := enginetest.New(enginetest.Options{})
	image := e.AddImage("web:1", enginetest.Behaviour{})
	data := types.ServiceConfig{ContainerSpec: types.ContainerSpec{Volumes: []types.ServiceVolumeConfig{
		{Type: types.VolumeTypeVolume, Source: "data", Target: "/data"}}}}
	first := create(t, e, data, image, "shop-web-1", "no")
	second := create(t, e, data, image, "shop-web-2", "no")
	start(t, e, first)
	if n := e.MaxWriters("shop_data"); n != 1 {
		t.Errorf("%d writers while one container runs", n)
	}
	start(t, e, second)
	e.Kill(first)
	if n := e.MaxWriters("shop_data"); n != 2 {
		t.Errorf("%d writers at most, want 2", n)
	}
	if got := e.Writers("shop_data"); !slices.Equal(got, []string{"shop-web-2"}) {
		t.Errorf("writers now: %v", got)
	}
}

func TestHostPortsConflictAtStart(t *testing.T) {
	e := enginetest.New(enginetest.Options{})
	image := e.AddImage("web:1", enginetest.Behaviour{})
	s := types.ServiceConfig{WorkloadSpec: types.WorkloadSpec{Ports: []types.ServicePortConfig{{Target: 80, Published: "8080"}}}}
	first, second := create(t, e, s, image, "shop-web-1", "no"), create(t, e, s, image, "shop-web-2", "no")
	start(t, e, first)
	if err := e.Start(t.Context(), second); err == nil {
		t.Error("two containers publish one host port")
	}
	if err := e.Stop(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	start(t, e, second)
}

func TestAnInterruptIsACrashOnEitherSideOfAMutation(t *testing.T) {
	crash := errors.New("crash")
	for _, moment := range []enginetest.Moment{enginetest.Before, enginetest.After} {
		t.Run(moment.String(), func(t *testing.T) {
			e := enginetest.New(enginetest.Options{})
			id := create(t, e, types.ServiceConfig{}, e.AddImage("web:1", enginetest.Behaviour{}), "shop-web-1", "no")
			e.Interrupt(func(op enginetest.Op, m enginetest.Moment) error {
				if m == moment {
					return crash
				}
				return nil
			})
			if err := e.Start(t.Context(), id); !errors.Is(err, crash) {
				t.Fatalf("start: %v", err)
			}
			if got, want := inspect(t, e, id).Running(), moment == enginetest.After; got != want {
				t.Errorf("running is %v", got)
			}
		})
	}
}

func TestAStopOfADeafContainerLastsForTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := enginetest.New(enginetest.Options{})
		grace := types.Duration(4 * time.Second)
		s := types.ServiceConfig{ContainerSpec: types.ContainerSpec{StopGracePeriod: &grace}}
		id := create(t, e, s, e.AddImage("web:1", enginetest.Behaviour{IgnoresTERM: true}), "shop-web-1", "always")
		start(t, e, id)
		began := time.Now()
		if err := e.Stop(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("the stop took %s", took)
		}
		if c := inspect(t, e, id); c.State != reconcile.Exited || c.ExitCode != 137 {
			t.Errorf("it is %s with code %d", c.State, c.ExitCode)
		}
	})
}

func TestEventsTellAStopByHandFromOurOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := enginetest.New(enginetest.Options{})
		image := e.AddImage("web:1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second})
		id := create(t, e, types.ServiceConfig{}, image, "shop-web-1", "no")
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		done := make(chan error)
		go func() {
			done <- e.Events(ctx, func(c engine.Change) {
				if c.Kind != engine.ChangeContainer {
					seen = append(seen, c.Kind.String())
					return
				}
				who := ""
				if c.ByHand {
					who = " by hand"
				}
				seen = append(seen, c.Stack+"/"+c.Service+" "+c.Action+who)
			})
		}()
		synctest.Wait()
		start(t, e, id)
		time.Sleep(2 * time.Second)
		if err := e.Stop(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		start(t, e, id)
		e.StopByHand(id)
		e.RestartDaemon()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Events returned %v", err)
		}
		want := []string{"engine recovered",
			"shop/web start", "shop/web health_status: healthy", "shop/web kill", "shop/web die", "shop/web stop",
			"shop/web start", "shop/web kill by hand", "shop/web die", "shop/web stop by hand",
			"engine lost", "engine recovered"}
		if !slices.Equal(seen, want) {
			t.Errorf("saw\n%q, want\n%q", seen, want)
		}
	})
}
