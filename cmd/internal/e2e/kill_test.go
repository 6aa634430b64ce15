package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// The tests in this file drive one long-lived stack from release to release. In
// every round the agent is killed with SIGKILL at another instant: before the
// engine hears of the round's n-th mutating request, or after it carried it out
// and before the agent learns. Then the agent is started again, and what it makes
// of the remains must equal, line by line, what a round without interruption
// leaves. The rounds end when one has fewer than n such requests.

// keptReleases is how many good contents keep their images.
const keptReleases = 3

// course is a kind of release whose every instant is tried.
type course struct {
	*rig
	// declare pushes the content of a round and returns the commit.
	declare func(round int) string
	// outcome is what the engine has in the end.
	outcome func(round int) []string
	// settled waits until the agent says that the round is over.
	settled func(commit string)
	// between, if set, runs without interruption before a round.
	between func(round int)

	round int
	// made are the mutating requests of the last round, struck those at which the
	// agent died, by the side of them.
	made   []string
	struck map[testbed.Moment][]string
}

// cover tries every instant of the course.
func (c *course) cover() {
	c.Helper()
	c.struck = map[testbed.Moment][]string{}
	c.run(0, testbed.Before) // nothing is struck: the measure of the others
	measure := c.made
	points := 0
	for _, moment := range []testbed.Moment{testbed.Before, testbed.After} {
		for c.run(len(c.struck[moment])+1, moment) {
			// An agent that died before it let go of an image does so after the
			// next release, which must be no measured one.
			if !slices.Equal(c.shape(), c.outcome(c.round)) {
				c.run(0, moment)
			}
		}
		points += len(c.struck[moment])
		if got := slices.Sorted(slices.Values(c.struck[moment])); !slices.Equal(got, slices.Sorted(slices.Values(measure))) {
			c.Errorf("struck %s\n  %s\nwant every request of a round without interruption\n  %s", moment,
				strings.Join(c.struck[moment], "\n  "), strings.Join(measure, "\n  "))
		}
	}
	c.Logf("covered %d points, before and after each of\n  %s", points, strings.Join(measure, "\n  "))
	fmt.Printf("covered %d points: %s\n", points, c.Name())
}

// run is one round. It reports whether the agent was killed in it.
func (c *course) run(n int, moment testbed.Moment) bool {
	c.Helper()
	if c.between != nil {
		c.between(c.round)
	}
	c.round++
	c.proxy.Forget()
	killed := make(chan struct{})
	if n > 0 {
		c.proxy.Arm(n, moment, func() {
			c.agent.Kill()
			close(killed)
		})
	}
	commit := c.declare(c.round)
	c.poll()
	want := c.outcome(c.round)
	c.until(want, killed)
	c.settled(commit)
	call, struck := c.proxy.Disarm()
	if !struck {
		c.made = c.requests()
		if n > 0 && len(c.made) >= n {
			c.Errorf("round %d made %d mutating requests, yet none was the %dth:\n  %s", c.round, len(c.made), n, strings.Join(c.made, "\n  "))
		}
		return false
	}
	// The trap may have been sprung by the very last request.
	<-killed
	c.until(want, killed)
	c.settled(commit)
	c.struck[moment] = append(c.struck[moment], c.anonymous(call))
	return true
}

