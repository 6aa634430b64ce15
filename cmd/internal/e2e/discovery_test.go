package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// TestCallersInsideAStackAreNeverFailed: services of a stack call another by its name,
// some dialling anew for each request and some over kept connections, while its only
// replica is replaced again and again. No request fails, and none meets a replica that is
// not ready, which would say so. Once the agent is killed as soon as the successor has
// the name.
func TestCallersInsideAStackAreNeverFailed(t *testing.T) {
	t.Parallel()
	replacements := 4
	if *soak {
		replacements = 20
	}
	r := newRig(t, "calls")
	callee := r.image("web", "callee", testbed.App{Args: []string{"callee"}, HealthyAfter: 700 * time.Millisecond})
	caller := r.image("caller", "1", testbed.App{Args: []string{"caller"}, NoHealthcheck: true})
	const quick = "x-davit: {stable_for: 0s, monitor: 0s, standby: {for: 0s}}"
	declare := func(version int) string {
		return r.push("", service("web", callee, fmt.Sprintf(`environment: {VERSION: "%d"}`, version), quick),
			service("anew", caller, `command: [caller, "http://web:8080/"]`, "depends_on: {web: {condition: service_healthy}}", quick),
			service("kept", caller, `command: [caller, -kept, "http://web:8080/"]`, "depends_on: {web: {condition: service_healthy}}", quick))
	}
	commit := declare(0)
	r.agent.Start()
	r.waitCommit(commit)
	for version := range replacements + 1 {
		if version > 0 {
			commit = declare(version)
			r.poll()
		}
		for _, kind := range []string{"anew", "kept"} {
			r.eventually(fmt.Sprintf("version %d to answer %s", version, kind), func() bool {
				return r.tally(kind).Versions[fmt.Sprint(version)] > 0
			})
		}
		if version == replacements/2 {
			r.agent.Kill()
			r.agent.Start()
		}
		r.waitCommit(commit)
		r.waitSucceeded(commit)
	}
	for _, kind := range []string{"anew", "kept"} {
		if seen := r.tally(kind); seen.Failed > 0 {
			t.Errorf("%s: %d of %d requests failed: %v", kind, seen.Failed, seen.Total, seen.Errors)
		} else {
			t.Logf("%s: %d requests, the slowest took %d ms", kind, seen.Total, seen.SlowestMS)
		}
	}
}

// tally is what a service of callers has counted so far.
func (r *rig) tally(service string) (t testbed.Tally) {
	r.Helper()
	logs, err := r.bed.Engine.Logs(r.Context(), r.stack.Only(service).ID)
	if err != nil {
		r.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(logs), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &t); err != nil && logs != "" {
		r.Fatalf("read the count of %s: %v in %q", service, err, logs)
	}
	return t
}
