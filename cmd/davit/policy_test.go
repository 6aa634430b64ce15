package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
)

const strictPolicy = "preset: strict\nstacks:\n  trusted: {preset: permissive}\n"

// countingEngine is an engine that answers nothing and counts what it is asked.
func countingEngine(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return "unix://" + path, asked
}

func TestWhatThePolicyRefusesReachesNoEngine(t *testing.T) {
	for file, rule := range map[string]string{
		"services:\n  a:\n    image: a\n    privileged: true\n":                                          "compose.yaml:4: services.a.privileged: policy: privileged: ",
		"services:\n  a:\n    image: a\n    volumes: ['/run/docker.sock:/s']\n":                          "compose.yaml:4: services.a.volumes[0]: policy: engine_socket: ",
		"services:\n  a:\n    image: a\n    cap_add: [SYS_ADMIN]\n":                                      "compose.yaml:4: services.a.cap_add[0]: policy: cap_add: ",
		"services:\n  a:\n    image: a\n    network_mode: host\n":                                        "compose.yaml:4: services.a.network_mode: policy: network_mode: ",
		"services:\n  a:\n    image: a\n    volumes:\n      - ENGINE:/s\n":                               "compose.yaml:5: services.a.volumes[0]: policy: engine_socket: ",
		"services: {a: {image: a}}\nvolumes:\n  v: {driver_opts: {o: bind, type: none, device: /etc}}\n": "compose.yaml:3: volumes.v.driver_opts.device: policy: bind: ",
	} {
		address, asked := countingEngine(t)
		file = strings.ReplaceAll(file, "ENGINE", strings.TrimPrefix(address, "unix://"))
		policy := tree(t, map[string]string{"policy.yaml": strictPolicy})
		dir := tree(t, map[string]string{"compose.yaml": file})
		for _, verb := range []string{"validate", "plan"} {
			got := ask(t, nil, verb, "--dir", dir, "--policy", filepath.Join(policy, "policy.yaml"), "--engine", address)
			if got.code != exitError || !strings.Contains(got.out+got.err, rule) || asked.Load() > 0 {
				t.Errorf("%s: exit code %d, %d requests to the engine\n%s%s\nwant %s", verb, got.code, asked.Load(), got.out, got.err, rule)
			}
		}
	}
}

func TestPolicyBreaksOnlyWhatItRefuses(t *testing.T) {
	const wild = "services: {a: {image: a, privileged: true}}\n"
	policy := filepath.Join(tree(t, map[string]string{"policy.yaml": strictPolicy}), "policy.yaml")
	l := stacks{config: Config{Path: ".", Data: t.TempDir(), Policy: policy}, recorded: func(context.Context) ([]string, error) { return nil, nil }}
	r := reconcile.Revision{Source: "/ops", Dir: tree(t, map[string]string{
		"trusted/compose.yaml": wild, "wild/compose.yaml": wild, "tame/compose.yaml": "services: {a: {image: a}}\n"})}
	d, err := l.Load(t.Context(), r)
	if err != nil || len(d.Projects) != 2 || len(d.Broken) != 1 || d.Broken["wild"] == nil {
		t.Fatalf("declared %d, broken %v, error %v", len(d.Projects), d.Broken, err)
	}
	before := l.Stamp()
	if err := os.WriteFile(policy, []byte("preset: permissive\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l.Stamp() == before {
		t.Error("a changed policy is not noticed")
	}
	if d, err = l.Load(t.Context(), r); err != nil || len(d.Projects) != 3 {
		t.Errorf("after the change: broken %v, error %v", d.Broken, err)
	}
}

func TestAPolicyThatCannotBeReadLetsNothingPass(t *testing.T) {
	dir := tree(t, map[string]string{"compose.yaml": "services: {a: {image: a}}\n", "policy.yaml": "preset: strict\nprivileged: false\n"})
	for policy, want := range map[string]string{
		filepath.Join(dir, "none.yaml"):   "none.yaml: no such file",
		filepath.Join(dir, "policy.yaml"): "policy.yaml:2: privileged: is not a key of a policy",
	} {
		l := stacks{config: Config{Path: ".", Data: t.TempDir(), Policy: policy}}
		if d, err := l.Load(t.Context(), reconcile.Revision{Dir: dir}); err == nil || len(d.Projects) > 0 {
			t.Errorf("%d projects, error %v", len(d.Projects), err)
		}
		if err := (Config{Policy: policy}).judge(&compose.Project{}); err == nil {
			t.Error("a recorded project is allowed")
		}
		for _, args := range [][]string{{"validate", "--dir", dir}, {"run", "--repo", dir}} {
			if got := ask(t, nil, append(args, "--policy", policy)...); got.code != exitError || !strings.Contains(got.err, want) {
				t.Errorf("%v: exit code %d\n%s%s\nwant %s", args, got.code, got.out, got.err, want)
			}
		}
	}
}
