package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// newYard is a rig on whose host images may be built.
func newYard(t *testing.T, stack string) *rig {
	t.Helper()
	r := newRig(t, stack)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("rules: {build: true}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.agent = r.bed.NewAgent(testbed.Run{Repo: r.repo.URL, Engine: r.proxy.Host, Args: []string{"--branch", "main", "--policy", policy}})
	return r
}

// pushBuilt commits a service web that is built from base and one file.
func (r *rig) pushBuilt(tag string, base testbed.Image, content string) string {
	r.Helper()
	return r.repo.Release(tag, map[string]string{
		"compose.yaml":   "name: " + r.stack.Name + "\nservices:\n  web:\n    build: {context: web, args: {COLOUR: blue}}\n    restart: always\n    x-davit: {monitor: 0s}\n",
		"web/Dockerfile": "FROM " + base.Ref + "\nARG COLOUR\nENV COLOUR=$COLOUR\nCOPY content /data/content\n",
		"web/content":    content, "web/README": tag, "web/.dockerignore": "README\n",
	})
}

// builds counts how often the engine was sent a build.
func (r *rig) builds() int {
	n := 0
	for _, c := range r.proxy.Calls() {
		if c.Method == "POST" && strings.HasSuffix(c.Path, "/build") {
			n++
		}
	}
	return n
}

func TestAServiceIsBuiltFromItsCommitOnce(t *testing.T) {
	t.Parallel()
	r := newYard(t, "yard")
	base := r.image("base", "1.0", quick())
	commit := r.pushBuilt("v1.0.0", base, "one")
	r.agent.Start()
	r.waitCommit(commit)
	first := r.stack.Only("web")
	if first.ImageRef != r.stack.Name+"-web" {
		t.Errorf("the container's image is called %s, want what Compose would call it", first.ImageRef)
	}
	r.holdsContent(first, "one")

	// A commit that changes nothing of the context builds nothing, nor does a restart.
	commit = r.pushBuilt("v1.0.1", base, "one")
	r.poll()
	r.waitCommit(commit)
	r.agent.Stop()
	r.agent.Start()
	r.waitCommit(commit)
	if now := r.stack.Only("web"); now.ID != first.ID || r.builds() != 1 {
		t.Errorf("%d builds; container %s became %s", r.builds(), first.ID[:12], now.ID[:12])
	}

	commit = r.pushBuilt("v1.1.0", base, "two")
	r.poll()
	r.waitCommit(commit)
	second := r.running("web")
	r.holdsContent(second, "two")
	if second.ImageID == first.ImageID || r.builds() != 2 {
		t.Errorf("%d builds; image %s as before", r.builds(), second.ImageID)
	}

	// The revert finds what was built, though the file is there again as it was.
	commit = r.pushBuilt("v1.1.1", base, "one")
	r.poll()
	r.waitCommit(commit)
	if now := r.running("web"); now.ImageID != first.ImageID || r.builds() != 2 {
		t.Errorf("%d builds; image %s, want %s again", r.builds(), now.ImageID, first.ImageID)
	}
	r.waitRelease("rollback")
}

// running is the one container of the service that runs.
func (r *rig) running(service string) testbed.Container {
	r.Helper()
	for _, c := range r.stack.Containers(service) {
		if c.Running {
			return c
		}
	}
	r.Fatalf("no container of %s runs", service)
	return testbed.Container{}
}

func (r *rig) holdsContent(c testbed.Container, want string) {
	r.Helper()
	got, err := r.bed.Engine.ReadFile(r.Context(), c.ID, "/data/content")
	if err != nil || got != want {
		r.Errorf("%s holds %q, want %q (%v)", c.Name, got, want, err)
	}
}

func (r *rig) waitRelease(kind string) {
	r.Helper()
	r.agent.WaitRelease(r.stack.Name, "a "+kind, func(x testbed.Release) bool { return x.Kind == kind && x.Outcome == "succeeded" })
}

func TestABrokenDockerfileLeavesWhatRuns(t *testing.T) {
	t.Parallel()
	r := newYard(t, "broken")
	base := r.image("base", "1.0", quick())
	commit := r.pushBuilt("v1.0.0", base, "one")
	r.agent.Start()
	r.waitCommit(commit)
	before := r.stack.Only("web")
	broken := base
	broken.Ref += "\nRUN [\"/app\", \"nonsense\"]"
	r.pushBuilt("v1.1.0", broken, "two")
	r.poll()
	s := r.agent.WaitSync(r.stack.Name, "stalled")
	if !strings.Contains(s.LastError, "nonsense") || !strings.Contains(s.LastError, "it printed last: ") {
		t.Errorf("status does not say why: %q", s.LastError)
	}
	if now := r.stack.Only("web"); now.ID != before.ID || !now.Running {
		t.Errorf("%s became %s", before.ID[:12], now.ID[:12])
	}
	plan := r.agent.CLI("plan")
	if !strings.Contains(plan.Stdout, "build   web    context changed") {
		t.Errorf("plan = %d\n%s%s", plan.Code, plan.Stdout, plan.Stderr)
	}
}

func TestWithoutAPolicyNothingIsBuilt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "unbuilt")
	r.pushBuilt("v1.0.0", r.image("base", "1.0", quick()), "one")
	r.agent.Start()
	s := r.agent.WaitSync(r.stack.Name, "stalled")
	if !strings.Contains(s.WaitingFor+s.LastError, "policy: build") || r.builds() > 0 {
		t.Errorf("%d builds; status says %q, %q", r.builds(), s.WaitingFor, s.LastError)
	}
}

func TestATagThatMovesIsFollowedWhereTheFileAsksForIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "tags")
	moving, still := r.image("web", "1.0", quick()), r.image("api", "1.0", quick())
	commit := r.push("v1.0.0",
		service("web", moving, "pull_policy: every_2s", "restart: always", "x-davit: {monitor: 0s}"),
		service("api", still, "restart: always", "x-davit: {monitor: 0s}"))
	r.agent.Start()
	r.waitCommit(commit)
	api := r.stack.Only("api")
	r.waitQuiet()
	r.proxy.Forget()
	r.waitPolls(4)
	if calls := r.proxy.Mutations(); len(calls) > 0 {
		t.Errorf("a tag that stays changes something: %v", calls)
	}

	app := quick()
	app.Version = "1.0.1"
	moved, left := r.bed.Push("web:1.0", app), app
	left.Version = "1.0.2"
	r.bed.Push("api:1.0", left)
	release := r.agent.WaitRelease(r.stack.Name, "a release for the image", func(x testbed.Release) bool {
		return x.Trigger == "image" && x.Outcome == "succeeded"
	})
	if !strings.HasPrefix(release.Reason, "image changed behind tag") || !moved.Is(release.Service("web").ImageID) || release.Commit != commit {
		t.Errorf("release %s of %s, web is %s", release, release.Commit, release.Service("web").ImageID)
	}
	if now := r.running("web"); !moved.Is(now.ImageID) {
		t.Errorf("web runs %s, want %s", now.ImageID, moved.ID)
	}
	if now := r.stack.Only("api"); now.ID != api.ID {
		t.Error("a service that did not ask for it follows its tag")
	}
}
