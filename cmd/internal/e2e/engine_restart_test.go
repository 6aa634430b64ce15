package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// ready waits until a service has n replicas, all ready.
func (i *island) ready(service string, n int) {
	i.t.Helper()
	await(i.t, fmt.Sprintf("%d ready replicas of %s", n, service), func() (bool, string) {
		count := 0
		running := i.stack.Running(service)
		for _, c := range running {
			if c.Ready() {
				count++
			}
		}
		return count == n && len(running) == n, fmt.Sprint(running)
	})
}

// harbour is an island with a service that is replaced start-first and one that
// is replaced stop-first, both at once.
type harbour struct {
	*island
	watch   *testbed.Watch
	version int
}

func newHarbour(t *testing.T, name string, engineArgs ...string) *harbour {
	t.Helper()
	h := &harbour{island: newIsland(t, name, engineArgs...)}
	h.watch = h.stack.Mark()
	first := h.next()
	h.agent.Start()
	h.settled(first)
	return h
}

// next pushes the next version of both services.
func (h *harbour) next() string {
	h.t.Helper()
	h.version++
	v := strconv.Itoa(h.version)
	web := h.bed.Load("web:"+v, testbed.App{Version: v, HealthyAfter: 700 * time.Millisecond})
	rules := "x-davit: {monitor: 500ms, standby: {for: 0s}, start_timeout: 60s}"
	return h.push(
		part{"web", web, []string{"restart: unless-stopped", "deploy: {replicas: 2}", rules}},
		part{"db", h.database(v, nil), []string{rules}},
	)
}

// settled waits until nothing but the commit's replicas is there, and checks that
// no data was lost or in danger.
func (h *harbour) settled(commit string) {
	h.t.Helper()
	h.deployed(commit)
	h.ready("web", 2)
	h.ready("db", 1)
	await(h.t, "the old containers to be gone", func() (bool, string) {
		all := h.stack.Containers()
		return len(all) == 3, fmt.Sprint(all)
	})
	h.stack.RequireReplicas("web", 2)
	h.stack.RequireReplicas("db", 1)
	h.watch.RequireOneWriter()
	h.kept("db")
}

// outage is one way for an engine to go away.
type outage struct {
	name string
	end  func()
}

func (h *harbour) outages() []outage {
	return []outage{{"killed", h.engine.Kill}, {"restarted", h.engine.Stop}}
}

// blameless fails the test if a release is said to have failed: all were good.
func (h *harbour) blameless() {
	h.t.Helper()
	for _, r := range h.agent.History(h.stack.Name) {
		if r.Outcome == "failed" {
			h.t.Errorf("release %s was blamed for what the engine did", r)
		}
	}
}

func TestAnEngineLostInMidRolloutChangesNothingInTheEnd(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, "outage")
	rounds := 2
	if *soak {
		rounds = 20
	}
	for _, o := range h.outages() {
		for range rounds {
			moment := time.Duration(rand.Int64N(int64(3 * time.Second))).Round(time.Millisecond)
			t.Run(fmt.Sprintf("an engine that is %s %s into a rollout", o.name, moment), func(*testing.T) {
				commit := h.next()
				time.Sleep(moment) // any moment will do
				o.end()
				h.engine.Start()
				h.settled(commit)
			})
		}
	}
	for _, o := range h.outages() {
		t.Run("what ran comes back when the engine was "+o.name+" while nothing happened", func(t *testing.T) {
			before, from := h.stack.Containers(), mark(t, h.agent)
			o.end()
			tells(t, h.agent, from, "EngineLost")
			h.agent.WaitStatus(h.stack.Name, "nothing to be known", func(st testbed.Status) bool {
				return st.Health == "unknown" && st.LastError != ""
			})
			unwell(t, h.agent)
			h.engine.Start()
			tells(t, h.agent, from, "EngineRecovered")
			h.settled(h.repo.Head())
			for k, c := range h.stack.Containers() {
				if c.ID != before[k].ID {
					t.Errorf("%s was made anew: nothing was wrong with the old one", c.Name)
				}
			}
		})
	}
	t.Run("an agent that starts before its engine waits for it", func(t *testing.T) {
		h.agent.Kill()
		h.engine.Kill()
		h.agent.Start()
		h.agent.WaitStatus(h.stack.Name, "the engine to be missed", func(st testbed.Status) bool { return st.LastError != "" })
		h.engine.Start()
		h.settled(h.repo.Head())
		h.settled(h.next())
	})
	h.blameless()
}

// With --live-restore containers outlive the engine, and davit must not disturb
// that.
func TestAnEngineThatLetsContainersLiveOnIsNotHelped(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, "liveon", "--live-restore")
	for _, o := range h.outages() {
		t.Run("what ran has not noticed that the engine was "+o.name, func(t *testing.T) {
			unharmed, from := untouched(t, h.stack), mark(t, h.agent)
			o.end()
			tells(t, h.agent, from, "EngineLost")
			h.engine.Start()
			tells(t, h.agent, from, "EngineRecovered")
			h.settled(h.repo.Head())
			unharmed()
			h.settled(h.next())
		})
	}
	h.blameless()
}

// born waits for a container of the service that is not among the old ones, and returns
// its ID.
func (h *harbour) born(service string, old []testbed.Container) string {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, c := range h.stack.Containers(service) {
			if !slices.ContainsFunc(old, func(o testbed.Container) bool { return o.ID == c.ID }) {
				return c.ID
			}
		}
	}
	h.t.Fatalf("no new container of %s was made", service)
	return ""
}

// begun waits until the program of a container runs, not the one that prepares it: a
// moment later the engine writes down that it does.
func (h *harbour) begun(id string) {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		groups, _ := filepath.Glob("/proc/[0-9]*/cgroup") // its pattern is one
		for _, group := range groups {
			text, err := os.ReadFile(group)
			if err != nil || !strings.Contains(string(text), id) {
				continue
			}
			if program, err := os.ReadFile(filepath.Join(filepath.Dir(group), "comm")); err == nil && !strings.HasPrefix(string(program), "runc") {
				return
			}
		}
	}
	h.t.Fatalf("nothing ran in container %s", id)
}

// An engine that dies while it starts a container takes it for one that was never
// started, and leaves its process running. Nobody else may write to that volume then, and
// no release is to be blamed.
func TestAProcessThatTheEngineHasLostIsEnded(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, "lost")
	struck := func(moment func(id string)) {
		old := h.stack.Containers("db")
		commit := h.next()
		moment(h.born("db", old))
		h.engine.Kill()
		h.engine.Start()
		h.settled(commit)
		h.blameless()
	}
	lost := func() bool { return strings.Contains(h.agent.Log(), "the engine lost a process") }
	for tries := 8; !lost() && tries > 0; tries-- {
		struck(h.begun)
	}
	if !lost() {
		t.Error("the engine never lost a process: what this test is about did not happen")
	}
	for range 40 {
		if *soak {
			struck(func(string) { time.Sleep(rand.N(200 * time.Millisecond)) })
		}
	}
}
