package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// site is one host with one agent that keeps one stack of one service, and is
// about to have bad weather.
type site struct {
	t     *testing.T
	bed   *testbed.Bed
	repo  *testbed.Repo
	shop  *testbed.Stack
	image testbed.Image
	agent *testbed.Agent
	edits int
}

// newSite makes a site whose agent is not started.
func newSite(t *testing.T, name string, r testbed.Run) *site {
	t.Helper()
	bed := testbed.New(t)
	s := &site{t: t, bed: bed, repo: bed.Repo(name), shop: bed.Stack(name)}
	s.image = bed.Push("web:1", nimble("1"))
	if r.Repo == "" {
		r.Repo = s.repo.URL
	}
	s.agent = bed.NewAgent(r)
	s.agent.Patience = 2 * time.Minute
	return s
}

// openSite is a site whose first release runs.
func openSite(t *testing.T, name string, r testbed.Run) *site {
	t.Helper()
	s := newSite(t, name, r)
	s.edit()
	s.agent.Start()
	s.deployed(s.repo.Head())
	return s
}

// nimble is an app that is healthy and gone as soon as a machine can tell.
func nimble(version string) testbed.App {
	return testbed.App{Version: version, Env: map[string]string{"STOP": "exit"}}
}

// compose is the stack's file with the given image; every edit makes other
// content of it.
func (s *site) compose(image string) string { return shopFile(s.shop.Name, image, s.edits) }

func shopFile(stack, image string, edit int) string {
	return fmt.Sprintf(`name: %s
services:
  web:
    image: %s
    environment: {EDIT: "%d"}
    x-davit: {monitor: 0s, standby: {for: 0s}, start_timeout: 60s}
`, stack, image, edit)
}

// edit pushes a good commit with new content and returns its id.
func (s *site) edit() string {
	s.t.Helper()
	s.edits++
	return s.repo.Release("", map[string]string{"compose.yaml": s.compose(s.image.Ref)})
}

// push commits one file and has the agent poll.
func (s *site) push(content string) string {
	s.t.Helper()
	commit := s.repo.Release("", map[string]string{"compose.yaml": content})
	s.poll()
	return commit
}

func (s *site) poll() {
	s.t.Helper()
	s.agent.Signal(syscall.SIGHUP)
}

// deployed waits until the stack runs what the commit declares.
func (s *site) deployed(commit string) testbed.Status {
	s.t.Helper()
	return s.agent.WaitStatus(s.shop.Name, "commit "+commit[:7]+" synced and healthy", func(st testbed.Status) bool {
		return st.Sync == "synced" && st.Health == "healthy" && strings.HasSuffix(st.Revision, commit) && st.LastError == ""
	})
}

// recovers proves that the agent works on: the next good commit is deployed, as
// one container.
func (s *site) recovers() {
	s.t.Helper()
	commit := s.edit()
	s.poll()
	s.deployed(commit)
	s.shop.RequireReplicas("web", 1)
}

// stands waits until the stack's status has the word, and says each of words in
// what it waits for or in its last error.
func (s *site) stands(sync string, words ...string) testbed.Status {
	s.t.Helper()
	return s.agent.WaitStatus(s.shop.Name, fmt.Sprintf("%s because of %q", sync, words), func(st testbed.Status) bool {
		return st.Sync == sync && saysAll(st.WaitingFor+" "+st.LastError, words)
	})
}

func saysAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// life is what one container must keep through bad weather.
type life struct {
	id      string
	started time.Time
}

func lives(stacks ...*testbed.Stack) map[life]string {
	found := map[life]string{}
	for _, s := range stacks {
		for _, c := range s.Running() {
			found[life{c.ID, c.Started}] = c.Name
		}
	}
	return found
}

// untouched returns a check that the same containers run as now, and that none
// was started again in between.
func untouched(t *testing.T, stacks ...*testbed.Stack) (check func()) {
	t.Helper()
	before := lives(stacks...)
	if len(before) == 0 {
		t.Fatal("nothing runs that could be lost")
	}
	return func() {
		t.Helper()
		if after := lives(stacks...); !maps.Equal(before, after) {
			t.Errorf("what runs was touched:\nbefore %v\nafter  %v", before, after)
		}
	}
}

// event is one line of `davit events -o json`.
type event struct {
	ID                             int64
	Stack, Kind, Severity, Message string
}

// events are what the agent has recorded after a mark, oldest first.
func events(t *testing.T, a *testbed.Agent, after int64) []event {
	t.Helper()
	answer := a.CLI("events", "-o", "json", "-n", "1000")
	if answer.Code != 0 {
		t.Fatalf("davit events: exit code %d: %s", answer.Code, answer.Stderr)
	}
	var found []event
	for line := range strings.Lines(answer.Stdout) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("davit events: %v in %q", err, line)
		}
		if e.ID > after {
			found = append(found, e)
		}
	}
	return found
}

// mark is the newest event so far.
func mark(t *testing.T, a *testbed.Agent) int64 {
	t.Helper()
	all := events(t, a, 0)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].ID
}

// tells waits for an event of the kind after the mark whose message has all words.
func tells(t *testing.T, a *testbed.Agent, after int64, kind string, words ...string) event {
	t.Helper()
	var found event
	await(t, fmt.Sprintf("an event %s that says %q", kind, words), func() (bool, string) {
		seen := events(t, a, after)
		for _, e := range seen {
			if e.Kind == kind && saysAll(e.Message, words) {
				found = e
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", seen)
	})
	return found
}

// await asks again and again, patiently, until it is so.
func await(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for pause := 100 * time.Millisecond; ; pause = min(pause*5/4, 400*time.Millisecond) {
		done, seen := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s; last seen: %s", what, seen)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("waiting for %s: %v", what, t.Context().Err())
		case <-time.After(pause):
		}
	}
}

// unwell fails the test if `davit status --check` finds everything in order.
func unwell(t *testing.T, a *testbed.Agent) {
	t.Helper()
	if answer := a.CLI("status", "--check"); answer.Code != 1 {
		t.Errorf("davit status --check: exit code %d, want 1:\n%s", answer.Code, answer.Stdout)
	}
}
