package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
	"davit/traffic"
)

// TestAnEdgeThatIsKilledIsBackAtOnce: whoever supervises it, the agent that has started
// it in a terminal or a service manager, it serves the same table again, for which it
// needs no agent.
func TestAnEdgeThatIsKilledIsBackAtOnce(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	stack, repo := bed.Stack("back"), bed.Repo("back")
	r := &rig{T: t, bed: bed, stack: stack, repo: repo, versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	port := bed.UnusedPort()
	image := r.image("web", "1.0", quick())
	commit := r.push("", service("web", image, "deploy: {replicas: 2}", fmt.Sprintf(`ports: ["127.0.0.1:%d:8080"]`, port), "x-davit: {monitor: 0s}"))
	r.agent.Start()
	r.waitCommit(commit)
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	generation := r.served().Generation

	kill := func(supervisor string) {
		t.Helper()
		pid := r.edge()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		gap := r.gap(url, pid)
		t.Logf("an edge that %s supervises served again %s after it was killed", supervisor, gap.Round(time.Millisecond))
		if s := r.served(); s.Generation != generation || len(s.Replicas) != 2 {
			t.Errorf("it serves something else: %+v", s)
		}
	}
	kill("the agent")

	r.agent.Kill()
	davit, first := testbed.Davit(t), r.edge()
	s := supervise(t, r.agent.Data, func() *exec.Cmd {
		return exec.Command(davit, "edge", "--takeover", "--data", r.agent.Data, "--engine", r.agent.Host)
	})
	s.waitFor(func(v traffic.Versions) bool { return v.PID != first })
	for range 3 {
		kill("a service manager")
	}
	r.agent.Start()
	r.waitCommit(commit)
	if s := r.served(); s.Generation != generation {
		t.Errorf("an agent that found everything as it should be has applied table %d", s.Generation)
	}
}

// served is the state of the agent's edge.
func (r *rig) served() traffic.State {
	r.Helper()
	s, err := asked(r.Context(), r.agent.Data, (*traffic.Client).State)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// edge is the process of the agent's edge.
func (r *rig) edge() int {
	r.Helper()
	v, err := asked(r.Context(), r.agent.Data, (*traffic.Client).Versions)
	if err != nil {
		r.Fatal(err)
	}
	return v.PID
}

// gap is how long nobody answers at url by way of another edge than was killed just now.
func (r *rig) gap(url string, killed int) time.Duration {
	r.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	began := time.Now()
	for late := began.Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		_, err := ask(client, url)
		took := time.Since(began)
		if err == nil {
			// It may have been the one that dies just now, and nobody be left to be asked.
			var v traffic.Versions
			if v, err = asked(r.Context(), r.agent.Data, (*traffic.Client).Versions); err == nil && v.PID != killed {
				return took
			}
		}
		if time.Now().After(late) {
			r.Fatalf("nobody answers at %s: %v", url, err)
		}
	}
}
