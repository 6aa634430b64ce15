package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"davit/reconcile"
	"davit/traffic"
)

func TestWhetherAnAgentUsesAnEdge(t *testing.T) {
	use, launch := edgeChoice{use: true}, edgeChoice{use: true, launch: true}
	for name, c := range map[string]struct {
		word  string
		facts edgeFacts
		want  edgeChoice
		hint  string // of the refusal
	}{
		"an edge that is switched off":            {"off", edgeFacts{answers: true, served: true, terminal: true}, edgeChoice{}, ""},
		"in a terminal":                           {"auto", edgeFacts{terminal: true}, launch, ""},
		"in a terminal, where one runs":           {"auto", edgeFacts{terminal: true, answers: true}, launch, ""},
		"in the background":                       {"auto", edgeFacts{}, edgeChoice{}, ""},
		"in the background, where one has served": {"auto", edgeFacts{served: true}, launch, ""},
		"in the background, on request":           {"on", edgeFacts{}, launch, ""},
		"under systemd":                           {"auto", edgeFacts{supervisor: "systemd"}, edgeChoice{}, ""},
		"under systemd, where one runs":           {"auto", edgeFacts{supervisor: "systemd", answers: true}, use, ""},
		"under systemd, while it is away":         {"on", edgeFacts{supervisor: "systemd", served: true}, use, ""},
		"under systemd, on request":               {"on", edgeFacts{supervisor: "systemd"}, edgeChoice{}, "davit-edge.service"},
		"in a container with a terminal":          {"auto", edgeFacts{supervisor: "container", terminal: true}, edgeChoice{}, ""},
		"in a container, on request":              {"on", edgeFacts{supervisor: "container"}, edgeChoice{}, "deploy/compose.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.facts.choose(c.word)
			if got != c.want || (err != nil) != (c.hint != "") || !strings.Contains(reconcile.Hint(err), c.hint) {
				t.Errorf("%+v, want %+v; %v (%s)", got, c.want, err, reconcile.Hint(err))
			}
		})
	}
}

func TestWhoSupervisesAProcess(t *testing.T) {
	for name, c := range map[string]struct {
		pid, parent int
		env         map[string]string
		files       string
		want        string
	}{
		"a shell's child":                        {pid: 70, parent: 60},
		"a shell's child in a container":         {pid: 70, parent: 60, files: "/.dockerenv"},
		"the first process":                      {pid: 1, want: "container"},
		"the child of a container's init":        {pid: 7, parent: 1, files: "/.dockerenv", want: "container"},
		"the child of podman's init":             {pid: 7, parent: 1, env: map[string]string{"container": "podman"}, want: "container"},
		"a unit's process":                       {pid: 70, parent: 1, env: map[string]string{"INVOCATION_ID": "x"}, want: "systemd"},
		"a user unit's process":                  {pid: 70, parent: 50, env: map[string]string{"SYSTEMD_EXEC_PID": "70"}, want: "systemd"},
		"a shell that a unit of the desktop has": {pid: 71, parent: 70, env: map[string]string{"INVOCATION_ID": "x", "SYSTEMD_EXEC_PID": "50"}},
		"what its shell left behind":             {pid: 70, parent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := surroundings{pid: c.pid, parent: c.parent, getenv: func(k string) string { return c.env[k] },
				exists: func(path string) bool { return path == c.files }}
			if got := s.supervisor(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestTheEndOfAnAgentLeavesItsEdgeRunning(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one")
	b.endDetached()
	repo := b.repository()
	agent := func() *edgeLife { return b.begin("run", "--edge", "on", "--repo", repo, "--interval", "1h") }

	first := agent()
	edge := b.running(0)
	at := b.freePort()
	b.apply(b.table(at))
	kept, err := dialEdge(at)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.conn.Close()
	if _, err := kept.say("with an agent"); err != nil {
		t.Fatal(err)
	}
	first.signal(syscall.SIGKILL)
	first.end()
	if _, err := kept.say("without one"); err != nil {
		t.Errorf("a connection did not outlive the agent: %v", err)
	}
	second := agent()
	b.until("the agent has found the edge", func() bool { return strings.Contains(second.log.String(), "davit starts") })
	if pid := b.running(0); pid != edge {
		t.Errorf("edge %d was replaced by %d", edge, pid)
	}
	second.signal(syscall.SIGTERM)
	second.end()
	if _, err := kept.say("after its end"); err != nil {
		t.Errorf("a connection did not outlive the agent: %v", err)
	}

	// By hand there is no other supervisor than the agent.
	agent()
	if err := syscall.Kill(edge, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.running(edge)
	if who, err := callOnce(at, "served again"); err != nil || who != "one" {
		t.Errorf("%q, %v", who, err)
	}
	if _, err := os.Stat(traffic.Socket(b.data)); err != nil {
		t.Error(err)
	}
}

func TestAnAgentUsesAnEdgeThatWasStartedAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one")
	b.endDetached()
	place, err := traffic.Acquire(traffic.Dir(b.data))
	if err != nil {
		t.Fatal(err)
	}
	agent := b.begin("run", "--edge", "on", "--repo", b.repository(), "--interval", "1h")
	said := filepath.Join(traffic.Dir(b.data), "log")
	b.until("the agent's own edge finds the directory in use", func() bool {
		text, err := os.ReadFile(said)
		return err == nil && strings.Contains(string(text), "another edge has the directory")
	})
	place.Release()
	edge := b.edge()
	b.until("the agent starts", func() bool { return strings.Contains(agent.log.String(), "davit starts") })
	if want := fmt.Sprint("an edge that was started at the same time serves\" process=", edge.command.Process.Pid); !strings.Contains(agent.log.String(), want) {
		t.Errorf("the agent says nothing of it:\n%s", agent.log)
	}
}

// repository is a Git repository that declares nothing.
func (b *edgeBed) repository() string {
	b.Helper()
	repo := b.TempDir()
	for _, args := range [][]string{{"init", "-q"}, {"-c", "user.name=ada", "-c", "user.email=ada@example.org", "commit", "-q", "--allow-empty", "-m", "nothing yet"}} {
		if out, err := exec.Command("git", append([]string{"-C", repo}, args...)...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	return repo
}

// running waits for an edge that is another process than not, and returns which it is.
func (b *edgeBed) running(not int) (pid int) {
	b.Helper()
	b.until("an edge answers", func() bool {
		c := b.client()
		defer c.Close()
		v, err := c.Versions(b.Context())
		pid = v.PID
		return err == nil && pid != not
	})
	return pid
}
