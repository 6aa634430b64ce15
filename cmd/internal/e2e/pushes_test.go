package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

func TestManyPushesDuringARolloutEndAtTheLast(t *testing.T) {
	t.Parallel()
	const pushes = 30
	r := newRig(t, "pushes")
	image := r.image("web", "1.0", testbed.App{HealthyAfter: 500 * time.Millisecond})
	declare := func(n int) string {
		return r.push("", service("web", image, fmt.Sprintf(`environment: {EDIT: "%d"}`, n), "x-davit: {monitor: 0s, standby: {for: 0s}}"))
	}
	commit := declare(0)
	r.agent.Start()
	r.waitCommit(commit)
	watch := r.stack.Mark()

	tick := time.NewTicker(10 * time.Second / pushes)
	defer tick.Stop()
	for n := 1; n <= pushes; n++ {
		commit = declare(n)
		r.poll()
		<-tick.C
	}
	r.waitCommit(commit)
	r.waitQuiet()
	r.stack.Examined("web")

	web := r.stack.Containers("web")
	if len(web) != 1 || !web[0].Ready() || !slices.Contains(web[0].Env, fmt.Sprintf("EDIT=%d", pushes)) {
		t.Errorf("after the last push there are %v", web)
	}
	watch.RequireMinReady("web", 1)
	if most := watch.MaxRunning("web"); most > 2 {
		t.Errorf("%d containers ran at once; one rollout at a time needs 2", most)
	}
	r.checkOneAtATime()
}

// checkOneAtATime makes sure that no release began before the one before it had
// ended, by the history and by the events.
func (r *rig) checkOneAtATime() {
	r.Helper()
	history := r.agent.History(r.stack.Name)
	slices.Reverse(history)
	superseded := 0
	for i, x := range history {
		if x.Finished == nil {
			r.Errorf("release is still open: %s", x)
			continue
		}
		if x.Outcome == "superseded" {
			superseded++
		}
		if i > 0 && history[i-1].Finished != nil && x.Started.Before(*history[i-1].Finished) {
			r.Errorf("%s began at %s, before %s ended at %s", x, x.Started, history[i-1], history[i-1].Finished)
		}
	}
	if superseded == 0 {
		r.Errorf("no release was superseded, so nothing was pushed during a rollout:\n%v", history)
	}
	open := int64(0)
	for _, e := range r.releaseEvents() {
		switch {
		case e.Kind == "ReleaseStarted" && open != 0:
			r.Errorf("release #%d began while #%d was under way", e.Seq, open)
		case e.Kind == "ReleaseStarted":
			open = e.Seq
		case e.Seq == open:
			open = 0
		}
	}
	r.Logf("%d releases, %d of them superseded, none beside another", len(history), superseded)
}

// releaseEvent is a line of `davit events -o json` about the begin or the end of a
// release.
type releaseEvent struct {
	Kind string
	Seq  int64
}

// releaseEvents are the begins and ends of releases, oldest first.
func (r *rig) releaseEvents() []releaseEvent {
	r.Helper()
	answer := r.agent.CLI("events", r.stack.Name, "-o", "json", "-n", "10000")
	if answer.Code != 0 {
		r.Fatalf("events = %d: %s", answer.Code, answer.Stderr)
	}
	kinds := []string{"ReleaseStarted", "ReleaseSucceeded", "ReleaseFailed", "ReleaseEnded", "RolledBack"}
	var found []releaseEvent
	for line := range strings.Lines(answer.Stdout) {
		var e releaseEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			r.Fatalf("events: %v in %q", err, line)
		}
		if slices.Contains(kinds, e.Kind) {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		r.Fatal("no events of releases")
	}
	return found
}
