package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// TestRolloutsOnARealEngine is a cell of the table of docs/rollouts.md for each failure,
// with short timings, under load.
func TestRolloutsOnARealEngine(t *testing.T) {
	t.Parallel()
	const (
		rolling   = "monitor: 6s"
		stopFirst = rolling + `, order: stop-first, ports: {"8080": {via: edge, park: 1m}}`
		judged    = rolling + ", analysis: {interval: 1s, metrics: [error_rate: {}, restarts: {}]}"
		canary    = rolling + ", strategy: canary, canary: {steps: [{weight: 5, hold: 4s}, {weight: 30, hold: 8s}], " +
			"analysis: {interval: 1s, metrics: [error_rate: {}, p99: {}, restarts: {}, oom_kills: {}]}}"
	)
	for name, c := range map[string]cell{
		"rolling, image missing":             {davit: rolling, ends: "waiting"},
		"stop-first, never healthy":          {davit: stopFirst, app: flawed("HEALTH", "never"), ends: "failed"},
		"rolling, unhealthy after the shift": {davit: rolling, app: flawed("UNHEALTHY_AFTER", "4s"), ends: "failed", lost: 1},
		"canary, 20 % errors":                {davit: canary, app: flawed("ERRORS", "20", "ERRORS_FROM", "100"), ends: "failed", lost: 0.3},
		"rolling and judged, 20 % errors":    {davit: judged, app: flawed("ERRORS", "20"), ends: "failed", lost: 0.25},
		"canary, p99 doubled":                {davit: canary, app: flawed("DELAY", "1s"), ends: "failed"},
		"canary, OOM at load":                {davit: canary, app: flawed("OOM_AT", "150"), ends: "failed", lost: 0.3},
		"rolling, hook fails":                {davit: rolling + ", hooks: {pre_deploy: [{run: [/app, migrate], timeout: 1m}]}", app: flawed("EXIT_CODE", "3"), ends: "failed"},
		"canary, agent killed":               {davit: canary, app: flawed(), ends: "succeeded", strikes: (*rollout).killAgent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRollout(t, "rollout", "--edge", "on")
			r.settle("1.0", testbed.App{Env: map[string]string{"DELAY": "40ms"}}, c.davit)
			r.meets(c)
		})
	}
}

// cell is what goes wrong with a release that goes in like that, and how it ends.
type cell struct {
	davit string
	// app is the new release's, nil for an image that is not there.
	app *testbed.App
	// strikes happens once its first container runs.
	strikes func(*rollout)
	// ends is "waiting", "failed" or "succeeded". Lost is the share of the requests that
	// may fail until then; of 0 none does.
	ends string
	lost float64
}

// flawed is an app as quick as the others, with more in its environment.
func flawed(environment ...string) *testbed.App {
	env := map[string]string{"DELAY": "40ms"}
	for i := 0; i < len(environment); i += 2 {
		env[environment[i]] = environment[i+1]
	}
	return &testbed.App{Env: env}
}

// rollout is a rig with one service at a port of the edge, and a crowd in front of it.
type rollout struct {
	*rig
	port  int
	crowd *testbed.Crowd
}

func newRollout(t *testing.T, name string, args ...string) *rollout {
	t.Helper()
	bed := testbed.New(t)
	r := &rollout{rig: &rig{T: t, bed: bed, stack: bed.Stack(name), repo: bed.Repo(name), versions: map[string]string{}}, port: bed.UnusedPort()}
	r.agent = bed.NewAgent(testbed.Run{Repo: r.repo.URL, Args: append([]string{"--branch", "main"}, args...)})
	return r
}

// declare commits a version of the service, and returns the commit.
func (r *rollout) declare(image testbed.Image, davit string) string {
	r.Helper()
	return r.push("", service("web", image, "restart: unless-stopped", "mem_limit: 96m",
		fmt.Sprintf(`ports: ["127.0.0.1:%d:8080"]`, r.port), "x-davit: {"+davit+"}"))
}

