package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// loseDatabase deletes the record of an agent that does not run.
func (r *rig) loseDatabase() {
	r.Helper()
	files, err := filepath.Glob(filepath.Join(r.agent.Data, "state.db*"))
	if err != nil || len(files) == 0 {
		r.Fatalf("no database in %s: %v", r.agent.Data, err)
	}
	for _, file := range files {
		if err := os.RemoveAll(file); err != nil {
			r.Fatal(err)
		}
	}
}

func TestALostDatabaseChangesNoContainer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lost")
	first := r.pair("1.0")
	commit := r.push("v1.0.0", first...)
	r.agent.Start()
	r.waitCommit(commit)
	r.waitQuiet()
	recorded := r.waitSucceeded(commit)
	check, all := untouched(t, r.stack), ids(r.stack.Containers())

	r.agent.Kill()
	r.loseDatabase()
	r.proxy.Forget()
	r.agent.Start()
	r.waitCommit(commit)
	r.waitQuiet()
	check()
	if now := ids(r.stack.Containers()); !slices.Equal(now, all) {
		t.Errorf("containers were %v and are %v", all, now)
	}
	if calls := r.proxy.Mutations(); len(calls) > 0 {
		t.Errorf("a lost database made the agent change the engine: %v", calls)
	}

	// From here on it works as if nothing had been lost.
	next := r.push("v1.1.0", r.pair("1.1")...)
	r.poll()
	r.waitCommit(next)
	r.stack.RequireReplicas("web", 2)
	r.bed.Push("web:1.0", testbed.App{Version: "an impostor"})
	back := r.repo.Revert(1)
	r.repo.Push()
	r.poll()
	r.waitCommit(back)
	r.stack.RequireReplicas("web", 2)
	for _, c := range r.stack.Running("web") {
		if want := recorded.Service("web").ImageID; c.ImageID != want {
			t.Errorf("after the revert %s runs %s, want %s as before the loss", c.Name, c.ImageID, want)
		}
	}
	if release := r.waitSucceeded(back); release.Kind != "rollback" {
		t.Errorf("the revert is a %s, want a rollback", release.Kind)
	}
}

func TestADatabaseLostInMidRolloutConverges(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lost-mid")
	round := 0
	declare := func() string {
		round++
		return r.push("", service("web", r.image("web", fmt.Sprintf("1.%d", round), quick()), "restart: always",
			"x-davit: {monitor: 0s, standby: {for: 0s}}"))
	}
	commit := declare()
	r.agent.Start()
	r.waitCommit(commit)
	watch := r.stack.Mark()
	points := []int{3, 4, 6, 8} // create, start, connect, the old one's policy
	if *soak {
		points = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	}
	for _, n := range points {
		killed := make(chan struct{})
		r.proxy.Arm(n, testbed.After, func() {
			r.agent.Kill()
			close(killed)
		})
		commit = declare()
		r.poll()
		select {
		case <-killed:
		case <-time.After(r.agent.Patience):
			t.Fatalf("the rollout made no %dth mutating request", n)
		}
		call, _ := r.proxy.Disarm()
		r.loseDatabase()
		r.agent.Start()
		r.waitCommit(commit)
		want := fmt.Sprintf("web 1.%d, healthy as web, restart always", round)
		r.eventually("one container after the loss at "+call.String(), func() bool {
			all := r.stack.Containers()
			return len(all) == 1 && r.line(all[0]) == want
		})
	}
	watch.RequireMinReady("web", 1)
}

// slow is an app whose rollout leaves time to do something meanwhile.
func slow() testbed.App { return testbed.App{HealthyAfter: 3 * time.Second} }

// midRollout deploys and then pushes a slow second release; it returns when the
// new container of that runs.
func (r *rig) midRollout() (commit string) {
	r.Helper()
	web := func(image testbed.Image) string {
		return service("web", image, "restart: always", "x-davit: {monitor: 0s, standby: {for: 0s}}")
	}
	commit = r.push("", web(r.image("web", "1.0", quick())))
	r.agent.Start()
	r.waitCommit(commit)
	commit = r.push("", web(r.image("web", "1.1", slow())))
	r.poll()
	r.eventually("the new container", func() bool { return len(r.stack.Running("web")) == 2 })
	return commit
}

