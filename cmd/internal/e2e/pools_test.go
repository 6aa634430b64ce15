package e2e

import (
	"fmt"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// Docker's address pools hold few networks. Whoever reaches their end is told so,
// and how to widen them; the stacks that have a network do not notice.
func TestTheEndOfTheAddressPoolsIsToldWithItsRemedy(t *testing.T) {
	t.Parallel()
	// Room for the engine's own bridge and for one network.
	i := newIsland(t, "pools", "--default-address-pool", "base=10.201.0.0/29,size=30")
	app := nimble("1")
	image := i.bed.Load("app:1", app)
	files := map[string]string{}
	stacks := []*testbed.Stack{i.bed.Stack("one"), i.bed.Stack("two"), i.bed.Stack("three")}
	for _, s := range stacks {
		files[s.Name+"/compose.yaml"] = fmt.Sprintf("name: %s\nservices:\n  web: {image: %q, pull_policy: never, stop_grace_period: 2s, x-davit: {monitor: 0s}}\n", s.Name, image.Ref)
	}
	i.repo.Release("v1.0.0", files)
	i.agent.Start()

	var lucky *testbed.Stack
	short := 0
	for _, s := range stacks {
		status := i.agent.WaitStatus(s.Name, "a network, or the reason why not", func(st testbed.Status) bool {
			// It tries again every few seconds, and is progressing while it does.
			return st.Sync == "synced" || st.Sync == "waiting" && strings.Contains(st.LastError, "default-address-pools")
		})
		if status.Sync == "synced" {
			lucky = s
			continue
		}
		short++
		for _, want := range []string{"address pool", "31 networks", "/etc/docker/daemon.json"} {
			if !strings.Contains(status.LastError, want) {
				t.Errorf("status of %s does not say %q: %s", s.Name, want, status.LastError)
			}
		}
	}
	if lucky == nil || short != 2 {
		t.Fatalf("%d stacks are short of a network, want 2 of 3", short)
	}
	if text := i.agent.CLI("status").Stdout; !strings.Contains(text, "default-address-pools") {
		t.Errorf("the status that people read does not say it:\n%s", text)
	}
}

// A network has to have room for the old containers and for those that replace them.
func TestANetworkWithoutAnAddressForAReplacementIsToldWithItsRemedy(t *testing.T) {
	t.Parallel()
	i := newIsland(t, "addresses")
	image := i.bed.Load("app:1", nimble("1"))
	stack := i.bed.Stack("narrow")
	file := func(edit int) map[string]string {
		return map[string]string{"compose.yaml": fmt.Sprintf("name: %s\nnetworks: {default: {ipam: {config: [{subnet: 10.202.0.0/30}]}}}\n"+
			"services:\n  web: {image: %q, pull_policy: never, stop_grace_period: 2s, environment: {EDIT: \"%d\"}, x-davit: {monitor: 0s}}\n", stack.Name, image.Ref, edit)}
	}
	commit := i.repo.Release("v1.0.0", file(1))
	i.agent.Start()
	i.agent.WaitRelease(stack.Name, "the first release", func(r testbed.Release) bool { return r.Commit == commit && r.Outcome == "succeeded" })
	before := stack.Only("web")

	commit = i.repo.Release("v1.1.0", file(2))
	failed := i.agent.WaitRelease(stack.Name, "a release that failed", func(r testbed.Release) bool { return r.Commit == commit && r.Outcome == "failed" })
	for _, want := range []string{"no available IPv4 addresses", "declare a larger subnet"} {
		if !strings.Contains(failed.Reason, want) {
			t.Errorf("the release's reason does not say %q: %s", want, failed.Reason)
		}
	}
	if now := stack.Only("web"); now.ID != before.ID || !now.Running {
		t.Errorf("web is %s after a release that could not begin, and was %s", now.ID, before.ID)
	}
}
