package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// fleetFile is a stack of three services.
func fleetFile(name string, images map[string]testbed.Image) string {
	content := "name: " + name + "\nservices:\n"
	for _, service := range []string{"web", "api", "job"} {
		content += fmt.Sprintf("  %s:\n    image: %s\n    pull_policy: never\n    stop_grace_period: 2s\n"+
			"    x-davit: {stable_for: 0s, monitor: 0s, standby: {for: 0s}}\n", service, images[service].Ref)
	}
	return content
}

// One commit that touches one service of sixty replaces that service alone.
func TestOneChangeAmongTwentyStacksReplacesOneService(t *testing.T) {
	t.Parallel()
	const count = 20
	i := newIsland(t, "fleet")
	i.agent.Patience = 5 * time.Minute
	app := nimble("1")
	app.NoHealthcheck = true
	old := i.bed.Load("app:1", app)
	app.Version = "2"
	fresh := i.bed.Load("app:2", app)

	images := map[string]testbed.Image{"web": old, "api": old, "job": old}
	files := map[string]string{}
	var stacks []*testbed.Stack
	for n := range count {
		s := i.bed.Stack(fmt.Sprintf("fleet%02d", n))
		stacks = append(stacks, s)
		files[s.Name+"/compose.yaml"] = fleetFile(s.Name, images)
	}
	begun := time.Now()
	commit := i.repo.Release("", files)
	i.agent.Start()
	i.allSynced(commit, stacks)
	t.Logf("first deploy of %d stacks of 3 services: %s", count, time.Since(begun).Round(10*time.Millisecond))

	before := lives(stacks...)
	if len(before) != 3*count {
		t.Fatalf("%d containers run, want %d", len(before), 3*count)
	}
	changed := stacks[count/2]
	gone := changed.Only("api")
	images["api"] = fresh
	begun = time.Now()
	commit = i.repo.Release("", map[string]string{changed.Name + "/compose.yaml": fleetFile(changed.Name, images)})
	i.agent.Signal(syscall.SIGHUP)
	i.allSynced(commit, stacks)
	t.Logf("one service of %d replaced: %s", 3*count, time.Since(begun).Round(10*time.Millisecond))

	if c := changed.Only("api"); !fresh.Is(c.ImageID) {
		t.Errorf("%s runs image %s, want %s", c.Name, c.ImageID, fresh.ID)
	}
	after := lives(stacks...)
	if len(after) != 3*count {
		t.Errorf("%d containers run, want %d", len(after), 3*count)
	}
	for l, name := range before {
		_, same := after[l]
		if same == (l.id == gone.ID) {
			t.Errorf("container %s of %s: runs on = %v", l.id[:12], name, same)
		}
	}
}

// allSynced waits until every stack runs what the commit declares.
func (i *island) allSynced(commit string, stacks []*testbed.Stack) {
	i.t.Helper()
	for _, s := range stacks {
		i.agent.WaitStatus(s.Name, "commit "+commit[:7]+" synced and healthy", func(st testbed.Status) bool {
			return st.Sync == "synced" && st.Health == "healthy" && st.Revision == "main@sha1:"+commit
		})
	}
}
