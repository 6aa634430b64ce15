package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
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

// outage is one way for an engine to go away and come back.
type outage struct {
	name string
	end  func()
}

func (i *island) outages() []outage {
	return []outage{{"killed", i.engine.Kill}, {"restarted", i.engine.Stop}}
}

// Two services are replaced at once, one start-first and one stop-first, when the
// engine goes away.
func TestAnEngineLostInMidRolloutChangesNothingInTheEnd(t *testing.T) {
	t.Parallel()
	i := newIsland(t, "outage")
	watch := i.stack.Mark()
	version := 0
	// next pushes the next version of both services.
	next := func() string {
		version++
		v := strconv.Itoa(version)
		web := i.bed.Load("web:"+v, testbed.App{Version: v, HealthyAfter: 700 * time.Millisecond})
		return i.push(
			part{"web", web, []string{"restart: unless-stopped", "deploy: {replicas: 2}",
				"x-davit: {monitor: 500ms, standby: {for: 0s}, start_timeout: 60s}"}},
			part{"db", i.database(v, nil), []string{"x-davit: {monitor: 500ms, standby: {for: 0s}, start_timeout: 60s}"}},
		)
	}
	settled := func(t *testing.T, commit string) {
		t.Helper()
		i.deployed(commit)
		i.ready("web", 2)
		i.ready("db", 1)
		await(t, "the old containers to be gone", func() (bool, string) {
			all := i.stack.Containers()
			return len(all) == 3, fmt.Sprint(all)
		})
		i.stack.RequireReplicas("web", 2)
		i.stack.RequireReplicas("db", 1)
		watch.RequireOneWriter()
		i.kept("db")
	}
	first := next()
	i.agent.Start()
	settled(t, first)

	rounds := 2
	if *soak {
		rounds = 20
	}
	for _, o := range i.outages() {
		for range rounds {
			moment := time.Duration(rand.Int64N(int64(3 * time.Second))).Round(time.Millisecond)
			t.Run(fmt.Sprintf("an engine that is %s %s into a rollout", o.name, moment), func(t *testing.T) {
				commit := next()
				time.Sleep(moment) // any moment will do
				o.end()
				i.engine.Start()
				settled(t, commit)
			})
		}
	}
	for _, o := range i.outages() {
		t.Run("what ran comes back when the engine was "+o.name+" while nothing happened", func(t *testing.T) {
			before := i.stack.Containers()
			o.end()
			i.engine.Start()
			settled(t, i.repo.Head())
			for k, c := range i.stack.Containers() {
				if c.ID != before[k].ID {
					t.Errorf("%s was made anew: nothing was wrong with the old one", c.Name)
				}
			}
		})
	}
	for _, r := range i.agent.History(i.stack.Name) {
		if r.Outcome == "failed" {
			t.Errorf("release %s was blamed for what the engine did", r)
		}
	}
}
