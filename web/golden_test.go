package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"davit/reconcile"
	"davit/web"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestJSONShapesAreTheDocumentedOnes(t *testing.T) {
	fetched := at
	shapes := map[string]any{
		"status": web.NewStatus([]reconcile.StackStatus{
			{Name: "shop", Version: "v1.3.0", Revision: "main@sha1:9d10e44", Sync: reconcile.SyncSynced,
				Health: reconcile.ConditionHealthy, Since: at, LastFetch: &fetched,
				Services: []reconcile.ServiceStatus{{Name: "web", Desired: 2, Ready: 2, Image: "shop:1.3.0", Containers: []string{"c1", "c2"},
					Ports:    []reconcile.PortStatus{{Port: "80", Owner: "edge"}, {Port: "53/udp", Owner: "docker"}, {Port: "81", Trouble: "address already in use"}},
					Draining: []reconcile.DrainStatus{{Replica: "web/1", Container: "c0", Since: at, Until: at.Add(time.Minute), Requests: 2, Streams: 1}},
					Ejected:  []reconcile.EjectStatus{{Replica: "web/2", Container: "c2", Reason: "it cannot be reached"}},
					Rollout:  &reconcile.RolloutStatus{Strategy: "canary", Phase: "holding", Step: 1, Steps: 3, Weight: 5, WaitingFor: "the end of its hold at 05:00:00", Since: at},
				}, {Name: "cron"}}},
			{Name: "new", Sync: reconcile.SyncWaiting, Health: reconcile.ConditionUnknown, WaitingFor: "image shop:2: not found", Since: at},
		}, []web.SourceStatus{{Name: "ops", Source: "https://git.example/ops", LastFetch: &fetched}}),
		"status of nothing":     web.NewStatus(nil, nil),
		"status beside an edge": beside(reconcile.EdgeStatus{Away: "the edge does not answer", Generation: 7}),
		"history": web.NewHistory([]reconcile.Release{
			{Stack: "shop", Seq: 3, Kind: reconcile.KindAutoRollback, Trigger: reconcile.TriggerFailure, Restores: 1, RollbackOf: 2,
				Version: "v1.2.0", Revision: "main@sha1:aa", Commit: "aa", Reason: "release 2 failed", Started: at},
			{Stack: "shop", Seq: 2, Kind: reconcile.KindDeploy, Outcome: reconcile.Failed, Version: "v1.3.0", Revision: "main@sha1:bb",
				Commit: "bb", Reason: "new revision", Failure: "web/3 exited with code 2 after 1.3s", Started: at, Finished: at.Add(time.Second),
				Services: []reconcile.ServiceRecord{{Name: "web", Image: reconcile.Image{Ref: "shop:1.3.0", Digest: "sha256:d", ID: "sha256:i"}}}},
			{Stack: "shop", Seq: 1, Kind: reconcile.KindDeploy, Outcome: reconcile.Succeeded, Version: "v1.2.0", Actor: "ada", Trigger: reconcile.TriggerCLI,
				Started: at, Finished: at.Add(time.Second), Project: []byte("never shown"),
				Services: []reconcile.ServiceRecord{{Name: "web", Image: reconcile.Image{Ref: "shop:1.2.0"}, Containers: []string{"c1"}, Logs: "never shown"}}},
		}),
		"history of nothing": web.NewHistory(nil),
		"plan": withoutText(web.NewPlans([]reconcile.Plan{
			{Stack: "shop", From: "v1.2.0", To: "v1.3.0", Revision: "main@sha1:9d10e44", Notes: []string{"volume data is kept"}, Steps: []reconcile.Step{
				{ID: 1, Kind: reconcile.StepPull, Service: "web", Image: reconcile.Image{Ref: "shop:1.3.0"}, Reason: "not here yet"},
				{ID: 2, After: []int{1}, Kind: reconcile.StepCreate, Service: "web", Replica: reconcile.Replica{Service: "web", Number: 3}, Reason: "image changed"}}},
			{Stack: "quiet"},
		})),
		"source": web.NewSourceReport([]web.SourceStatus{{Source: "https://git.example/ops", Revision: "main@sha1:9d10e44", LastFetch: &fetched}}),
	}
	for name, value := range shapes {
		t.Run(name, func(t *testing.T) { golden(t, name+".json", value) })
	}
}

// beside is the status of a host that has an edge, and nothing else.
func beside(e reconcile.EdgeStatus) web.Status {
	s := web.NewStatus(nil, nil)
	s.Edge = &e
	return s
}

// golden compares value's JSON with a file of testdata/api.txtar.
func golden(t *testing.T, name string, value any) {
	t.Helper()
	const path = "testdata/api.txtar"
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	archive, err := txtar.ParseFile(path)
	if errors.Is(err, os.ErrNotExist) && *update {
		archive, err = &txtar.Archive{}, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range archive.Files {
		if f.Name != name {
			continue
		}
		if bytes.Equal(f.Data, got) {
			return
		}
		if !*update {
			t.Fatalf("%s is\n%s\nwant\n%s", name, got, f.Data)
		}
		archive.Files[i].Data = got
		save(t, path, archive)
		return
	}
	if !*update {
		t.Fatalf("%s has no %s", path, name)
	}
	archive.Files = append(archive.Files, txtar.File{Name: name, Data: got})
	save(t, path, archive)
}

func save(t *testing.T, path string, a *txtar.Archive) {
	t.Helper()
	if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, txtar.Format(a), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// withoutText leaves the golden form to the tests of the planner.
func withoutText(p web.Plans) web.Plans {
	for i := range p.Plans {
		p.Plans[i].Text = "as printed"
	}
	return p
}
