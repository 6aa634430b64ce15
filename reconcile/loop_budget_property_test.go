package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestNothingVoluntaryGoesBelowTheBudget lets a davit with two services live through a drawn life of
// pushes, bad images, kills, restarts and deaths of the agent, and looks at every stop
// that it makes: what is ready and stays must be as many as the budget says.
func TestNothingVoluntaryGoesBelowTheBudget(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		replicas := rapid.IntRange(2, 4).Draw(rt, "replicas")
		floor := rapid.IntRange(1, replicas-1).Draw(rt, "min_available")
		davit := fmt.Sprintf("min_available: %d, %s, monitor: 5s", floor,
			rapid.SampledFrom([]string{"order: stop-first, max_unavailable: 4", "max_surge: 0, max_unavailable: 100%", "max_surge: 2, max_unavailable: 2", "order: stop-first"}).Draw(rt, "x-davit"))
		update := rapid.SampledFrom([]string{"", "max_failure_ratio: 0.5", "failure_action: continue"}).Draw(rt, "update_config")
		var lives []act
		for range rapid.IntRange(2, 7).Draw(rt, "acts") {
			lives = append(lives, act{
				what: rapid.SampledFrom([]int{0, 0, 1, 2, 3, 4, 5}).Draw(rt, "what"),
				tag:  rapid.IntRange(0, 4).Draw(rt, "content"),
				then: time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds after")) * time.Second,
			})
		}
		problem := ""
		simulate(t, func(t *testing.T, h *host) {
			g := &guarded{host: h, floor: floor, yaml: func(tag string) string {
				web := replicated(tag, replicas, update, davit)
				return web + strings.Replace(strings.TrimPrefix(web, "services:\n"), "web:", "api:", 1)
			}}
			l := &life{host: h}
			l.images()
			h.engine.Interrupt(g.see)
			g.push(0)
			h.pass(2 * time.Minute)
			for _, a := range lives {
				g.live(a)
			}
			// What was killed in its gate is held, so the last content is one of its own.
			h.push("v2.0.0", strings.ReplaceAll(g.yaml("1.2"), "    image:", "    labels: {last: \"yes\"}\n    image:"))
			h.pass(30 * time.Minute)
			if n := h.count("shop:1.2"); n != 2*replicas {
				g.wrong("%d of %d replicas run in the end", n, 2*replicas)
			}
			if len(g.wrongs) > 0 {
				problem = fmt.Sprintf("%v\n%v\n%s / %s\nrunning %s\n%s\n%s", g.wrongs, lives, update, davit, h.running(), h.history(), h.story())
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// guarded is a host whose every stop is looked at.
type guarded struct {
	*host
	floor int
	yaml  func(tag string) string

	mu     sync.Mutex
	wrongs []string
	// going are the containers that are being stopped.
	going map[string]bool
}

func (g *guarded) wrong(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrongs = append(g.wrongs, fmt.Sprintf(format, args...))
}

func (g *guarded) push(tag int) {
	g.host.push(fmt.Sprintf("v1.%d.0", g.pushes), g.yaml(tags[tag]))
}

// see judges a stop by what is ready when it begins.
func (g *guarded) see(op enginetest.Op, at enginetest.Moment) error {
	if op.Kind != enginetest.OpStop {
		return nil
	}
	o, err := g.engine.Observe(g.t.Context())
	if err != nil {
		return nil // an engine that is down stops nothing
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.going == nil {
		g.going = map[string]bool{}
	}
	if g.going[op.Target] = at == enginetest.Before; at == enginetest.After {
		return nil
	}
	gone := slices.IndexFunc(o.Containers, func(c reconcile.Container) bool { return c.Name == op.Target })
	serves, stay := false, 0
	for _, c := range o.Containers {
		if gone < 0 || c.Service != o.Containers[gone].Service {
			continue
		}
		ready := answers(c) && (c.Health == reconcile.Healthy || c.Health == reconcile.HealthNone)
		switch {
		case c.Name == op.Target:
			serves = ready
		case ready && !g.going[c.Name]:
			stay++
		}
	}
	if serves && stay < g.floor {
		g.wrongs = append(g.wrongs, fmt.Sprintf("%s is stopped at %s and %d stay of the %d that are kept", op.Target, time.Now().Format(time.TimeOnly), stay, g.floor))
	}
	return nil
}

func (g *guarded) live(a act) {
	switch a.what {
	case 0:
		g.push(a.tag)
	case 1, 2:
		if c := g.observe().Containers; len(c) > 0 {
			g.engine.Kill(c[a.tag%len(c)].ID)
		}
	case 3:
		g.record.die(true)
		g.stop()
		g.record.die(false)
		g.boot()
	case 4:
		_ = g.loop.Restart(g.t.Context(), reconcile.ServiceRequest{Stack: "shop", Actor: "ann"})
	case 5:
		g.engine.RestartDaemon()
	}
	g.pass(a.then)
}
