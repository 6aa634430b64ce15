package state

import (
	"reflect"
	"slices"
	"testing"

	"davit/reconcile"
)

func container(stack, service, id string, release int64) reconcile.Container {
	return reconcile.Container{
		ID: id, Stack: stack, Service: service, Number: 1, Instance: "me", Release: release,
		Spec: "v1:" + service, Version: "v1.0." + id, ImageRef: service + ":1", ImageID: "sha256:" + service,
		State: reconcile.Running,
	}
}

func with(c reconcile.Container, change func(*reconcile.Container)) reconcile.Container {
	change(&c)
	return c
}

func exited(code int) func(*reconcile.Container) {
	return func(c *reconcile.Container) { c.State, c.ExitCode = reconcile.Exited, code }
}

func record(service, outcome string, ids ...string) reconcile.ServiceRecord {
	return reconcile.ServiceRecord{Name: service, Spec: "v1:" + service, Outcome: outcome, Containers: ids,
		Completed: outcome == "completed", Image: reconcile.Image{Ref: service + ":1", ID: "sha256:" + service}}
}

func TestAReleaseIsRebuiltFromWhatRuns(t *testing.T) {
	cases := map[string]struct {
		containers []reconcile.Container
		seq        int64
		version    string
		services   []reconcile.ServiceRecord
	}{
		"replicas of one release": {
			containers: []reconcile.Container{container("shop", "web", "a", 3), container("shop", "web", "b", 3)},
			seq:        3, version: "v1.0.a", services: []reconcile.ServiceRecord{record("web", "running", "a", "b")},
		},
		"services that rolled at different times": {
			containers: []reconcile.Container{container("shop", "db", "a", 2), container("shop", "web", "b", 9)},
			seq:        9, version: "v1.0.b",
			services: []reconcile.ServiceRecord{record("db", "running", "a"), record("web", "running", "b")},
		},
		"a rollout that was cut short counts for its new side": {
			containers: []reconcile.Container{container("shop", "web", "old", 4), container("shop", "web", "new", 5)},
			seq:        5, version: "v1.0.new", services: []reconcile.ServiceRecord{record("web", "running", "new")},
		},
		"a failed attempt raises the number and nothing else": {
			containers: []reconcile.Container{container("shop", "web", "good", 4),
				with(container("shop", "web", "bad", 7), exited(1))},
			seq: 7, version: "v1.0.good", services: []reconcile.ServiceRecord{record("web", "running", "good")},
		},
		"a standby beside its successor is not current": {
			containers: []reconcile.Container{with(container("shop", "web", "old", 4), exited(0)), container("shop", "web", "new", 5)},
			seq:        5, version: "v1.0.new", services: []reconcile.ServiceRecord{record("web", "running", "new")},
		},
		"a one-shot that succeeded is not to be run again": {
			containers: []reconcile.Container{with(container("shop", "migrate", "m", 5), exited(0)), container("shop", "web", "w", 5)},
			seq:        5, version: "v1.0.m",
			services: []reconcile.ServiceRecord{record("migrate", "completed", "m"), record("web", "running", "w")},
		},
		"strangers and one-offs do not count": {
			containers: []reconcile.Container{container("shop", "web", "a", 2),
				with(container("shop", "web", "x", 50), func(c *reconcile.Container) { c.Instance = "other" }),
				with(container("shop", "web", "y", 60), func(c *reconcile.Container) { c.Instance = "" }),
				with(container("shop", "web", "z", 70), func(c *reconcile.Container) { c.OneOff = true })},
			seq: 2, version: "v1.0.a", services: []reconcile.ServiceRecord{record("web", "running", "a")},
		},
		"nothing that runs": {
			containers: []reconcile.Container{with(container("shop", "web", "a", 8), exited(137))},
			seq:        8,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rebuilds(t, c.containers, reconcile.Release{
				Stack: "shop", Seq: c.seq, Kind: reconcile.KindAdopt, Version: c.version, Outcome: reconcile.Succeeded,
				Reason: RebuiltReason, Trigger: reconcile.TriggerStartup, Started: noon, Finished: noon, Services: c.services,
			})
		})
	}
}

// rebuilds checks that an empty store makes exactly want of the containers, once.
func rebuilds(t *testing.T, containers []reconcile.Container, want reconcile.Release) {
	t.Helper()
	s := openStore(t, t.TempDir())
	observed := reconcile.Observed{At: noon, Containers: containers}
	rebuilt := must[[]reconcile.Release](t)(s.Rebuild(t.Context(), observed, "me"))
	if !reflect.DeepEqual(rebuilt, []reconcile.Release{want}) {
		t.Errorf("rebuilt\n%+v\nwant\n%+v", rebuilt, want)
	}
	if stored := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 0)); !reflect.DeepEqual(stored, rebuilt) {
		t.Errorf("stored\n%+v\nwant\n%+v", stored, rebuilt)
	}
	if again := must[[]reconcile.Release](t)(s.Rebuild(t.Context(), observed, "me")); len(again) != 0 {
		t.Errorf("rebuilt twice: %+v", again)
	}
	if r := begin(t, s, "shop"); r.Seq != want.Seq+1 {
		t.Errorf("the next release is #%d", r.Seq)
	}
}

func TestStacksWithHistoryKeepItAndCountPastTheLabels(t *testing.T) {
	s := openStore(t, t.TempDir())
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded) // as an old snapshot has it
	observed := reconcile.Observed{At: noon, Containers: []reconcile.Container{
		container("shop", "web", "a", 41), container("blog", "web", "b", 7)}}
	rebuilt := must[[]reconcile.Release](t)(s.Rebuild(t.Context(), observed, "me"))
	if len(rebuilt) != 1 || rebuilt[0].Stack != "blog" {
		t.Errorf("rebuilt %+v", rebuilt)
	}
	if r := begin(t, s, "shop"); r.Seq != 42 {
		t.Errorf("#%d follows a container of #41", r.Seq)
	}
	if got := readSeqs(t, s.Reader, "shop"); !slices.Equal(got, []int64{42, 1}) {
		t.Errorf("releases are %v", got)
	}
}

func TestWithoutAnInstanceNothingIsOurs(t *testing.T) {
	s := openStore(t, t.TempDir())
	foreign := with(container("shop", "web", "a", 1), func(c *reconcile.Container) { c.Instance = "" })
	got := must[[]reconcile.Release](t)(s.Rebuild(t.Context(), reconcile.Observed{Containers: []reconcile.Container{foreign}}, ""))
	if len(got) != 0 {
		t.Errorf("rebuilt %+v", got)
	}
}

func TestARunningStandbyIsNotWhatRuns(t *testing.T) {
	s := openStore(t, t.TempDir())
	in := func(aliases ...string) func(*reconcile.Container) {
		return func(c *reconcile.Container) {
			c.Endpoints = map[string]reconcile.Endpoint{"shop_default": {Aliases: aliases}}
		}
	}
	observed := reconcile.Observed{At: noon, Containers: []reconcile.Container{
		with(container("shop", "web", "back", 3), in("web")), with(container("shop", "web", "standby", 4), in())}}
	got := must[[]reconcile.Release](t)(s.Rebuild(t.Context(), observed, "me"))
	if rec, _ := got[0].Service("web"); !slices.Equal(rec.Containers, []string{"back"}) || got[0].Seq != 4 {
		t.Errorf("rebuilt %+v", got)
	}
}
