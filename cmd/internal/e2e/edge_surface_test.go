package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"davit/cmd/internal/testbed"
	"davit/traffic"
)

// TestOperatorsSeeWhatBecomesOfTheEdge: the status says who has a port, an edge that is
// killed is back with an event, the doctor says how it is, and a port of another program
// is named with it.
func TestOperatorsSeeWhatBecomesOfTheEdge(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	stack, repo := bed.Stack("surface"), bed.Repo("surface")
	r := &rig{T: t, bed: bed, stack: stack, repo: repo, versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	image := r.image("web", "1.0", testbed.App{})
	declare := func(port int) string {
		return r.push("", service("web", image, fmt.Sprintf(`ports: ["127.0.0.1:%d:8080"]`, port), "x-davit: {monitor: 0s, stable_for: 100ms}"))
	}
	port := bed.UnusedPort()
	commit := declare(port)
	r.agent.Start()
	r.waitCommit(commit)
	if got, want := r.agent.CLI("status", r.stack.Name).Stdout, fmt.Sprintf("127.0.0.1:%d edge", port); !strings.Contains(got, want) {
		t.Errorf("%q is not in\n%s", want, got)
	}

	client := traffic.NewClient(traffic.Socket(r.agent.Data))
	defer client.Close()
	edge, err := client.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(edge.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.eventually("an event says that the edge was lost", func() bool { return strings.Contains(r.agent.CLI("events").Stdout, "EdgeLost") })
	r.eventually("it is back", func() bool { return r.agent.CLI("status", "--check").Code == 0 })
	if got := r.agent.CLI("doctor").Stdout; !strings.Contains(got, "edge: version") || !strings.Contains(got, "serves table") {
		t.Errorf("the doctor says\n%s", got)
	}
	var shown struct{ Edge *string }
	if err := json.Unmarshal([]byte(r.agent.CLI("version", "-o", "json").Stdout), &shown); err != nil || shown.Edge == nil || *shown.Edge != edge.Program {
		t.Errorf("the edge's version is %v, %v", shown.Edge, err)
	}

	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	declare(other.Addr().(*net.TCPAddr).Port)
	r.poll()
	r.eventually("it is told who has the port", func() bool {
		return strings.Contains(r.agent.CLI("status").Stdout, "is taken by another program; nothing was changed (e2e.test (process ")
	})
}
