package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
	"davit/traffic"
)

func TestTheStatusShowsWhoServesPortsAndHowTheEdgeIs(t *testing.T) {
	shop := stands(reconcile.SyncSynced, reconcile.ConditionHealthy)
	shop.Services = []reconcile.ServiceStatus{{Name: "web", Desired: 1, Ready: 1, Image: "shop:2", Containers: []string{"4f1c"},
		Ports:    []reconcile.PortStatus{{Port: "80", Owner: "edge"}, {Port: "53/udp", Owner: "docker"}, {Port: "81", Trouble: "address already in use"}},
		Draining: []reconcile.DrainStatus{{Replica: "web/1", Since: then.Add(-time.Hour), Until: then.Add(time.Hour), Requests: 2, Streams: 1}},
		Ejected:  []reconcile.EjectStatus{{Replica: "web/2", Reason: "it cannot be reached"}}}}
	agent := func(e *reconcile.EdgeStatus) *fakeAgent {
		return &fakeAgent{chapters: [][]reconcile.StackStatus{{shop}}, edge: e}
	}
	for name, c := range map[string]struct {
		agent *fakeAgent
		args  []string
		code  int
		want  []string
	}{
		"of all":        {agent(nil), []string{"status"}, 0, []string{"port: 81 of web: address already in use", "passed over: web/2: it cannot be reached"}},
		"of one":        {agent(nil), []string{"status", "shop"}, 0, []string{"80 edge, 53/udp docker, 81 nobody", "draining: web/1 for 1h", "2 requests, 1 streams, cut in 58m0s"}},
		"away":          {agent(&reconcile.EdgeStatus{Away: "no edge is running"}), []string{"status"}, 0, []string{"edge: away, and nobody answers at its ports: no edge is running"}},
		"away, checked": {agent(&reconcile.EdgeStatus{Away: "no edge is running"}), []string{"status", "--check"}, 1, []string{"edge: away"}},
		"well, checked": {agent(&reconcile.EdgeStatus{Generation: 3}), []string{"status", "--check"}, 0, []string{"synced"}},
		"blind":         {agent(&reconcile.EdgeStatus{Blind: "permission denied"}), []string{"status"}, 0, []string{"edge: it cannot look at the engine: permission denied"}},
		"in JSON":       {agent(&reconcile.EdgeStatus{Generation: 3}), []string{"status", "-o", "json"}, 0, []string{`"generation": 3`, `"owner": "docker"`, `"streams": 1`, `"reason": "it cannot be reached"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, c.agent, c.args...)
			if got.code != c.code {
				t.Errorf("exit code %d, not %d: %s", got.code, c.code, got.err)
			}
			for _, want := range c.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("%q is not in\n%s", want, got.out)
				}
			}
		})
	}
}

func TestADryRunOfAnAdoptionSaysThatPortsMove(t *testing.T) {
	port := []reconcile.HostPort{{Network: "tcp", Port: 80}, {Network: "udp", Port: 53}}
	plan := reconcile.Plan{Stack: "shop", Steps: []reconcile.Step{{ID: 1, Kind: reconcile.StepShift, Service: "web", Reason: "to 2"}}}
	a := &fakeAgent{adoptions: []reconcile.AdoptionPlan{{Stack: "shop", Plan: plan, Handover: port}}}
	got := ask(t, a, "adopt", "--dry-run")
	want := "shop  identical, and Docker has its ports\n  davit adopt shop agrees that the edge gets host ports 80, 53/udp: one short gap"
	if got.code != exitChanges || !strings.Contains(got.out, want) {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
	}
	if got := ask(t, a, "adopt", "--dry-run", "-o", "json"); got.code != exitChanges || !strings.Contains(got.out, "\"handover\": [\n        \"80\",\n        \"53/udp\"\n      ]") {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
	}
}

func TestTheVersionOfTheEdgeIsShownIfOneRuns(t *testing.T) {
	b := newEdgeBed(t)
	if v := edgeVersion(t.Context(), Config{Data: b.data}); v != nil {
		t.Errorf("without one: %s", *v)
	}
	b.edge()
	b.until("it answers", func() bool { return edgeVersion(context.WithoutCancel(t.Context()), Config{Data: b.data}) != nil })
	c := traffic.NewClient(traffic.Socket(b.data))
	defer c.Close()
	theirs, err := c.Versions(t.Context())
	if v := edgeVersion(t.Context(), Config{Data: b.data}); err != nil || v == nil || *v != theirs.Program {
		t.Errorf("%v, not %+v, %v", v, theirs, err)
	}
}
