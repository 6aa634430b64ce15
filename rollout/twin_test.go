package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/engine"
	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// host is a twin engine on which web/1 of the old release serves.
type host struct {
	engine   *enginetest.Engine
	executor *rollout.Executor
	project  *compose.Project
	image    reconcile.Image // of the new release, not pulled yet
	old      string
	// settle ends the event stream and waits for it.
	settle func()
}

// memoryless is a journal nobody reads.
type memoryless struct{}

func (memoryless) Intend(context.Context, reconcile.Entry) error { return nil }
func (memoryless) Done(context.Context, reconcile.Entry) error   { return nil }

func newHost(t *testing.T, next enginetest.Behaviour) *host {
	t.Helper()
	return newHostOf(t, enginetest.Behaviour{}, next)
}

// newHostOf is newHost where what runs behaves as now says.
func newHostOf(t *testing.T, now, next enginetest.Behaviour) *host {
	t.Helper()
	config := types.ServiceConfig{Name: "web"}
	config.Networks = map[string]*types.ServiceNetworkConfig{"default": nil}
	service := compose.Service{Name: "web", Config: config, Hash: "v1:one", Replicas: 1}
	h := &host{
		engine: enginetest.New(enginetest.Options{}),
		project: &compose.Project{
			Name:     "shop",
			Services: []compose.Service{service},
			Model: &types.Project{
				Name: "shop", Services: types.Services{"web": config},
				Networks: types.Networks{"default": {Name: "shop_default"}},
			},
		},
	}
	h.image = h.engine.Publish("registry.test/web:1.3", next)
	before := h.engine.AddImage("registry.test/web:1.2", now)
	h.executor = rollout.New(rollout.Options{Engine: h.engine, Journal: memoryless{}})
	must(t, h.engine.CreateNetwork(t.Context(), h.project, "default"))
	id, err := h.engine.Create(t.Context(), reconcile.CreateRequest{
		Project: h.project, Service: service, Image: before, Number: 1, Restart: "always",
		Create: reconcile.Create{Name: "shop-web-1", Final: "shop-web-1", Alias: true, Edge: []string{"8080/tcp"}},
	})
	must(t, err)
	must(t, h.engine.Start(t.Context(), id))
	h.old = id
	h.listen(t)
	return h
}

// listen passes the twin's events on to the executor, as the agent does.
func (h *host) listen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.engine.Events(ctx, h.changed); !errors.Is(err, context.Canceled) {
			t.Errorf("events ended with %v", err)
		}
	}()
	h.settle = func() { cancel(); <-done }
}

// replacement is web/2 in the place of web/1, start-first.
func (h *host) replacement() reconcile.Job {
	fresh := reconcile.Replica{Service: "web", Number: 2}
	old := reconcile.Replica{Service: "web", Number: 1, ID: h.old}
	p := reconcile.Plan{Stack: "shop", Project: h.project, Steps: []reconcile.Step{
		{Kind: reconcile.StepPull, Image: h.image},
		{Kind: reconcile.StepCreate, Replica: fresh, Image: h.image, Create: reconcile.Create{Name: "shop-web-2", Final: "shop-web-2", Edge: []string{"8080/tcp"}}},
		{Kind: reconcile.StepStart, Replica: fresh},
		{Kind: reconcile.StepGate, Replica: fresh, Gate: reconcile.Gate{StableFor: 5 * time.Second, Timeout: time.Minute}},
		{Kind: reconcile.StepJoin, Replica: fresh},
		{Kind: reconcile.StepPolicy, Replica: fresh, Restart: "always"},
		{Kind: reconcile.StepPolicy, Replica: old, Restart: "no"},
		{Kind: reconcile.StepStop, Replica: old},
		{Kind: reconcile.StepMonitor, Replica: fresh, Gate: reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: 10 * time.Second}},
	}}
	for i := range p.Steps {
		p.Steps[i].ID, p.Steps[i].Service = i+1, "web"
		if i > 0 {
			p.Steps[i].After = []int{i}
		}
	}
	return reconcile.Job{Plan: p, Release: reconcile.Release{Stack: "shop", Seq: 2, Version: "v1.3.0"}}
}

// states is what runs, "old running, new created".
func (h *host) states(t *testing.T) string {
	t.Helper()
	o, err := h.engine.Observe(t.Context())
	must(t, err)
	var all []string
	for _, c := range o.Containers {
		name := "new "
		if c.ID == h.old {
			name = "old "
		}
		all = append(all, name+c.State.String()+" "+c.Restart)
	}
	return strings.Join(all, ", ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func TestAHealthySuccessorTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, enginetest.Behaviour{Healthcheck: true, HealthyAfter: 12345 * time.Millisecond})
		defer h.settle()
		j := h.replacement()
		j.Plan.Steps[3].Gate.StableFor = 0
		begun := time.Now()
		r := h.executor.Execute(t.Context(), j)
		must(t, r.Err)
		check(t, "failure", r.Failure == nil, true)
		check(t, "gates", r.Gates, map[string]string{"web": "healthy after 12.3s"})
		check(t, "states", h.states(t), "old exited no, new running always")
		// The event told of the readiness; 10 s are the monitor's.
		check(t, "time", time.Since(begun), 22345*time.Millisecond)
	})
}

