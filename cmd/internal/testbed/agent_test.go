package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// actor is a shell script that plays the agent: it says how it was called, lives
// until it is told to end, and answers two commands from files.
const actor = `#!/bin/sh
case "$1" in
run)
	trap 'echo polled' USR1
	trap 'echo stopping; exit 3' TERM
	echo "run as $*"
	[ -e "$HOME/die" ] && exit 9
	while :; do sleep 0.05; done ;;
status)  cat "$HOME/status.json" ;;
history) cat "$HOME/history.json" ;;
*)       echo "unknown command $*" >&2; exit 2 ;;
esac
`

// stage makes a bed whose davit is the actor, and an agent that is not started.
func stage(t *testing.T, tb TB) (*Bed, *Agent) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "davit")
	if err := os.WriteFile(script, []byte(actor), 0o755); err != nil {
		t.Fatal(err)
	}
	b := NewWith(tb, Config{Davit: script})
	return b, b.NewAgent(Run{Repo: "http://example.test/shop.git", Args: []string{"--tag", "v1"}})
}

func answer(t *testing.T, b *Bed, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.directory("home"), name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAgentIsStartedKilledAndStopped(t *testing.T) {
	b, a := stage(t, t)
	a.Start()
	want := "run as run --data " + a.Data + " --engine " + b.Engine.Host + " --repo http://example.test/shop.git --interval 1s --tag v1"
	eventually(t, "the first words", func() bool { return strings.Contains(a.Log(), want) })
	// A shell cannot trap a hangup where whoever runs the tests ignores it.
	a.Signal(syscall.SIGUSR1)
	eventually(t, "the poll", func() bool { return strings.Contains(a.Log(), "polled") })
	a.Kill()
	if a.Running() || strings.Contains(a.Log(), "stopping") {
		t.Errorf("after Kill: running = %v, log:\n%s", a.Running(), a.Log())
	}
	a.Start()
	eventually(t, "the second life", func() bool { return strings.Count(a.Log(), want) == 2 })
	if code := a.Stop(); code != 3 || !strings.Contains(a.Log(), "stopping") {
		t.Errorf("exit code = %d, want 3; log:\n%s", code, a.Log())
	}
}

func TestAgentReadsWhatTheCommandsPrint(t *testing.T) {
	b, a := stage(t, t)
	answer(t, b, "status.json", `{"stacks":[{"name":"shop","version":"v1.0.0","sync":"synced","health":"healthy","last_fetch":null,
		"services":[{"name":"web","desired":2,"ready":2,"image":"web:1","containers":["a","b"]}]}]}`)
	answer(t, b, "history.json", `[
		{"seq":2,"kind":"rollback","version":"v1.0.0","outcome":"","restores":1,"rollback_of":2,"finished":null},
		{"seq":1,"kind":"deploy","version":"v1.0.0","outcome":"succeeded","restores":null,"finished":"2026-01-02T03:04:05Z",
		 "services":[{"name":"web","image":"web:1","image_id":"sha256:1"}]}]`)
	a.Start()
	if s := a.WaitSynced("shop", "v1.0.0"); s.Services[0].Desired != 2 {
		t.Errorf("status = %+v", s)
	}
	r := a.WaitOutcome("shop", "v1.0.0", "succeeded")
	if r.Seq != 1 || r.Finished == nil || r.Service("web").ImageID != "sha256:1" || r.Service("db").Image != "" {
		t.Errorf("release = %+v", r)
	}
	if all := a.History("shop"); len(all) != 2 || all[0].Restores != 1 || all[0].Finished != nil {
		t.Errorf("history = %+v", all)
	}
	if got := a.CLI("frobnicate"); got.Code != 2 || !strings.Contains(got.Stderr, "unknown command") {
		t.Errorf("answer = %+v", got)
	}
}

func TestWaitingEndsWithTheAgent(t *testing.T) {
	problems, _ := live(t, func(tb TB) {
		b, a := stage(t, tb)
		answer(t, b, "status.json", `{"stacks":[]}`)
		answer(t, b, "die", "")
		a.Start()
		a.WaitSynced("shop", "v1.0.0")
	})
	if !strings.Contains(problems, "ended by itself: exit status 9") || !strings.Contains(problems, "run as run") {
		t.Errorf("problems = %q", problems)
	}
}

func TestWaitingEndsWithPatience(t *testing.T) {
	problems, logged := live(t, func(tb TB) {
		b, a := stage(t, tb)
		answer(t, b, "status.json", `{"stacks":[{"name":"shop","sync":"waiting"}]}`)
		a.Start()
		a.Patience = 300 * time.Millisecond
		a.WaitSync("shop", "synced")
	})
	if !strings.Contains(problems, "in vain for shop synced") || !strings.Contains(problems, "Sync:waiting") {
		t.Errorf("problems = %q", problems)
	}
	if !strings.Contains(logged, "run as run") {
		t.Errorf("the agent's log is not shown: %q", logged)
	}
}