// until waits until the engine has what is wanted, and brings an agent that was
// killed back to life.
func (c *course) until(want []string, killed <-chan struct{}) {
	c.Helper()
	deadline := time.Now().Add(c.agent.Patience)
	for {
		select {
		case <-killed:
			if !c.agent.Running() {
				c.agent.Start()
			}
			killed = nil
		default:
		}
		got := c.lines()
		if len(got) < len(want) && slices.Equal(got, want[:len(got)]) {
			got = append(got, c.held()...)
		}
		if killed != nil && c.proxy.Struck() {
			// What is wanted may be the doing of the very request that kills.
			<-killed
			continue
		}
		if slices.Equal(got, want) || killed == nil && slices.EqualFunc(got, want, orHoldsMore) {
			return
		}
		if time.Now().After(deadline) {
			call, struck := c.proxy.Disarm()
			got = c.shape()
			c.Fatalf("round %d, killed = %v at %s: the engine has\n  %s\nwant\n  %s\nrequests:\n  %s", c.round, struck, call,
				strings.Join(got, "\n  "), strings.Join(want, "\n  "), strings.Join(c.requests(), "\n  "))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// orHoldsMore is true for equal lines, and for one that holds other images besides.
func orHoldsMore(got, want string) bool {
	name, held, _ := strings.Cut(want, ": ")
	of, more, ok := strings.Cut(got, ": ")
	if !ok || of != name {
		return got == want
	}
	missing := strings.Fields(held)
	for _, version := range strings.Fields(more) {
		if len(missing) > 0 && version == missing[0] {
			missing = missing[1:]
		}
	}
	return len(missing) == 0
}

// requests are the mutating requests of this round.
func (c *course) requests() []string {
	var lines []string
	for _, call := range c.proxy.Mutations() {
		lines = append(lines, c.anonymous(call))
	}
	return lines
}

// anonymous is a call without what differs from round to round.
func (c *course) anonymous(call testbed.Call) string {
	path := release.ReplaceAllString(identity.ReplaceAllString(call.Path, "ID"), ":rN")
	if to := call.Query.Get("repo"); to != "" {
		path += " as " + to
	}
	return call.Method + " " + strings.ReplaceAll(path, c.bed.Name, "BED")
}

var (
	identity = regexp.MustCompile(`(sha256:)?[0-9a-f]{64}`)
	release  = regexp.MustCompile(`:r[0-9]+$`)
)

// start runs the agent and as many rounds as leave a full set of kept releases,
// and waits until what they replaced is cleared away.
func (c *course) start() {
	c.Helper()
	defer func() { c.until(c.outcome(c.round), make(chan struct{})) }()
	for range keptReleases {
		c.round++
		commit := c.declare(c.round)
		if c.agent.Running() {
			c.poll()
		} else {
			c.agent.Start()
		}
		c.waitCommit(commit)
	}
}

// byCommit is settled for content that is to be reached.
func (c *course) byCommit(commit string) {
	c.Helper()
	c.waitCommit(commit)
}

// quick is an app that is soon ready and soon gone.
func quick() testbed.App {
	return testbed.App{HealthEvery: 500 * time.Millisecond, Env: map[string]string{"DRAIN": "0s"}}
}

func TestKillAnywhereInAStartFirstReplacement(t *testing.T) {
	t.Parallel()
	replicas := 1
	if *soak {
		replicas = 3
	}
	c := &course{rig: newRig(t, "kill-web")}
	c.settled = c.byCommit
	c.declare = func(round int) string {
		image := c.image("web", fmt.Sprintf("1.%d", round), quick())
		return c.push("", service("web", image, "restart: always", fmt.Sprintf("deploy: {replicas: %d}", replicas),
			"x-davit: {monitor: 200ms, standby: {for: 0s}}"))
	}
	c.outcome = func(round int) []string {
		var lines []string
		for range replicas {
			lines = append(lines, fmt.Sprintf("web 1.%d, healthy as web, restart always", round))
		}
		return append(lines, fmt.Sprintf("held of web: 1.%d 1.%d 1.%d", round-2, round-1, round))
	}
	c.start()
	watch := c.stack.Mark()
	c.cover()
	watch.RequireMinReady("web", replicas)
	c.checkHistory()
}

func TestKillAnywhereInAStopFirstReplacement(t *testing.T) {
	t.Parallel()
	c := &course{rig: newRig(t, "kill-db")}
	c.settled = c.byCommit
	c.declare = func(round int) string {
		app := quick()
		app.Volume = "/data"
		return c.push("", service("db", c.image("db", fmt.Sprintf("1.%d", round), app), "restart: always",
			"x-davit: {monitor: 200ms, standby: {for: 0s}}"))
	}
	c.outcome = func(round int) []string {
		return []string{
			fmt.Sprintf("db 1.%d, healthy as db, restart always", round),
			fmt.Sprintf("held of db: 1.%d 1.%d 1.%d", round-2, round-1, round),
		}
	}
	c.start()
	data := c.stack.Only("db").Volumes["/data"]
	watch := c.stack.Mark()
	c.cover()
	watch.RequireOneWriter()
	c.checkData("db", data)
	c.checkHistory()
}

// A rollback alternates between two good releases. Its container is created anew
// from the recorded image. The registry is gone.
func TestKillAnywhereInARollbackWithoutAStandby(t *testing.T) {
	t.Parallel()
	c := &course{rig: newRig(t, "kill-back")}
	images := []testbed.Image{c.image("web", "1.0", quick()), c.image("web", "1.1", quick())}
	c.settled = c.byCommit
	c.declare = func(round int) string {
		return c.push("", service("web", images[round%2], "restart: always", "x-davit: {monitor: 0s, standby: {for: 0s}}"))
	}
	c.outcome = func(round int) []string {
		now, before := round%2, 1-round%2
		return []string{
			fmt.Sprintf("web 1.%d, healthy as web, restart always", now),
			fmt.Sprintf("held of web: 1.%d 1.%d", before, now),
		}
	}
	c.start()
	c.bed.Registry.Stop()
	watch := c.stack.Mark()
	c.cover()
	watch.RequireMinReady("web", 1)
	c.checkHistory()
}

// The same of a service that returns to its standby, and must not meet itself on
// its volume.
func TestKillAnywhereInARollbackToAStandby(t *testing.T) {
	t.Parallel()
	c := &course{rig: newRig(t, "kill-standby")}
	app := quick()
	app.Volume = "/data"
	images := []testbed.Image{c.image("db", "1.0", app), c.image("db", "1.1", app)}
	c.settled = c.byCommit
	c.declare = func(round int) string {
		return c.push("", service("db", images[round%2], "restart: always", "x-davit: {monitor: 0s}"))
	}
	c.outcome = func(round int) []string {
		now, before := round%2, 1-round%2
		lines := []string{
			fmt.Sprintf("db 1.%d, exited, restart no", before),
			fmt.Sprintf("db 1.%d, healthy as db, restart always", now),
		}
		slices.Sort(lines)
		return append(lines, fmt.Sprintf("held of db: 1.%d 1.%d", before, now))
	}
	c.start()
	data := c.stack.Only("db").Volumes["/data"]
	c.bed.Registry.Stop()
	watch := c.stack.Mark()
	c.cover()
	watch.RequireOneWriter()
	c.checkData("db", data)
	c.checkHistory()
}

// A stop-first release that fails its gate: the old container has been stopped for
// it and is started again.
func TestKillAnywhereInAFailedReleaseAndItsReturn(t *testing.T) {
	t.Parallel()
	c := &course{rig: newRig(t, "kill-bad")}
	good, kept, bad := "", []string{}, []string{}
	declare := func(version string, env map[string]string) string {
		app := testbed.App{HealthEvery: 200 * time.Millisecond, Volume: "/data", Env: env}
		return c.push("", service("db", c.image("db", version, app), "restart: always", "x-davit: {monitor: 0s, standby: {for: 0s}}"))
	}
	deploy := func(round int) string {
		good = fmt.Sprintf("1.%d", round)
		kept, bad = append(kept, good), nil
		return declare(good, map[string]string{"DRAIN": "0s"})
	}
	c.outcome = func(int) []string {
		lines := []string{"db " + good + ", healthy as db, restart always"}
		for _, version := range bad {
			lines = append(lines, "db "+version+", exited, restart no")
		}
		slices.Sort(lines)
		return append(lines, "held of db: "+strings.Join(kept[len(kept)-keptReleases:], " "))
	}
	c.declare = deploy
	c.start()
	c.between = func(round int) {
		if len(bad) == 5 { // what failed is cleared away by the next success
			commit := deploy(1000 + round)
			c.poll()
			c.waitCommit(commit)
			c.until(c.outcome(round), make(chan struct{}))
		}
	}
	c.declare = func(round int) string {
		bad = append(bad, fmt.Sprintf("2.%d", round))
		return declare(bad[len(bad)-1], map[string]string{"DRAIN": "0s", "HEALTH": "never"})
	}
	c.settled = func(commit string) {
		failed := c.agent.WaitRelease(c.stack.Name, "the release of "+commit[:7]+" to have failed", func(x testbed.Release) bool {
			return x.Commit == commit && x.Outcome == "failed"
		})
		c.agent.WaitRelease(c.stack.Name, fmt.Sprintf("the return from release #%d", failed.Seq), func(x testbed.Release) bool {
			return x.Kind == "auto-rollback" && x.RollbackOf == failed.Seq && x.Outcome == "succeeded"
		})
		c.agent.WaitSync(c.stack.Name, "held")
	}
	data := c.stack.Only("db").Volumes["/data"]
	watch := c.stack.Mark()
	c.cover()
	watch.RequireOneWriter()
	c.checkData("db", data)
	c.checkHistory()
}

// checkData makes sure that a service still writes where it wrote, and that no
// other writer was ever turned away there.
func (r *rig) checkData(service, volume string) {
	r.Helper()
	now := r.stack.Only(service)
	if now.Volumes["/data"] != volume {
		r.Errorf("%s writes to volume %s, its data is in %s", service, now.Volumes["/data"], volume)
	}
	log, err := r.bed.Engine.ReadFile(r.Context(), now.ID, "/data/log")
	if err != nil {
		r.Fatal(err)
	}
	if strings.Contains(log, "conflict") {
		r.Errorf("%s met another writer on its volume", service)
	}
}

// checkHistory makes sure that no attempt is left open, and that every commit has
// exactly one release that succeeded.
func (r *rig) checkHistory() {
	r.Helper()
	good := map[string]int{}
	for _, x := range r.agent.History(r.stack.Name) {
		if x.Outcome == "" || x.Finished == nil {
			r.Errorf("release is still open: %s", x)
		}
		if x.Kind == "drift-fix" {
			r.Errorf("release corrects what nobody else can have changed: %s", x)
		}
		if x.Outcome == "succeeded" && (x.Kind == "deploy" || x.Kind == "rollback") {
			good[x.Commit]++
		}
	}
	for commit, n := range good {
		if n != 1 {
			r.Errorf("commit %s has %d releases that succeeded", commit[:7], n)
		}
	}
}
