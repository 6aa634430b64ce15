package e2e

import (
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// An image without a shell or a health check is gated by what davit itself asks of its
// containers, over the network and by a command.
func TestAnImageWithoutAHealthCheckIsProbed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "probes")
	app := func(healthy string) testbed.App {
		return testbed.App{NoHealthcheck: true, Env: map[string]string{"STOP": "exit", "HEALTH": healthy, "HEALTHY_AFTER": "2s"}}
	}
	stack := func(image testbed.Image) []string {
		return []string{
			service("web", image, "restart: always",
				"x-davit: {monitor: 1s, start_timeout: 8s, probes: {startup: {tcp: 8080}, readiness: {http: {port: 8080, path: /healthz}}}}"),
			service("job", image, "restart: always",
				"x-davit: {monitor: 1s, start_timeout: 30s, probes: {readiness: {exec: [/app, healthcheck], timeout: 10s}}}"),
		}
	}
	commit := r.push("v1.0.0", stack(r.image("app", "1.0", app("")))...)
	r.agent.Start()
	r.waitSucceeded(commit)

	commit = r.push("v1.1.0", stack(r.image("app", "1.1", app("")))...)
	r.poll()
	r.waitSucceeded(commit)
	for _, name := range []string{"web", "job"} {
		if c := r.stack.Only(name); r.version(c.ImageID) != "1.1" {
			t.Errorf("%s runs %s", name, r.version(c.ImageID))
		}
	}

	commit = r.push("v1.2.0", stack(r.image("app", "1.2", app("never")))...)
	r.poll()
	failed := r.agent.WaitRelease(r.stack.Name, "the release of "+commit[:7]+" to have failed", func(x testbed.Release) bool {
		return x.Commit == commit && x.Outcome == "failed"
	})
	if want := "did not become ready within 8s: readiness probe http :8080/healthz: answered 503 Service Unavailable: 1.2 is never healthy"; !strings.Contains(failed.Reason, want) {
		t.Errorf("the reason is %q, want %q", failed.Reason, want)
	}
	r.eventually("1.1 alone to serve", func() bool {
		running := r.stack.Running("web")
		return len(running) == 1 && r.version(running[0].ImageID) == "1.1"
	})
}

// A container whose health check Docker runs once an hour is replaced, and its stack well
// in the next life of the agent, long before Docker has looked.
func TestNobodyWaitsForDockersFirstLook(t *testing.T) {
	t.Parallel()
	r := newRig(t, "firstlook")
	app := testbed.App{HealthEvery: time.Hour, HealthyAfter: time.Second, Env: map[string]string{"STOP": "exit"}}
	for _, version := range []string{"1.0", "1.1"} {
		commit := r.push("v"+version+".0", service("web", r.image("app", version, app), "restart: always", "x-davit: {monitor: 1s}"))
		if version == "1.0" {
			r.agent.Start()
		} else {
			r.poll()
		}
		r.waitSucceeded(commit)
	}
	if c := r.stack.Only("web"); r.version(c.ImageID) != "1.1" {
		t.Errorf("web runs %s", r.version(c.ImageID))
	}
	r.agent.Kill()
	r.agent.Start()
	r.agent.WaitStatus(r.stack.Name, "the next agent to find it well", func(s testbed.Status) bool { return s.Health == "healthy" })
}