func TestABadSuccessorLeavesTheOldOneAlone(t *testing.T) {
	for _, c := range []struct {
		name     string
		next     enginetest.Behaviour
		reason   string
		left     string
		logs     string
		failedAt int
	}{
		{"exits", enginetest.Behaviour{Exits: true, ExitAfter: 1300 * time.Millisecond, ExitCode: 2, Log: "no config"},
			"web/2 exited with code 2 after 1.3s", "old running always, new exited no", "no config", 4},
		{"runs out of memory", enginetest.Behaviour{Exits: true, ExitAfter: time.Second, OOM: true},
			"web/2 was killed for lack of memory after 1s", "old running always, new exited no", "", 4},
		{"turns unhealthy", enginetest.Behaviour{Healthcheck: true, Sick: true, UnhealthyAfter: 3 * time.Second},
			"web/2 became unhealthy after 3s", "old running always, new running no", "unhealthy", 4},
		{"never becomes healthy", enginetest.Behaviour{Healthcheck: true, Sick: true},
			"web/2 did not become healthy within 1m: its health is starting", "old running always, new running no", "starting", 4},
		{"cannot be started", enginetest.Behaviour{StartFails: "exec format error"},
			"exec format error", "old running always, new created no", "", 3},
		{"crashes once it serves", enginetest.Behaviour{Exits: true, ExitAfter: 8 * time.Second, ExitCode: 1},
			"web/2", "old exited no, new ", "", 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, c.next)
				defer h.settle()
				r := h.executor.Execute(t.Context(), h.replacement())
				if r.Failure == nil {
					t.Fatalf("no failure, but error %v", r.Err)
				}
				if !strings.Contains(r.Failure.Reason, c.reason) {
					t.Errorf("reason is %q", r.Failure.Reason)
				}
				check(t, "failed step", r.Failure.Step.ID, c.failedAt)
				check(t, "failed container", r.Failure.Container, r.Containers[reconcile.Replica{Service: "web", Number: 2}])
				if !strings.Contains(r.Failure.Logs, c.logs) {
					t.Errorf("logs are %q", r.Failure.Logs)
				}
				if left := h.states(t); !strings.HasPrefix(left, c.left) {
					t.Errorf("what is left: %s", left)
				}
			})
		})
	}
}

func TestAnEngineRestartDuringTheGateBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Minute})
		defer h.settle()
		time.AfterFunc(5*time.Second, h.engine.StopDaemon)
		time.AfterFunc(12*time.Second, h.engine.StartDaemon)
		r := h.executor.Execute(t.Context(), h.replacement())
		if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrEngineUnavailable) {
			t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
		}
		check(t, "states", h.states(t), "old running always, new exited no")
	})
}

func TestARegistryThatIsDownStopsBeforeAnythingIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, enginetest.Behaviour{})
		defer h.settle()
		h.engine.RegistryFails(reconcile.ErrRegistryUnavailable)
		r := h.executor.Execute(t.Context(), h.replacement())
		if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrRegistryUnavailable) {
			t.Errorf("failure is %+v, error %v", r.Failure, r.Err)
		}
		check(t, "states", h.states(t), "old running always")
	})
}

// TestWhereverTheEngineIsLostOneContainerServes loses the engine on either side
// of every single change of a replacement.
func TestWhereverTheEngineIsLostOneContainerServes(t *testing.T) {
	points := 0
	for _, moment := range []enginetest.Moment{enginetest.Before, enginetest.After} {
		for at := 1; ; at++ {
			lost := false
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, enginetest.Behaviour{})
				defer h.settle()
				seen := 0
				h.engine.Interrupt(func(op enginetest.Op, m enginetest.Moment) error {
					if m != moment {
						return nil
					}
					if seen++; seen < at {
						return nil
					}
					lost = true
					return fmt.Errorf("%s: %w", op, reconcile.ErrEngineUnavailable)
				})
				r := h.executor.Execute(t.Context(), h.replacement())
				if !lost {
					must(t, r.Err)
					return
				}
				points++
				if r.Failure != nil || !errors.Is(r.Err, reconcile.ErrEngineUnavailable) || seen != at {
					t.Errorf("%s change %d: %d changes tried, failure %+v, error %v", moment, at, seen, r.Failure, r.Err)
				}
				if states := h.states(t); !strings.Contains(states, "running") {
					t.Errorf("%s change %d: %s", moment, at, states)
				}
			})
			if !lost {
				break
			}
		}
	}
	if points < 14 {
		t.Errorf("only %d points were covered", points)
	}
}

// changed passes on one of the twin's events, as the agent does.
func (h *host) changed(c engine.Change) {
	switch c.Kind {
	case engine.EngineLost:
		h.executor.Lost()
	case engine.EngineRecovered:
		h.executor.Recovered()
	}
	h.executor.Changed(c.Container)
}
