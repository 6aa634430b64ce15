package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// A stack that the policy refuses keeps running what it ran, and the engine is
// asked to change nothing. The doctor finds a host in order, and changes nothing
// either.
func TestAPolicyKeepsACommitFromTheEngine(t *testing.T) {
	r := newRig(t, "policy")
	policy := filepath.Join(r.bed.Dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("preset: strict\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.agent.Args = append(r.agent.Args, "--policy", policy)
	web := r.image("web", "1", testbed.App{})
	good := r.push("v1.0.0", service("web", web))
	r.agent.Start()
	r.waitCommit(good)
	before := ids(r.stack.Containers())

	r.proxy.Forget()
	r.push("v1.1.0", service("web", web, "privileged: true", "volumes: ['/run/docker.sock:/s']"))
	r.poll()
	status := r.agent.WaitStatus(r.stack.Name, "the stack to be stalled", func(s testbed.Status) bool { return s.Sync == "stalled" })
	for _, rule := range []string{"services.web.privileged: policy: privileged: ", "services.web.volumes[0]: policy: engine_socket: "} {
		if !strings.Contains(status.LastError+status.WaitingFor, rule) {
			t.Errorf("%+v\ndoes not say %q", status, rule)
		}
	}

	var found struct {
		Well     bool
		Findings []struct{ Check, Level, Seen string }
	}
	answer := r.agent.CLI("doctor", "-o", "json", "--repo", r.repo.URL, "--branch", "main", "--policy", policy)
	if err := json.Unmarshal([]byte(answer.Stdout), &found); err != nil {
		t.Fatalf("%v\n%s%s", err, answer.Stdout, answer.Stderr)
	}
	levels := map[string]string{}
	for _, f := range found.Findings {
		levels[f.Check] = f.Level
	}
	for _, check := range []string{"engine", "engine socket", "agent", "data directory", "record", "releases", "policy", "repository"} {
		if levels[check] != "ok" {
			t.Errorf("%s is %q: %s", check, levels[check], answer.Stdout)
		}
	}
	if found.Well != (answer.Code == 0) {
		t.Errorf("well=%t with exit code %d", found.Well, answer.Code)
	}
	if changes := r.proxy.Mutations(); len(changes) > 0 {
		t.Errorf("the engine was asked to change something: %v", changes)
	}
	if after := ids(r.stack.Containers()); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("containers were %v, are %v", before, after)
	}
}
