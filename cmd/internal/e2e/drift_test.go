package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// kept is a service that is to be kept up, with nothing that takes time.
func (r *rig) kept(name string) string {
	r.Helper()
	return service(name, r.image(name, "1.0", quick()), "restart: unless-stopped", "x-davit: {monitor: 0s}")
}

// tell has the engine do what a person asks of a container.
func (r *rig) tell(c testbed.Container, verb string, query url.Values, in any) {
	r.Helper()
	if err := r.bed.Engine.Tell(r.Context(), "/containers/"+c.ID+"/"+verb, query, in); err != nil {
		r.Fatal(err)
	}
}

// happened waits for an event of a kind whose message has all the words.
func (r *rig) happened(kind string, words ...string) {
	r.Helper()
	r.eventually("an event "+kind+" about "+strings.Join(words, ", "), func() bool { return r.hasHappened(kind, words...) })
}

func (r *rig) hasHappened(kind string, words ...string) bool {
	r.Helper()
	for line := range strings.Lines(r.agent.CLI("events", r.stack.Name, "-o", "json", "-n", "1000").Stdout) {
		if strings.Contains(line, `"`+kind+`"`) && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// stands waits for a status that names what an operator stopped, and nothing else
// amiss.
func (r *rig) stands(stopped string) {
	r.Helper()
	r.agent.WaitStatus(r.stack.Name, "the stack synced, with "+stopped+" stopped by operator", func(s testbed.Status) bool {
		return s.Sync == "synced" && s.Health == "healthy" && strings.Contains(s.WaitingFor, "stopped by operator: "+stopped)
	})
}

func TestWhatSomebodyElseChangedIsPutRight(t *testing.T) {
	t.Parallel()
	r := newRig(t, "drift")
	hurt := []string{"gone", "renamed", "updated", "unplugged"}
	var services []string
	for _, name := range append(hurt, "bystander") {
		services = append(services, r.kept(name))
	}
	commit := r.push("v1.0.0", services...)
	r.agent.Start()
	r.waitCommit(commit)
	r.waitQuiet()
	before, bystander := r.shape(), r.stack.Only("bystander")

	if err := r.bed.Engine.Drop(t.Context(), r.stack.Only("gone").ID); err != nil {
		t.Fatal(err)
	}
	r.tell(r.stack.Only("renamed"), "rename", url.Values{"name": {r.stack.Name + "-borrowed"}}, nil)
	r.tell(r.stack.Only("updated"), "update", nil, map[string]any{"RestartPolicy": map[string]any{"Name": "no"}})
	cut := map[string]any{"Container": r.stack.Only("unplugged").ID, "Force": true}
	if err := r.bed.Engine.Tell(t.Context(), "/networks/"+r.stack.Network()+"/disconnect", nil, cut); err != nil {
		t.Fatal(err)
	}

	r.eventually("all as it was", func() bool { return slices.Equal(r.shape(), before) })
	r.waitCommit(commit)
	r.waitQuiet()
	if now := r.shape(); !slices.Equal(now, before) {
		t.Errorf("the stack was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(now, "\n"))
	}
	if now := r.stack.Only("bystander"); now.ID != bystander.ID || !now.Started.Equal(bystander.Started) {
		t.Errorf("%s was not left alone: it is %s", bystander, now)
	}
	newest := r.agent.History(r.stack.Name)[0]
	if newest.Kind != "drift-fix" || newest.Outcome != "succeeded" || newest.Trigger != "drift" || newest.Actor != "davit" {
		t.Errorf("the correction is on record as %s, trigger %s, by %s", newest, newest.Trigger, newest.Actor)
	}
}

func TestAStopByHandIsRespectedUntilAStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, "stopped")
	commit := r.push("v1.0.0", r.kept("web"), r.kept("side"))
	r.agent.Start()
	r.waitCommit(commit)
	r.waitQuiet()

	web := r.stack.Only("web")
	if err := r.bed.Engine.Stop(t.Context(), web.ID); err != nil {
		t.Fatal(err)
	}
	r.happened("StoppedByOperator", "web/1")
	r.stands("web/1")
	r.agent.Stop()
	r.agent.Start()
	r.stands("web/1")
	r.waitQuiet()
	if now, err := r.bed.Engine.Container(t.Context(), web.ID); err != nil || now.Running {
		t.Errorf("what was stopped by hand is %s, %v", now, err)
	}
	if running := r.stack.Running("web"); len(running) > 0 {
		t.Errorf("beside what was stopped by hand runs %v", running)
	}

	if start := r.agent.CLI("start", r.stack.Name, "web"); start.Code != 0 {
		t.Fatalf("start ends with %d: %s%s", start.Code, start.Stdout, start.Stderr)
	}
	r.waitCommit(commit)
	r.stack.Examined("web")
	if now := r.stack.Only("web"); now.ID != web.ID || !now.Ready() {
		t.Errorf("%s was not started but is %s", web, now)
	}
	if newest := r.agent.History(r.stack.Name)[0]; newest.Trigger != "cli" || newest.Outcome != "succeeded" {
		t.Errorf("the start is on record as %s, trigger %s", newest, newest.Trigger)
	}
	r.agent.WaitStatus(r.stack.Name, "nothing stopped any more", func(s testbed.Status) bool { return s.WaitingFor == "" })
}

func TestComposeStartingAStandbyIsUndone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "standby")
	web := func(version string) string {
		return service("web", r.image("web", version, quick()), "restart: unless-stopped", "x-davit: {monitor: 0s, standby: {for: 1h}}")
	}
	r.push("v1.0.0", web("1.0"))
	r.agent.Start()
	r.agent.WaitSynced(r.stack.Name, "v1.0.0")
	old := r.stack.Only("web")
	commit := r.push("v1.1.0", web("1.1"))
	r.poll()
	r.waitCommit(commit)
	r.waitQuiet()
	now := r.stack.Only("web")

	dir := t.TempDir()
	text := "name: " + r.stack.Name + "\nservices:\n  web: {image: \"" + now.ImageRef + "\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	composer := r.bed.Composer()
	composer.Run(dir, "start")
	r.happened("ForeignChange", old.Name, "was started by somebody")
	r.eventually("the standby stopped again", func() bool { return slices.Equal(ids(r.stack.Running()), []string{now.ID}) })
	r.waitCommit(commit)

	t.Log("a container of Compose's own is replaced by what is declared")
	composer.Run(dir, "up", "-d", "--pull", "never", "--force-recreate")
	r.happened("ForeignChange", "was not made by davit")
	r.eventually("one container of davit's, and no other", func() bool {
		running := r.stack.Running()
		return len(running) == 1 && running[0].Ready() && running[0].Labels["davit.release"] != "" && r.version(running[0].ImageID) == "1.1"
	})
	r.waitCommit(commit)
	r.waitQuiet()
	r.stack.RequireReplicas("web", 1)
}

