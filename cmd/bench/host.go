package main

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"davit/cmd/internal/testbed"
	"davit/reconcile"
	"davit/web"
)

// size is how much is measured.
type size struct {
	stacks, services, changes, passes, rounds, back int
	idle                                            time.Duration
}

func (s size) containers() int { return s.stacks * s.services }

// host is the world that is measured in: an engine that nobody else uses, and a
// repository with all the stacks.
type host struct {
	size
	*testbed.Owner
	engine *testbed.PrivateEngine
	bed    *testbed.Bed
	repo   *testbed.Repo
	image  testbed.Image
	// edits is how often the service that changes was changed.
	edits int
}

func newHost(owner *testbed.Owner, davit string, s size) *host {
	h := &host{size: s, Owner: owner, engine: testbed.NewPrivateEngine(owner)}
	h.bed = testbed.NewWith(owner, testbed.Config{Engine: h.engine.Host, Davit: davit})
	h.repo = h.bed.Repo("fleet")
	h.image = h.bed.Load("app:1", testbed.App{Version: "1", NoHealthcheck: true, Env: map[string]string{"DRAIN": "0s"}})
	return h
}

func stackName(n int) string { return fmt.Sprintf("stack%02d", n) }

// file is the compose file of one stack. Its services are ready at once and leave
// no standby: what is measured is the agent, not the time that it is told to wait.
func (h *host) file(n, edit int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nservices:\n", stackName(n))
	for i := range h.services {
		value := 0
		if i == 0 {
			value = edit
		}
		fmt.Fprintf(&b, "  s%d:\n    image: %s\n    pull_policy: never\n    environment: {LEVEL: info, EDIT: \"%d\"}\n"+
			"    x-davit: {stable_for: 0s, monitor: 0s, standby: {for: 0s}}\n", i, h.image.Ref, value)
	}
	return b.String()
}

// measure takes every figure, one after the other.
func (h *host) measure() report {
	r := report{size: h.size, begun: time.Now(), load: [2]string{load()}}
	files := map[string]string{}
	for n := range h.stacks {
		files[stackName(n)+"/compose.yaml"] = h.file(n, 0)
	}
	h.repo.Release("v1.0.0", files)
	for range 2 {
		h.Logf("%d containers by direct calls", h.containers())
		r.bare = append(r.bare, h.bare())
	}
	h.Logf("%d stacks by davit", h.stacks)
	agent := h.bed.NewAgent(testbed.Run{Repo: h.repo.URL, Interval: 30 * time.Second, Args: []string{"--branch", "main"}})
	r.first, r.synced = h.deploy(agent)
	h.Logf("nothing for %s", h.idle)
	r.idle = h.rest(agent)
	h.Logf("%d changes of one service", h.changes)
	for range h.changes {
		r.changes = append(r.changes, h.change(agent))
	}
	for range h.changes {
		r.swaps = append(r.swaps, h.swap())
	}
	agent.Stop()
	h.Logf("%d passes with nothing to do", h.passes)
	r.pass = h.nothing(agent.Data)
	// The others measure one stack on a host that has nothing else.
	for n := range h.stacks {
		h.remove(stackName(n))
	}
	r.replacements = h.replacements(h.rounds, 1, 10, 50)
	r.reverts = h.reverts(h.back)
	r.load[1] = load()
	return r
}

// deploy starts the agent and returns how long it took until the last container
// ran, and until the last release was on record.
func (h *host) deploy(agent *testbed.Agent) (running, recorded time.Duration) {
	begun := time.Now()
	agent.Start()
	h.wait(agent)
	client := web.NewClient(filepath.Join(agent.Data, web.SocketName))
	defer client.Close()
	for n := range h.stacks {
		history, err := client.History(h.Context(), stackName(n), 1)
		if err != nil || len(history) == 0 || history[0].Finished == nil {
			h.Fatalf("history of %s: %v (%v)", stackName(n), history, err)
		}
		recorded = max(recorded, history[0].Finished.Sub(begun))
	}
	return h.lastStart(h.containers()).Sub(begun), recorded
}

// wait returns once every stack runs what is declared and all of it is healthy.
func (h *host) wait(agent *testbed.Agent) {
	client := web.NewClient(filepath.Join(agent.Data, web.SocketName))
	defer client.Close()
	unready := func(s reconcile.StackStatus) bool {
		return s.Sync != reconcile.SyncSynced || s.Health != reconcile.ConditionHealthy
	}
	h.until("every stack to be synced", agent, func() bool {
		time.Sleep(time.Second) // every look asks the engine for all of its containers
		status, err := client.Status(h.Context())
		return err == nil && len(status.Stacks) == h.stacks && !slices.ContainsFunc(status.Stacks, unready)
	})
}

