package e2e

import (
	"fmt"
	"os/exec"
	"testing"

	"davit/cmd/internal/testbed"
)

// TestAPublishedPortIsServedThroughReplacements: an app that dies at once on SIGTERM
// behind a host port is replaced, its agent killed and its edge upgraded meanwhile, and
// no request fails.
func TestAPublishedPortIsServedThroughReplacements(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	stack, repo := bed.Stack("edge"), bed.Repo("edge")
	r := &rig{T: t, bed: bed, stack: stack, repo: repo, versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	port := bed.UnusedPort()
	declare := func(version string) string {
		image := r.image("web", version, testbed.App{Env: map[string]string{"STOP": "exit"}})
		return r.push("", service("web", image, fmt.Sprintf(`ports: ["127.0.0.1:%d:8080"]`, port),
			"x-davit: {monitor: 0s, standby: {for: 0s}, drain: {timeout: 5s, streams: 5s}}"))
	}
	commit := declare("1.0")
	r.agent.Start()
	r.waitCommit(commit)

	callers := call(t, fmt.Sprintf("http://127.0.0.1:%d/", port), keptAndNew())
	callers.wait("1.0")
	commit = declare("2.0")
	r.poll()
	callers.wait("2.0")
	r.agent.Kill()
	callers.wait("2.0")
	r.agent.Start()
	r.waitCommit(commit)
	upgrade := exec.CommandContext(t.Context(), testbed.Davit(t), "edge", "--data", r.agent.Data, "--engine", r.agent.Host, "--takeover", "--detach")
	if out, err := upgrade.CombinedOutput(); err != nil {
		t.Fatalf("upgrade the edge: %v\n%s", err, out)
	}
	callers.wait("2.0")
	commit = declare("3.0")
	r.poll()
	callers.wait("3.0")
	r.waitCommit(commit)
	callers.end()
}