func TestDriftIsLeftAloneWhereTheFileSaysSo(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"warn", "off"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, setting)
			commit := r.repo.Release("v1.0.0", map[string]string{"compose.yaml": "name: " + r.stack.Name +
				"\nx-davit: {drift: \"" + setting + "\"}\nservices:\n" + r.kept("web")})
			r.agent.Start()
			r.waitCommit(commit)
			r.waitQuiet()

			r.proxy.Forget()
			if err := r.bed.Engine.Drop(t.Context(), r.stack.Only("web").ID); err != nil {
				t.Fatal(err)
			}
			r.agent.WaitStatus(r.stack.Name, "web missed", func(s testbed.Status) bool {
				return len(s.Services) == 1 && s.Services[0].Ready == 0
			})
			if setting == "warn" {
				r.happened("DriftDetected", "web")
			}
			r.waitQuiet()
			if calls := r.proxy.Mutations(); len(calls) > 0 {
				t.Errorf("drift was corrected all the same: %v", calls)
			}
			if setting == "off" && r.hasHappened("DriftDetected") {
				t.Error("drift was reported though it is off")
			}

			t.Log("an operator's word counts all the same")
			if restart := r.agent.CLI("restart", r.stack.Name); restart.Code != 0 {
				t.Fatalf("restart ends with %d: %s%s", restart.Code, restart.Stdout, restart.Stderr)
			}
			r.waitCommit(commit)
			r.stack.RequireReplicas("web", 1)
		})
	}
}
