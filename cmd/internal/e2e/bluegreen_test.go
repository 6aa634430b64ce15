package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// TestARevertToARunningStandbyFailsNobody: two replicas that die at once on SIGTERM are
// replaced as a set under load from outside, and back again, without a failed request and
// without a container that is made or started for the return.
func TestARevertToARunningStandbyFailsNobody(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	stack, repo := bed.Stack("sets"), bed.Repo("sets")
	r := &rig{T: t, bed: bed, stack: stack, repo: repo, versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	port := bed.UnusedPort()
	declare := func(version string) string {
		image := r.image("web", version, testbed.App{Env: map[string]string{"STOP": "exit"}})
		return r.push("", service("web", image, fmt.Sprintf(`ports: ["127.0.0.1:%d:8080"]`, port), "deploy: {replicas: 2}", "restart: unless-stopped",
			"x-davit: {strategy: blue-green, monitor: 1s, drain: {timeout: 5s, streams: 5s}}"))
	}
	commit := declare("1.0")
	r.agent.Start()
	r.waitCommit(commit)
	first := ids(stack.Containers("web"))
	callers := call(t, fmt.Sprintf("http://127.0.0.1:%d/", port), keptAndNew())
	callers.wait("1.0")
	commit = declare("2.0")
	r.poll()
	callers.wait("2.0")
	r.waitSucceeded(commit)
	r.resting(stack, first)

	both, since := ids(stack.Containers("web")), stack.Mark()
	commit = repo.Revert(1)
	repo.Push()
	r.poll()
	callers.wait("1.0")
	t.Logf("the old version answered %s after its revision was fetched", time.Since(r.agent.Fetched(commit)).Round(time.Millisecond))
	r.waitSucceeded(commit)
	callers.wait("1.0")
	if now := ids(stack.Containers("web")); !slices.Equal(now, both) {
		t.Errorf("containers were %v and are %v", both, now)
	}
	r.resting(stack, slices.DeleteFunc(both, func(id string) bool { return slices.Contains(first, id) }))
	callers.end()
	since.RequireMinReady("web", 4)
}

// resting makes sure that these containers of web run and that nobody finds them.
func (r *rig) resting(stack *testbed.Stack, standby []string) {
	r.Helper()
	if s := r.agent.Status()[0].Services[0]; s.Ready != 2 || s.Standby != 2 || len(s.Containers) != 2 {
		r.Errorf("the status has %d ready, %d standing by and %d containers, want 2 of each", s.Ready, s.Standby, len(s.Containers))
	}
	for _, c := range stack.Containers("web") {
		found := slices.Contains(c.Aliases[stack.Network()], "web")
		if rests := slices.Contains(standby, c.ID); !c.Running || found == rests || (c.Restart == "no") != rests {
			r.Errorf("%s: running %v, found %v, restart %s, a standby %v", c.Name, c.Running, found, c.Restart, rests)
		}
	}
}
