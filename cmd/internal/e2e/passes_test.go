package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"davit/cmd/internal/testbed"
)

// pair is a stack of a stateless and a stateful service that depends on nothing.
func (r *rig) pair(version string) []string {
	r.Helper()
	stateful := quick()
	stateful.Volume = "/data"
	return []string{
		service("web", r.image("web", version, quick()), "restart: always", "deploy: {replicas: 2}", "depends_on: [db]", "x-davit: {monitor: 0s}"),
		service("db", r.image("db", version, stateful), "restart: always", "x-davit: {monitor: 0s}"),
	}
}

func TestASecondPassChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "passes")
	commit := r.push("v1.0.0", r.pair("1.0")...)
	r.agent.Start()
	r.waitCommit(commit)
	r.waitQuiet()

	// Whatever asks for a pass: an operator, a hangup, the schedule, a new agent.
	r.proxy.Forget()
	if apply := r.agent.CLI("apply"); apply.Code != 0 {
		t.Errorf("apply = %d: %s", apply.Code, apply.Stderr)
	}
	r.agent.Signal(syscall.SIGHUP)
	r.waitPolls(3)
	mine := ids(r.stack.Containers())
	if calls := r.proxy.Mutations(); len(calls) > 0 {
		t.Errorf("passes over an unchanged world changed it: %v", calls)
	}
	// Containers of other stacks on this engine come and go; mine do not.
	for _, call := range r.proxy.Calls() {
		if id, ok := inspected(call); ok && slices.Contains(mine, id) {
			t.Errorf("%s: nothing has happened to this container", call)
		}
	}
	r.checkLists()

	r.proxy.Forget()
	r.agent.Stop()
	r.agent.Start()
	r.waitCommit(commit)
	r.waitQuiet()
	if calls := r.proxy.Mutations(); len(calls) > 0 {
		t.Errorf("a new agent changed an unchanged world: %v", calls)
	}
	if now := ids(r.stack.Containers()); !slices.Equal(now, mine) {
		t.Errorf("containers were %v and are %v", mine, now)
	}
}

// checkLists makes sure that containers are listed at most as often as networks:
// once a pass each, so that a pass costs two lists.
func (r *rig) checkLists() {
	r.Helper()
	containers, networks, others := 0, 0, map[string]int{}
	for _, call := range r.proxy.Calls() {
		switch call.Path {
		case "/containers/json":
			containers++
		case "/networks":
			networks++
		default:
			if _, ok := inspected(call); !ok {
				others[call.Method+" "+call.Path]++
			}
		}
	}
	r.Logf("%d lists of containers, %d of networks, besides %v", containers, networks, others)
	// The first and the last pass may have been counted by half.
	if containers == 0 || containers-networks > 1 || networks-containers > 1 {
		r.Errorf("%d lists of containers and %d of networks, want one of each in every pass", containers, networks)
	}
}

// inspected is the container that a call looks at alone.
func inspected(call testbed.Call) (id string, ok bool) {
	rest, ok := strings.CutPrefix(call.Path, "/containers/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "/json")
}

// waitQuiet waits until the agent has asked the engine for nothing that changes it
// during two polls.
func (r *rig) waitQuiet() {
	r.Helper()
	for {
		before := len(r.proxy.Mutations())
		r.waitPolls(2)
		if len(r.proxy.Mutations()) == before {
			return
		}
	}
}

// waitPolls waits until the agent has asked the Git server n times more.
func (r *rig) waitPolls(n int) {
	r.Helper()
	seen := r.bed.Git.Requests()
	r.eventually(fmt.Sprintf("%d polls", n), func() bool { return r.bed.Git.Requests() >= seen+n })
}

// unique is what differs from run to run in a plan.
var unique = regexp.MustCompile(`sha(1:|256:)[0-9a-f]{7}`)

func TestPlanShowsWhatAPassWouldDo(t *testing.T) {
	t.Parallel()
	r := newRig(t, "plans")
	commit := r.push("v1.0.0", r.pair("1.0")...)
	r.agent.Start()
	r.waitCommit(commit)
	r.waitQuiet()
	if plan := r.agent.CLI("plan"); plan.Code != 0 || !strings.Contains(plan.Stdout, "nothing to do\n") {
		t.Errorf("plan of an unchanged host = %d %q %s", plan.Code, plan.Stdout, plan.Stderr)
	}

	dir := t.TempDir()
	file := "name: " + r.stack.Name + "\nservices:\n" + strings.Join(r.pair("1.1"), "")
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	r.proxy.Forget()
	plan := r.agent.CLI("plan", "--dir", dir)
	if plan.Code != 2 {
		t.Errorf("plan with changes = %d, want 2: %s", plan.Code, plan.Stderr)
	}
	got := strings.TrimSpace(unique.ReplaceAllString(strings.ReplaceAll(plan.Stdout, r.stack.Name, "STACK"), "SHA"))
	if want := strings.TrimSpace(replacement); got != want {
		t.Errorf("plan:\n%s\nwant:\n%s", got, want)
	}
	if calls := r.proxy.Mutations(); len(calls) > 0 {
		t.Errorf("a plan changed something: %v", calls)
	}
}

// replacement is the golden form of a plan, for a pair that moves from 1.0 to 1.1.
const replacement = `
STACK  dir
  1        pull    db@SHA   image tag 1.0 -> 1.1
  2        pull    web@SHA  image tag 1.0 -> 1.1
  3  <-1,2 create  db/2                image tag 1.0 -> 1.1; stop-first: writes a volume that its image declares at /data
  4  <-3   policy  db/1                restart no, before a stop that is meant to last
  5  <-4   stop    db/1                replaced; standby for 30m
  6  <-5   start   db/2                takes over from db/1
  7  <-6   gate    db/2                healthcheck within 2m
  8  <-7   policy  db/2                restart always as declared
  9  <-1,2 create  web/3               image tag 1.0 -> 1.1; start-first: stateless
  10 <-6,9 start   web/3               takes over from web/1
  11 <-10  gate    web/3               healthcheck within 2m
  12 <-11  join    web/3               ready: takes the name web
  13 <-12  policy  web/3               restart always as declared
  14 <-13  delay   web                 1s for callers who asked for web before
  15 <-14  policy  web/1               restart no, before a stop that is meant to last
  16 <-15  stop    web/1               replaced; standby for 30m
  17 <-16  create  web/4               image tag 1.0 -> 1.1; start-first: stateless
  18 <-17  start   web/4               takes over from web/2
  19 <-18  gate    web/4               healthcheck within 2m
  20 <-19  join    web/4               ready: takes the name web
  21 <-20  policy  web/4               restart always as declared
  22 <-21  delay   web                 1s for callers who asked for web before
  23 <-22  policy  web/2               restart no, before a stop that is meant to last
  24 <-23  stop    web/2               replaced; standby for 30m
`
