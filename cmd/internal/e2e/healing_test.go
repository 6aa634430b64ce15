package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// TestAReplicaThatDiesInsideIsHealedStartFirst: of two replicas behind the edge one
// answers its liveness probe with 503 from some moment on. Another one takes its place
// before it stops, and no caller notices. What an operator stops afterwards stays stopped.
func TestAReplicaThatDiesInsideIsHealedStartFirst(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	r := &rig{T: t, bed: bed, stack: bed.Stack("healing"), repo: bed.Repo("healing"), versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: r.repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	address := fmt.Sprintf("127.0.0.1:%d", bed.UnusedPort())
	image := r.image("web", "1.0", testbed.App{NoHealthcheck: true, Env: map[string]string{"DRAIN": "0s"}})
	commit := r.push("v1.0.0", service("web", image, "restart: always", "deploy: {replicas: 2}", fmt.Sprintf(`ports: ["%s:8080"]`, address),
		"x-davit: {monitor: 0s, probes: {readiness: {http: {port: 8080, path: /healthz}, timeout: 10s}, liveness: {http: {port: 8080, path: /livez}, interval: 500ms, timeout: 10s}}}"))
	r.agent.Start()
	r.waitCommit(commit)

	watch, calls := r.stack.Mark(), call(t, "http://"+address+"/", keptAndNew())
	calls.wait("1.0")
	victim := r.stack.Running("web")[0]
	r.dieInside(victim)
	healed := r.agent.WaitRelease(r.stack.Name, "the one that died inside to be replaced", func(x testbed.Release) bool {
		return x.Trigger == "healing" && x.Outcome == "succeeded"
	})
	if want := fmt.Sprintf("healed web/%d: liveness failed 3 times: answered 503 Service Unavailable: 1.0 is dead inside", victim.Number); !strings.HasPrefix(healed.Reason, want) || healed.Kind != "drift-fix" {
		t.Errorf("on record is %s: %q, want %q", healed.Kind, healed.Reason, want)
	}
	r.happened("ReleaseStarted", "healed web/", "is dead inside")
	r.waitCommit(commit)
	calls.wait("1.0")
	calls.end()
	watch.RequireMinReady("web", 2)
	r.stack.RequireReplicas("web", 2)
	if now, err := bed.Engine.Container(t.Context(), victim.ID); err != nil || now.Running || now.Restart != "no" {
		t.Errorf("the one that died inside is %s, restart %s, %v", now, now.Restart, err)
	}

	stopped := r.stack.Running("web")[0]
	if err := bed.Engine.Stop(t.Context(), stopped.ID); err != nil {
		t.Fatal(err)
	}
	r.happened("StoppedByOperator", fmt.Sprintf("web/%d", stopped.Number))
	r.stands(fmt.Sprintf("web/%d", stopped.Number))
	if apply := r.agent.CLI("apply"); apply.Code != 0 {
		t.Errorf("apply = %d: %s", apply.Code, apply.Stderr)
	}
	if running := r.stack.Running("web"); len(running) != 1 {
		t.Errorf("beside what was stopped by hand run %d replicas", len(running))
	}
	if newest := r.agent.History(r.stack.Name)[0]; newest.Seq != healed.Seq {
		t.Errorf("release %s followed the stop", newest)
	}
}

// dieInside has a container answer its liveness probe with 503 from now on.
func (r *rig) dieInside(c testbed.Container) {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodDelete, "http://"+c.Addresses[r.stack.Network()]+":8080/livez", nil)
	if err != nil {
		r.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	response.Body.Close()
}
