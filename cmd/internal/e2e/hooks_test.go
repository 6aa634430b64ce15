package e2e

import (
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// TestAnAgentThatIsKilledDuringAHookRunsItOnce kills the agent while the hook of a
// release runs: the next one waits for that very container and goes on.
func TestAnAgentThatIsKilledDuringAHookRunsItOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "hook")
	const hooks = "x-davit: {stable_for: 0s, monitor: 0s, hooks: {pre_deploy: [{run: [/app, migrate], timeout: 2m}]}}"
	first := r.push("v1.0.0", service("web", r.image("web", "1.0", testbed.App{})))
	r.agent.Start()
	r.waitCommit(first)

	next := r.push("v1.1.0", service("web", r.image("web", "1.1", testbed.App{}), "environment: {MIGRATE_FOR: 15s}", hooks))
	r.poll()
	hook := func() testbed.Container {
		for _, c := range r.stack.Running("web") {
			if strings.Contains(c.Name, "-pre_deploy-") {
				return c
			}
		}
		return testbed.Container{}
	}
	r.eventually("the hook to run", func() bool { return hook().ID != "" })
	begun := hook()
	if others := r.stack.Running("web"); len(others) != 2 {
		t.Errorf("beside the hook there runs %v", others)
	}
	r.agent.Kill()
	r.agent.Start()
	r.waitCommit(next)
	made, started := 0, 0
	for _, call := range r.proxy.Mutations() {
		if strings.Contains(call.String(), "-pre_deploy-") {
			made++
		}
		if call.Path == "/containers/"+begun.ID+"/start" {
			started++
		}
	}
	if made != 1 || started != 1 {
		t.Errorf("for the hook %d containers were made, and %s was started %d times", made, begun.Name, started)
	}
	r.eventually("the hook's container to be removed", func() bool { return len(r.stack.Containers("web")) <= 2 && hook().ID == "" })
}
