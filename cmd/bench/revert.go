package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"davit/cmd/internal/testbed"
	"davit/traffic"
)

// reversion is how long a revert takes, from the revision that was fetched until a client
// outside gets the first answer of the version before, by new connections through the
// edge.
type reversion struct {
	// standby is how the version before was kept, strategy how it returned, and took one
	// figure for each revert.
	standby, strategy string
	took              []time.Duration
}

// healthInterval is that of the service which is reverted.
const healthInterval = time.Second

// reverts measures so many reverts of each kind.
func (h *host) reverts(rounds int) []reversion {
	out := []reversion{{standby: "running", strategy: "blue-green"}, {standby: "stopped", strategy: "rolling"}, {standby: "stopped", strategy: "blue-green"}}
	for i := range out {
		r := &out[i]
		h.Logf("%d reverts to a %s standby, %s", rounds, r.standby, r.strategy)
		b := turnabout{host: h, name: "revert-" + r.standby + "-" + r.strategy, reversion: *r, address: fmt.Sprintf("127.0.0.1:%d", 8100+i)}
		for _, version := range []string{"1", "2"} {
			app := testbed.App{Version: "version " + version, HealthEvery: healthInterval, Env: map[string]string{"DRAIN": "0s"}}
			b.images = append(b.images, h.bed.Load(b.name+":"+version, app).Ref)
		}
		r.took = b.measure(rounds)
	}
	return out
}

// turnabout is a service of two replicas that goes from one version to the other and back.
type turnabout struct {
	*host
	reversion
	name, address string
	images        []string
	repo          *testbed.Repo
	agent         *testbed.Agent
}

// measure deploys both versions, and then goes from one to the other.
func (b *turnabout) measure(rounds int) []time.Duration {
	b.repo = b.bed.Repo(b.name)
	b.agent = b.bed.NewAgent(testbed.Run{Repo: b.repo.URL, Interval: time.Hour, Args: []string{"--branch", "main", "--edge", "on"}})
	edge := b.edge()
	defer edge()
	commit := b.push(0)
	b.agent.Start()
	// The health checks of what stays would take the CPUs of the next.
	defer b.remove(b.name)
	defer b.agent.Stop()
	b.released(commit)
	commit = b.push(1)
	b.agent.Signal(syscall.SIGHUP)
	b.released(commit)
	var took []time.Duration
	for n := range rounds {
		version := n % 2
		commit := b.push(version)
		b.agent.Signal(syscall.SIGHUP)
		answered := b.firstAnswer(fmt.Sprintf("version %d", version+1))
		took = append(took, answered.Sub(b.agent.Fetched(commit)))
		b.released(commit)
	}
	return took
}

// edge starts an edge where the containers are, waits until it answers, and returns what
// ends it.
func (b *turnabout) edge() (end func()) {
	command := b.agent.Edge(b.engine.Inside)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		b.Fatalf("start an edge: %v", err)
	}
	// The agent starts one of its own if it finds none, and that would not be where the
	// containers are.
	client := traffic.NewClient(traffic.Socket(b.agent.Data))
	defer client.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := client.Versions(b.Context()); err == nil {
			break
		} else if time.Now().After(deadline) {
			b.Fatalf("the edge does not answer: %v", err)
		}
	}
	return func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = command.Wait()
	}
}

// push declares one of the versions.
func (b *turnabout) push(version int) string {
	return b.repo.Release("", map[string]string{"compose.yaml": fmt.Sprintf("name: %s\nservices:\n  web:\n    image: %s\n    pull_policy: never\n"+
		"    restart: unless-stopped\n    deploy: {replicas: 2}\n    ports: [\"%s:8080\"]\n    stop_grace_period: 2s\n"+
		"    x-davit: {strategy: %s, monitor: 0s, drain: {timeout: 2s, streams: 2s}, standby: {mode: %s}}\n",
		b.name, b.images[version], b.address, b.strategy, b.standby)})
}

func (b *turnabout) released(commit string) {
	b.agent.WaitRelease(b.name, "the release of "+commit[:7], func(r testbed.Release) bool { return r.Commit == commit && r.Outcome == "succeeded" })
}

// firstAnswer asks until the version answers, and tells when it did.
func (b *turnabout) firstAnswer(version string) time.Time {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: b.engine.Dial}}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		text, err := get(b.Context(), client, "http://"+b.address+"/")
		if err != nil {
			b.Fatalf("a request failed in a revert: %v", err)
		}
		if strings.Contains(text, version) {
			return time.Now()
		}
	}
	b.Fatalf("%s does not answer", version)
	return time.Time{}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(q)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}

// revertTable is what reverts took, in Markdown.
func revertTable(all []reversion) string {
	text := fmt.Sprintf("| a revert to a standby of two replicas, health interval %s | | from the fetched revision to the first old answer outside |\n| --- | --- | --- |\n", healthInterval)
	for _, r := range all {
		text += fmt.Sprintf("| %s | %s | %s |\n", r.standby, r.strategy, spread(slices.Sorted(slices.Values(r.took))))
	}
	return text
}
