package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"davit/compose"
)

// TestWhatIsDeployedIsUnderstood holds the commands in deploy/ against the program: a
// flag that was renamed would be found out by whoever installs it.
func TestWhatIsDeployedIsUnderstood(t *testing.T) {
	commands := unitCommands(t)
	commands = append(commands, composeCommands(t)...)
	if len(commands) < 6 {
		t.Fatalf("only %v", commands)
	}
	for _, args := range commands {
		c, out, err := world(nil)
		// With --help everything before it is parsed, and nothing is done.
		if code := run(t.Context(), c, append(args, "--help")...); code != exitOK || !strings.Contains(out.String(), "davit "+args[0]) {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, err)
		}
	}
}

var unitCommand = regexp.MustCompile(`(?m)^Exec\w+=/usr/local/bin/davit (.+)$`)

func unitCommands(t *testing.T) (all [][]string) {
	t.Helper()
	units, err := filepath.Glob("../../deploy/systemd/*.service")
	if err != nil || len(units) != 2 {
		t.Fatalf("%v, %v", units, err)
	}
	for _, path := range units {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range unitCommand.FindAllStringSubmatch(string(text), -1) {
			all = append(all, strings.Fields(m[1]))
		}
	}
	return all
}

func composeCommands(t *testing.T) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct{ Command []string }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, s := range file.Services {
		if len(s.Command) == 0 {
			t.Errorf("service %s has no command", name)
			continue
		}
		all = append(all, s.Command)
	}
	return all
}

// TestTheComposeFileOfDavitIsOneForDavit: it is read as any stack's is, and says what the
// edges need.
func TestTheComposeFileOfDavitIsOneForDavit(t *testing.T) {
	p, err := compose.Load(t.Context(), compose.Stack{Name: "davit", Dir: ".", Files: []string{"compose.yaml"}}, compose.LoadOptions{
		Root: "../../deploy", Env: map[string]string{"DAVIT_REPO": "https://git.example.org/ops/till.git"},
		DataDir: t.TempDir(), Socket: "/var/run/docker.sock",
	})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range p.Services {
		names[s.Name] = true
		sources := map[string]string{}
		for _, v := range s.Config.Volumes {
			sources[v.Source] = v.Target
		}
		if sources["/var/run/docker.sock"] != "/var/run/docker.sock" {
			t.Errorf("%s does not reach the engine", s.Name)
		}
		if s.Name == "agent" {
			if sources["/var/lib/davit"] != "/var/lib/davit" {
				t.Error("the agent's data directory has another path outside than inside")
			}
			continue
		}
		if s.Config.NetworkMode != "host" || s.Config.Pid != "host" || s.Config.Restart == "" {
			t.Errorf("%s: network %q, processes %q, restart %q", s.Name, s.Config.NetworkMode, s.Config.Pid, s.Config.Restart)
		}
		if sources["/var/lib/davit/edge"] != "/var/lib/davit/edge" || !slices.Contains(s.Config.CapAdd, "NET_BIND_SERVICE") {
			t.Errorf("%s: volumes %v, capabilities %v", s.Name, sources, s.Config.CapAdd)
		}
	}
	if want := []string{"agent", "edge", "edge-standby"}; !slices.Equal(slices.Sorted(maps.Keys(names)), want) {
		t.Errorf("services %v, want %v", names, want)
	}
}

// TestTheUnitsSayWhatTheEdgeReliesOn holds what the rest of davit relies on.
func TestTheUnitsSayWhatTheEdgeReliesOn(t *testing.T) {
	edge, err := os.ReadFile("../../deploy/systemd/davit-edge.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Type=notify", "NotifyAccess=all", // a successor says itself that it is the main process
		"Restart=always", "RestartSec=100ms", "StartLimitIntervalSec=0", // it is back whenever it was killed
		"KillMode=mixed", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
	} {
		if !strings.Contains(string(edge), "\n"+line+"\n") {
			t.Errorf("the edge's unit does not say %s", line)
		}
	}
	// With these it would not see the processes of containers.
	for _, word := range []string{"ProtectProc=", "ProcSubset=", "PrivateUsers=", "PrivatePIDs=", "SystemCallFilter="} {
		if strings.Contains(string(edge), word) {
			t.Errorf("the edge's unit says %s", word)
		}
	}
}