// settle deploys the first version, and has a crowd ask for it.
func (r *rollout) settle(version string, app testbed.App, davit string) {
	r.Helper()
	commit := r.declare(r.image("web", version, app), davit)
	r.agent.Start()
	r.waitSucceeded(commit)
	r.crowd = r.bed.Crowd(fmt.Sprintf("http://127.0.0.1:%d/", r.port), 16)
	r.answers(version)
}

// answers waits until a version, and no other, has answered a while.
func (r *rollout) answers(version string) {
	r.Helper()
	r.eventually(version+" alone to answer", func() bool {
		before := r.crowd.Tally()
		time.Sleep(500 * time.Millisecond) // of requests
		now := r.crowd.Tally()
		n := now.Versions[version] - before.Versions[version]
		return n > 20 && n >= now.Total-before.Total-now.Failed+before.Failed
	})
}

// meets has the second version go in and fail as the cell says.
func (r *rollout) meets(c cell) {
	r.Helper()
	before := r.crowd.Tally()
	image := testbed.Image{Ref: r.bed.Ref("web:1.1")}
	if c.app != nil {
		image = r.image("web", "1.1", *c.app)
	}
	commit := r.declare(image, c.davit)
	r.poll()
	if c.strikes != nil {
		r.eventually("the new release to run", func() bool { return len(r.stack.Running("web")) > 1 })
		c.strikes(r)
	}
	switch c.ends {
	case "waiting":
		r.agent.WaitSync(r.stack.Name, "waiting")
		r.answers("1.0")
	case "failed":
		reason := r.failed(commit)
		r.answers("1.0")
		r.Logf("failed: %s", reason)
	case "succeeded":
		r.waitSucceeded(commit)
		r.answers("1.1")
	}
	r.stack.RequireReplicas("web", 1)
	r.lost(before, c.lost)
}

// failed waits until the release of a commit has failed and been rolled back, and returns
// why.
func (r *rollout) failed(commit string) string {
	r.Helper()
	x := r.agent.WaitRelease(r.stack.Name, "the release of "+commit[:7]+" to fail", func(x testbed.Release) bool {
		return x.Commit == commit && x.Outcome == "failed"
	})
	r.agent.WaitRelease(r.stack.Name, "its rollback", func(y testbed.Release) bool {
		return y.Kind == "auto-rollback" && y.RollbackOf == x.Seq && y.Outcome == "succeeded"
	})
	r.agent.WaitSync(r.stack.Name, "held")
	return x.Reason
}

// lost makes sure that no more than a share of the requests since then has failed.
func (r *rollout) lost(before testbed.Tally, share float64) {
	r.Helper()
	now := r.crowd.Stop()
	total, failed := now.Total-before.Total, now.Failed-before.Failed
	r.Logf("%d of %d requests failed", failed, total)
	if float64(failed) > share*float64(total) || failed == 0 && share > 0 {
		r.Errorf("%d of %d requests failed, at most %v of them may: %v", failed, total, share, now.Errors)
	}
}

// killAgent kills the agent, and starts another one.
func (r *rollout) killAgent() {
	r.agent.Kill()
	r.answers("1.0") // nobody needs an agent
	r.agent.Start()
}

// TestAnEngineThatRestartsInMidRolloutLosesNoMoreThanItsTime is the cell of a failure for
// which it takes an engine of one's own: it comes while new replicas start, and while a
// canary is held, for which an engine that ends its containers is no reason to go back.
func TestAnEngineThatRestartsInMidRolloutLosesNoMoreThanItsTime(t *testing.T) {
	t.Parallel()
	q := newTerminal(t, "restarts", 1)
	v := q.visit()
	v.more(20)
	q.restartsAt(v, "s0:2", 3*time.Second, "monitor: 3s", 2)
	q.restartsAt(v, "s0:3", 0, "monitor: 3s, strategy: canary, canary: {steps: [{weight: 50, hold: 20s}], "+
		"analysis: {interval: 1s, metrics: [error_rate: {max: 90%}, restarts: {}, oom_kills: {}]}}", 3)
	v.strict.Store(true)
	v.more(20)
	v.end()
}