func (h *host) until(what string, agent *testbed.Agent, ok func() bool) {
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) || !agent.Running() || h.Context().Err() != nil {
			h.Fatalf("waited %s in vain for %s", patience, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// patience is far more than anything here takes.
const patience = 10 * time.Minute

// lastStart is when the last of the stacks' containers started.
func (h *host) lastStart(want int) time.Time {
	var last time.Time
	n := 0
	for i := range h.stacks {
		all, err := h.engine.Containers(h.Context(), stackName(i))
		if err != nil {
			h.Fatalf("%v", err)
		}
		for _, c := range all {
			if n++; c.Started.After(last) {
				last = c.Started
			}
		}
	}
	if n != want {
		h.Fatalf("%d containers, want %d", n, want)
	}
	return last
}

// idleness is what an agent uses while nothing happens.
type idleness struct {
	usage testbed.Usage // at the end
	cpu   time.Duration // over the time
}

func (h *host) rest(agent *testbed.Agent) idleness {
	time.Sleep(5 * time.Second) // what the deploy left to be cleared up
	before := agent.Usage()
	time.Sleep(h.idle)
	after := agent.Usage()
	return idleness{usage: after, cpu: after.CPU - before.CPU}
}

// change is how long one changed service took, from the push.
type change struct {
	begun   time.Duration // the release: fetched, loaded, decided
	started time.Duration // the new container
	done    time.Duration // the release, as it says itself
}

// change pushes another value for one service of one stack, has the agent poll,
// and makes sure that no other container was touched.
func (h *host) change(agent *testbed.Agent) change {
	h.edits++
	name := stackName(h.stacks / 2)
	others := h.ids()
	old := h.only(name, "s0").ID
	client := web.NewClient(filepath.Join(agent.Data, web.SocketName))
	defer client.Close()
	commit := h.repo.Release("", map[string]string{name + "/compose.yaml": h.file(h.stacks/2, h.edits)})
	pushed := time.Now()
	agent.Signal(syscall.SIGHUP)
	var release web.Release
	h.until("the release of "+commit[:7], agent, func() bool {
		history, err := client.History(h.Context(), name, 1)
		if err != nil || len(history) == 0 {
			return false
		}
		release = history[0]
		return release.Commit == commit && release.Outcome == "succeeded"
	})
	fresh := h.only(name, "s0")
	delete(others, old)
	now := h.ids()
	for id := range others {
		if !now[id] {
			h.Fatalf("container %.12s of another service is gone", id)
		}
	}
	if fresh.ID == old || len(now) != h.containers() {
		h.Fatalf("%d containers, want %d; s0 was %.12s and is %.12s", len(now), h.containers(), old, fresh.ID)
	}
	return change{begun: release.Started.Sub(pushed), started: fresh.Started.Sub(pushed), done: release.Finished.Sub(pushed)}
}

// ids are the containers of the stacks that run.
func (h *host) ids() map[string]bool {
	var all []struct{ ID string }
	query := url.Values{"filters": {`{"label":["com.docker.compose.project"],"status":["running"]}`}}
	d := newDirect(h.engine.Host)
	defer d.http.CloseIdleConnections()
	if err := d.call(h.Context(), http.MethodGet, "/containers/json?"+query.Encode(), nil, &all); err != nil {
		h.Fatalf("%v", err)
	}
	ids := map[string]bool{}
	for _, c := range all {
		ids[c.ID] = true
	}
	return ids
}

// only is the running container of a service.
func (h *host) only(stack, service string) testbed.Container {
	all, err := h.engine.Containers(h.Context(), stack)
	if err != nil {
		h.Fatalf("%v", err)
	}
	all = slices.DeleteFunc(all, func(c testbed.Container) bool { return c.Service != service || !c.Running })
	if len(all) != 1 {
		h.Fatalf("%d containers of %s in %s run, want one", len(all), service, stack)
	}
	return all[0]
}

// passing is what a pass with nothing to do costs.
type passing struct {
	cpu             time.Duration
	lists, inspects float64
	mutations       int
}

// nothing has a new agent, whose calls are counted, pass over an unchanged host.
func (h *host) nothing(data string) passing {
	proxy := h.bed.Proxy()
	agent := h.bed.NewAgent(testbed.Run{Repo: h.repo.URL, Engine: proxy.Host, Interval: time.Hour, Data: data, Args: []string{"--branch", "main"}})
	agent.Start()
	h.wait(agent)
	time.Sleep(5 * time.Second) // the first pass of a life verifies more
	proxy.Forget()
	before := agent.Usage().CPU
	client := web.NewClient(filepath.Join(data, web.SocketName))
	defer client.Close()
	for range h.passes {
		// The command of that name asks for plans and the status, too.
		if _, err := client.Apply(h.Context(), "", web.Order{}); err != nil {
			h.Fatalf("%v", err)
		}
		time.Sleep(300 * time.Millisecond) // passes closer to one another are made one
	}
	p := passing{cpu: (agent.Usage().CPU - before) / time.Duration(h.passes), mutations: len(proxy.Mutations())}
	for _, c := range proxy.Calls() {
		switch path := c.Path; {
		case strings.HasSuffix(path, "/containers/json"), strings.HasSuffix(path, "/networks"), strings.HasSuffix(path, "/volumes"), strings.HasSuffix(path, "/images/json"):
			p.lists += 1 / float64(h.passes)
		case c.Method == "GET":
			p.inspects += 1 / float64(h.passes)
		}
	}
	agent.Stop()
	return p
}