// checkResumed makes sure that the rollout was finished with the container that it
// had begun with.
func (r *rig) checkResumed(commit string, watch *testbed.Watch) {
	r.Helper()
	r.waitCommit(commit)
	r.waitQuiet()
	if starts := watch.Starts("web"); starts > 0 {
		r.Errorf("%d more containers were started to finish what was begun", starts)
	}
	watch.RequireMinReady("web", 1)
	r.stack.Examined("web")
	all := r.stack.Containers("web")
	if len(all) != 1 || r.line(all[0]) != "web 1.1, healthy as web, restart always" {
		r.Errorf("in the end there are %v", all)
	}
	r.checkHistory()
}

func TestTerminatedInMidRolloutAnAgentEndsSoonAndResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, "term")
	commit := r.midRollout()
	watch := r.stack.Mark()
	from := time.Now()
	if code := r.agent.Stop(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	if took := time.Since(from); took > 20*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if newest := r.agent.History(r.stack.Name)[0]; newest.Outcome != "interrupted" || newest.Commit != commit {
		t.Errorf("the release that was under way is recorded as %s", newest)
	}
	r.agent.Start()
	r.checkResumed(commit, watch)
}

func TestKilledInMidRolloutAnAgentResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, "shot")
	commit := r.midRollout()
	watch := r.stack.Mark()
	r.agent.Kill()
	r.agent.Start()
	r.checkResumed(commit, watch)
}

func TestASecondAgentOnADataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "twice")
	commit := r.push("", service("web", r.image("web", "1.0", quick()), "x-davit: {monitor: 0s}"))
	r.agent.Start()
	r.waitCommit(commit)
	check := untouched(t, r.stack)
	second := r.bed.NewAgent(testbed.Run{Repo: r.repo.URL, Data: r.agent.Data})
	second.Start()
	if code := second.Wait(30 * time.Second); code != 1 {
		t.Errorf("exit code = %d, want 1", code)
	}
	for _, word := range []string{"data directory in use by another davit (pid ", r.agent.Data, "--data"} {
		if !strings.Contains(second.Log(), word) {
			t.Errorf("it does not say %q:\n%s", word, second.Log())
		}
	}
	r.waitPolls(2)
	check()
	if !r.agent.Running() {
		t.Error("the first agent ended")
	}
}

func TestExitCodesSayHowAReleaseEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, "codes")
	web := func(version string, app testbed.App) string {
		return service("web", r.image("web", version, app), "x-davit: {monitor: 0s}")
	}
	expect := func(code int, word string, args ...string) {
		t.Helper()
		answer := r.agent.CLI(args...)
		if answer.Code != code || !strings.Contains(answer.Stdout+answer.Stderr, word) {
			t.Errorf("davit %s = %d, want %d and %q\n%s%s", strings.Join(args, " "), answer.Code, code, word, answer.Stdout, answer.Stderr)
		}
	}
	stack := r.stack.Name
	good := r.push("v1.0.0", web("1.0", quick()))
	r.agent.Start()
	r.eventually("an agent that answers", func() bool { return !strings.Contains(r.agent.CLI("status").Stderr, "no agent is running") })
	expect(0, "", "wait", stack, "--commit", good, "--timeout", "1m")
	expect(0, "", "wait", stack, "--version", "v1.0.0", "--timeout", "1m")
	expect(0, "synced", "status", "--check")
	expect(3, "", "wait", stack, "--commit", "0123456789", "--timeout", "1s")

	bad := r.push("v1.1.0", web("1.1", testbed.App{HealthEvery: 200 * time.Millisecond, Env: map[string]string{"HEALTH": "never"}}))
	r.poll()
	expect(1, "failed", "wait", stack, "--commit", bad, "--timeout", "1m")
	r.agent.WaitSync(stack, "held")
	expect(1, "held", "status", "--check")
	expect(1, "held", "apply", stack, "--timeout", "1m")

	fix := r.push("v1.2.0", web("1.2", quick()))
	expect(0, "", "apply", stack, "--timeout", "1m")
	expect(0, "", "wait", stack, "--commit", fix[:10], "--timeout", "1m")
	expect(0, "v1.2.0", "status", "--check")
}