// restartsAt has another image go in, and the engine restart once so many replicas run and
// one of them is new.
func (q *terminal) restartsAt(v *visitors, name string, warm time.Duration, davit string, ready int) {
	q.t.Helper()
	image := q.bed.Load(name, testbed.App{Version: "s0", HealthyAfter: warm, Env: map[string]string{"STOP": "exit", "NAME": name}})
	refused := v.refused.Load()
	commit := q.push(part{"s0", image, []string{"restart: unless-stopped", "deploy: {replicas: 2}",
		fmt.Sprintf(`ports: ["%d:8080"]`, q.ports["s0"]), "x-davit: {" + davit + "}"}})
	await(q.t, "the rollout to have begun", func() (bool, string) {
		running := q.stack.Running("s0")
		able := 0
		for _, c := range running {
			if c.Ready() {
				able++
			}
		}
		return len(running) > 2 && able >= ready, fmt.Sprint(running)
	})
	began := time.Now()
	q.engine.Stop()
	q.engine.Start()
	v.more(1)
	away := time.Since(began)
	q.deployed(commit)
	for _, c := range q.stack.Running("s0") {
		if !image.Is(c.ImageID) {
			q.t.Errorf("%s runs what was before", c.Name)
		}
	}
	// Each of two visitors asks a hundred times a second at most.
	refused = v.refused.Load() - refused
	if most := int64(2 * away / (10 * time.Millisecond)); refused > most {
		q.t.Errorf("%s: %d requests were refused in the %s that it took", name, refused, away)
	}
	q.t.Logf("%s: %d requests were refused in %s", name, refused, away.Round(time.Millisecond))
}

// fivePercent is the canary of 5, 30 and 100 percent that the tests below have.
func fivePercent(metrics string) string {
	return "monitor: 3s, strategy: canary, canary: {steps: [{weight: 5, hold: 4s}, {weight: 30, hold: 4s}, {weight: 100}], analysis: {interval: 1s, metrics: " + metrics + "}}"
}

// promotesTheGoodAndStopsTheBad: a good release gets everything, and a bad one never more
// than 5 percent.
func (r *rollout) promotesTheGoodAndStopsTheBad(davit, reason string) {
	r.Helper()
	r.settle("1.0", testbed.App{}, davit)
	commit := r.declare(r.image("web", "1.1", testbed.App{}), davit)
	r.poll()
	r.waitSucceeded(commit)
	r.answers("1.1")
	if tally := r.crowd.Tally(); tally.Failed > 0 {
		r.Errorf("%d requests failed while nothing was wrong: %v", tally.Failed, tally.Errors)
	}

	before := r.crowd.Tally()
	bad := r.image("web", "1.2", testbed.App{Env: map[string]string{"ERRORS": "50"}})
	commit = r.declare(bad, davit)
	r.poll()
	why := r.failed(commit)
	if !strings.Contains(why, reason) || !strings.Contains(why, ", at canary step 1 of 3") {
		r.Errorf("it failed since %q, want %q at step 1 of 3", why, reason)
	}
	r.answers("1.1")
	now := r.crowd.Stop()
	total, failed, handed := now.Total-before.Total, now.Failed-before.Failed, now.Versions["1.2"]
	if failed == 0 || 20*(failed+handed) > total+20 {
		r.Errorf("of %d requests %d failed and %d were answered by the bad release", total, failed, handed)
	}
	r.Logf("%q; of %d requests %d failed", why, total, failed)
}

func TestACanaryIsJudgedByWhatTheEdgeCounts(t *testing.T) {
	t.Parallel()
	newRollout(t, "counted", "--edge", "on").promotesTheGoodAndStopsTheBad(fivePercent("[error_rate: {}, restarts: {}]"), "error rate ")
}
