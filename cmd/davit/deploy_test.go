package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
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
