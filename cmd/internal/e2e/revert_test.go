package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// cutOff is a stack with two good releases, v1.0.0 and v1.1.0, whose first image
// can no longer be had by its name: the tag means something else, in the registry
// and in the engine, and the registry is gone.
type cutOff struct {
	*rig
	one, two testbed.Image
	// first and second are their releases.
	first, second testbed.Release
}

func newCutOff(t *testing.T, name string) *cutOff {
	t.Helper()
	c := &cutOff{rig: newRig(t, name)}
	// The time to become healthy leaves some to cut the Git server off.
	app := testbed.App{HealthyAfter: time.Second}
	web := func(image testbed.Image) string { return service("web", image, "x-davit: {monitor: 0s}") }
	c.one, c.two = c.image("web", "1.0", app), c.image("web", "1.1", app)
	commit := c.push("v1.0.0", web(c.one))
	c.agent.Start()
	c.waitCommit(commit)
	c.first = c.waitSucceeded(commit)
	commit = c.push("v1.1.0", web(c.two))
	c.poll()
	c.waitCommit(commit)
	c.second = c.waitSucceeded(commit)

	moved := c.bed.Push("web:1.0", testbed.App{Version: "an impostor"})
	// Another service pulls what the tag means now.
	commit = c.push("v1.2.0", web(c.two), service("other", moved, "x-davit: {monitor: 0s}"))
	c.poll()
	c.waitCommit(commit)
	if id, err := c.bed.Engine.ImageID(t.Context(), c.one.Ref); err != nil || !moved.Is(id) {
		t.Fatalf("the engine takes %s for %s, %v; the impostor is %s", c.one.Ref, id, err, moved.ID)
	}
	c.bed.Registry.Stop()
	return c
}

// revert takes two commits back and stops the Git server as soon as that was
// fetched. It returns the release that came of it.
func (c *cutOff) revert() testbed.Release {
	c.Helper()
	commit := c.repo.Revert(2)
	c.repo.Push()
	c.poll()
	c.eventually("the fetch of "+commit[:7], func() bool { return strings.Contains(c.agent.Log(), "main@sha1:"+commit[:7]) })
	c.bed.Git.Stop()
	stopped := time.Now()
	release := c.waitSucceeded(commit)
	if release.Finished.Before(stopped) {
		c.Errorf("the release ended at %s, before Git was stopped at %s", release.Finished, stopped)
	}
	return release
}

// checkRuns makes sure that web runs exactly what a release recorded.
func (r *rig) checkRuns(release testbed.Release, image testbed.Image) {
	r.Helper()
	r.stack.Examined("web")
	now := r.stack.Only("web")
	if recorded := release.Service("web").ImageID; now.ImageID != recorded || !image.Is(recorded) {
		r.Errorf("web runs image %s; release #%d recorded %s, which was built as %s", now.ImageID, release.Seq, recorded, image.ID)
	}
	if !now.Ready() {
		r.Errorf("web is not ready: %s", now)
	}
}

func TestARevertNeedsNeitherGitNorARegistryNorATag(t *testing.T) {
	t.Parallel()
	for name, standby := range map[string]bool{"to its standby": true, "without a standby": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCutOff(t, "revert")
			if !standby {
				c.removeStopped()
			}
			before := ids(c.stack.Containers("web"))
			watch := c.stack.Mark()
			release := c.revert()
			if release.Kind != "rollback" || release.Restores != c.first.Seq {
				t.Errorf("release = %s, restores #%d; want a rollback that restores #%d", release, release.Restores, c.first.Seq)
			}
			c.checkRuns(c.first, c.one)
			if got := release.Service("web").ImageID; got != c.first.Service("web").ImageID {
				t.Errorf("the rollback recorded image %s, the release that it restores %s", got, c.first.Service("web").ImageID)
			}
			watch.RequireMinReady("web", 1)
			if kept := slices.Contains(before, c.stack.Only("web").ID); kept != standby {
				t.Errorf("web runs in a container that was there before: %v, want %v", kept, standby)
			}
		})
	}
}

// removeStopped takes the standbys away.
func (r *rig) removeStopped() {
	r.Helper()
	gone := 0
	for _, c := range r.stack.Containers() {
		if !c.Running {
			gone++
			if err := r.bed.Engine.RemoveContainer(r.Context(), c.ID); err != nil {
				r.Fatal(err)
			}
		}
	}
	if gone == 0 {
		r.Fatal("there was no standby")
	}
}

func TestAnOperatorRollsBackWithGitAndTheRegistryDown(t *testing.T) {
	t.Parallel()
	c := newCutOff(t, "byhand")
	c.removeStopped()
	c.bed.Git.Stop()
	watch := c.stack.Mark()
	if back := c.agent.CLI("rollback", c.stack.Name, "--to", "v1.0.0"); back.Code != 0 {
		t.Fatalf("rollback = %d: %s%s", back.Code, back.Stdout, back.Stderr)
	}
	c.checkRuns(c.first, c.one)
	watch.RequireMinReady("web", 1)
	newest := c.agent.History(c.stack.Name)[0]
	if newest.Kind != "manual-rollback" || newest.Outcome != "succeeded" || newest.Restores != c.first.Seq {
		t.Errorf("newest release = %s, restores #%d; want a manual-rollback that restores #%d", newest, newest.Restores, c.first.Seq)
	}

	// The pin outlives the agent and Git's return, until it is taken off.
	c.agent.Kill()
	c.bed.Git.Start()
	c.agent.Start()
	c.agent.WaitSync(c.stack.Name, "pinned")
	c.waitPolls(4)
	c.checkRuns(c.first, c.one)
	if unpin := c.agent.CLI("unpin", c.stack.Name); unpin.Code != 0 {
		t.Fatalf("unpin = %d: %s", unpin.Code, unpin.Stderr)
	}
	c.waitCommit(c.repo.Head())
	c.checkRuns(c.second, c.two)
}
