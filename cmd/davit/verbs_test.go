package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
	"davit/web"
)

var step = reconcile.Plan{Stack: "shop", From: "v1", To: "v2", Steps: []reconcile.Step{{ID: 1, Kind: reconcile.StepStart, Replica: reconcile.Replica{Service: "web", Number: 1}}}}

// shutOut is a stack that waits for its window.
func shutOut() [][]reconcile.StackStatus {
	k := stands(reconcile.SyncWaiting, reconcile.ConditionHealthy)
	k.WaitingFor, k.Window = "window opens Sun 02:00 CET, in 5h", &reconcile.WindowStatus{}
	return [][]reconcile.StackStatus{{k}}
}

func TestExitCodes(t *testing.T) {
	later := step
	later.Waits = "window opens Sun 02:00 CET, in 5h"
	fetched := then
	failed := reconcile.Release{Stack: "shop", Seq: 8, Commit: "feedbeef00", Outcome: reconcile.Failed, Failure: "web/1 exited", Started: then, Finished: then}
	tests := map[string]struct {
		agent *fakeAgent
		args  []string
		code  int
		says  string // on either stream
	}{
		"plan with nothing to do":                 {&fakeAgent{plans: []reconcile.Plan{{Stack: "shop"}}}, []string{"plan"}, 0, "nothing to do"},
		"plan with changes":                       {&fakeAgent{plans: []reconcile.Plan{step}}, []string{"plan"}, 2, "shop  v1 -> v2"},
		"plan with changes in JSON":               {&fakeAgent{plans: []reconcile.Plan{step}}, []string{"plan", "-o", "json"}, 2, `"kind": "start"`},
		"plan with values":                        {&fakeAgent{}, []string{"plan", "--show-values"}, 0, "with values"},
		"plan of an unknown stack":                {&fakeAgent{}, []string{"plan", "nope"}, 1, `"nope"`},
		"plan that fails":                         {&fakeAgent{err: reconcile.ErrEngineUnavailable}, []string{"plan"}, 1, "engine unavailable"},
		"plan with a wrong flag":                  {nil, []string{"plan", "--what"}, 1, "unknown flag"},
		"unknown command":                         {nil, []string{"explode"}, 1, "unknown command"},
		"help":                                    {nil, []string{"--help"}, 0, "Exit codes"},
		"status without an agent or a record":     {nil, []string{"status"}, 1, "no database"},
		"check of synced and healthy":             {&fakeAgent{chapters: story(reconcile.SyncSynced)}, []string{"status", "--check"}, 0, "synced"},
		"check of held":                           {&fakeAgent{chapters: story(reconcile.SyncHeld)}, []string{"status", "--check"}, 1, "held"},
		"check of pinned":                         {&fakeAgent{chapters: story(reconcile.SyncPinned)}, []string{"status", "--check"}, 1, "pinned"},
		"check of degraded":                       {&fakeAgent{chapters: [][]reconcile.StackStatus{{stands(reconcile.SyncSynced, reconcile.ConditionDegraded)}}}, []string{"status", "--check"}, 1, "degraded"},
		"check before the first fetch":            {&fakeAgent{}, []string{"status", "--check"}, 1, "no stacks"},
		"check of an empty repository":            {&fakeAgent{source: web.SourceStatus{LastFetch: &fetched}}, []string{"status", "--check"}, 0, "no stacks"},
		"status of an unknown stack":              {&fakeAgent{chapters: story(reconcile.SyncSynced)}, []string{"status", "nope"}, 1, `"nope"`},
		"apply that ends synced":                  {&fakeAgent{chapters: story(reconcile.SyncOutOfSync, reconcile.SyncProgressing, reconcile.SyncSynced)}, []string{"apply", "shop"}, 0, ""},
		"apply that ends held":                    {&fakeAgent{chapters: story(reconcile.SyncProgressing, reconcile.SyncHeld)}, []string{"apply", "shop"}, 1, "davit retry shop"},
		"apply that ends stalled":                 {&fakeAgent{chapters: story(reconcile.SyncStalled)}, []string{"apply"}, 1, "shop is stalled"},
		"apply that cannot begin":                 {&fakeAgent{chapters: story(reconcile.SyncStalled), plans: []reconcile.Plan{{Stack: "shop", Steps: step.Steps, Blocked: "too old"}}}, []string{"apply", "shop", "--timeout", "5s"}, 1, "shop is stalled"},
		"plan that cannot begin":                  {&fakeAgent{plans: []reconcile.Plan{{Stack: "shop", Steps: step.Steps, Blocked: "too old"}}}, []string{"plan"}, 1, "not possible now: too old"},
		"apply of a source without its directory": {nil, []string{"apply", "--source", "a"}, 1, "goes with --dir"},
		"plan of a source without its directory":  {nil, []string{"plan", "--source", "a"}, 1, "goes with --dir"},
		"apply of a suspended stack":              {&fakeAgent{chapters: story(reconcile.SyncSuspended)}, []string{"apply", "shop"}, 1, "davit resume shop"},
		"apply of all with an orphan":             {&fakeAgent{chapters: story(reconcile.SyncOrphaned)}, []string{"apply"}, 0, ""},
		"apply of an orphan":                      {&fakeAgent{chapters: story(reconcile.SyncOrphaned)}, []string{"apply", "shop"}, 1, "davit remove shop"},
		"apply that waits too long":               {&fakeAgent{chapters: story(reconcile.SyncWaiting)}, []string{"apply", "shop", "--timeout", "50ms"}, 3, "shop is waiting: not done after 50ms"},
		"apply outside the window":                {&fakeAgent{chapters: shutOut(), plans: []reconcile.Plan{later}}, []string{"apply", "shop"}, 1, "davit apply shop --now"},
		"apply of all outside a window":           {&fakeAgent{chapters: shutOut(), plans: []reconcile.Plan{later}}, []string{"apply"}, 0, ""},
		"plan of what waits for its window":       {&fakeAgent{plans: []reconcile.Plan{later}}, []string{"plan"}, 2, "waits: window opens Sun 02:00 CET, in 5h"},
		"check outside the window":                {&fakeAgent{chapters: shutOut()}, []string{"status", "--check"}, 1, "window opens Sun 02:00 CET, in 5h"},
		"apply that looks done before it is":      {&fakeAgent{chapters: story(reconcile.SyncSynced), plans: []reconcile.Plan{step}}, []string{"apply", "shop", "--timeout", "50ms"}, 3, "there is more to do: not done after"},
		"apply that ends unhealthy":               {&fakeAgent{chapters: [][]reconcile.StackStatus{{stands(reconcile.SyncSynced, reconcile.ConditionUnhealthy)}}}, []string{"apply"}, 1, "shop is unhealthy"},
		"wait for a commit that runs":             {&fakeAgent{chapters: story(reconcile.SyncProgressing, reconcile.SyncSynced)}, []string{"wait", "shop", "--commit", "9D10E44"}, 0, ""},
		"wait while its release winds up":         {&fakeAgent{chapters: story(reconcile.SyncProgressing)}, []string{"wait", "shop", "--commit", "9d10e44", "--timeout", "50ms"}, 3, "not done after 50ms"},
		"wait for one that runs beside a bad":     {&fakeAgent{chapters: story(reconcile.SyncHeld)}, []string{"wait", "shop", "--commit", "9d10e44"}, 0, ""},
		"wait for a version without its v":        {&fakeAgent{chapters: story(reconcile.SyncSynced)}, []string{"wait", "shop", "--version", "1.3.0"}, 0, ""},
		"wait for a commit that failed":           {&fakeAgent{chapters: story(reconcile.SyncHeld), releases: []reconcile.Release{failed}}, []string{"wait", "shop", "--commit", "feedbeef"}, 1, "release #8 of shop failed: web/1 exited"},
		"wait for one that never comes":           {&fakeAgent{chapters: story(reconcile.SyncSynced)}, []string{"wait", "shop", "--commit", "0000000", "--timeout", "50ms"}, 3, "not done after 50ms"},
		"wait for a stack not pushed yet":         {&fakeAgent{}, []string{"wait", "new", "--timeout", "50ms"}, 3, "not done after 50ms"},
		"wait until held":                         {&fakeAgent{chapters: story(reconcile.SyncHeld)}, []string{"wait", "shop"}, 1, "held"},
		"wait for an ambiguous commit":            {nil, []string{"wait", "shop", "--commit", "9d1"}, 1, "seven digits"},
		"wait without an agent":                   {nil, []string{"wait", "shop"}, 1, "davit run"},
		"run without a repository":                {nil, []string{"run"}, 1, "--repo"},
		"an order that is refused":                {&fakeAgent{err: fmt.Errorf("%w: not pinned", reconcile.ErrNotApplicable)}, []string{"unpin", "shop"}, 1, "not pinned"},
		"suspend for a time gone by":              {nil, []string{"suspend", "shop", "--for", "-2h"}, 1, "--for"},
		"history of an unknown stack":             {&fakeAgent{}, []string{"history", "nope"}, 1, `"nope"`},
		"adopt without a stack":                   {nil, []string{"adopt"}, 1, "--dry-run"},
		"adopt with nothing to adopt":             {&fakeAgent{}, []string{"adopt", "--dry-run"}, 0, "nothing to adopt"},
		"adopt of what is identical":              {&fakeAgent{adoptions: adoptions()[:1]}, []string{"adopt", "--dry-run"}, 0, "blog  identical"},
		"adopt of what differs":                   {&fakeAgent{adoptions: adoptions()}, []string{"adopt", "--dry-run"}, 2, "shop  differs\n  web: image shop:1 -> shop:2\nadopting it would lead to\nshop  v1 -> v2"},
		"adopt of what cannot be":                 {&fakeAgent{adoptions: adoptions()}, []string{"adopt", "--dry-run"}, 2, "wiki  cannot be adopted: no source declares it"},
		"adopt in JSON":                           {&fakeAgent{adoptions: adoptions()}, []string{"adopt", "--dry-run", "-o", "json"}, 2, `"identical": true`},
		"adopt that is refused":                   {&fakeAgent{err: fmt.Errorf("%w: it runs already", reconcile.ErrNotApplicable)}, []string{"adopt", "shop"}, 1, "it runs already"},
		"a wrong output format":                   {nil, []string{"status", "-o", "xml"}, 1, "xml"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, test.agent, test.args...)
			if got.code != test.code || !strings.Contains(got.out+got.err, test.says) {
				t.Errorf("exit code %d, want %d with %q\nstdout: %s\nstderr: %s", got.code, test.code, test.says, got.out, got.err)
			}
		})
	}
}

func TestTheStatusShowsRolloutsDrillsAndTheTimeToRecover(t *testing.T) {
	mean := 2.43
	k := stands(reconcile.SyncProgressing, reconcile.ConditionHealthy)
	k.Drill = &reconcile.DrillStatus{Phase: "going", Seq: 7, Since: then}
	k.Recovery = reconcile.RecoveryStatus{MeanSeconds: &mean, Rollbacks: 1, AutoRollbacks: 2, Drills: 3}
	k.Services = []reconcile.ServiceStatus{{Name: "web", Rollout: &reconcile.RolloutStatus{Strategy: "rolling", Phase: "starting", Step: 2, Steps: 4, Weight: 25,
		WaitingFor: "web/6: healthcheck within 2m", Since: then}}}
	for _, args := range [][]string{{"status"}, {"status", "shop"}} {
		got := ask(t, &fakeAgent{chapters: [][]reconcile.StackStatus{{k}}}, args...)
		for text, want := range map[string]bool{
			"drill: going, for ": true,
			"web: rolling, replica 2 of 4, starting, 25 %, waits for web/6: healthcheck within 2m, for ": true,
			"recovery: 2.4s on average: 1 rollbacks, 2 after failures, 3 drills":                         len(args) == 2,
		} {
			if strings.Contains(got.out, text) != want {
				t.Errorf("%v: %q there: %t\n%s", args, text, !want, got.out)
			}
		}
	}
}

func TestADrillEndsAsItWent(t *testing.T) {
	kind := func(seq int64, of int64, o reconcile.Outcome, took time.Duration) reconcile.Release {
		return reconcile.Release{Stack: "shop", Seq: seq, Kind: reconcile.KindDrill, Version: "v1.2.0", Outcome: o, Failure: "web/3 exited", RollbackOf: of, Recovery: took, Started: then, Finished: then}
	}
	there, back := kind(9, 8, reconcile.Succeeded, 1400*time.Millisecond), kind(10, 9, reconcile.Succeeded, time.Second)
	tests := map[string]struct {
		after []reconcile.Release // newest first
		code  int
		says  string
	}{
		"well":       {[]reconcile.Release{back, there}, 0, "v1.2.0 served 1.4s after the order"},
		"badly":      {[]reconcile.Release{back, kind(9, 8, reconcile.Failed, 0)}, 1, "the drill of shop failed: release #9: web/3 exited"},
		"not at all": {nil, 1, "was called off"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			under, over := stands(reconcile.SyncProgressing, reconcile.ConditionHealthy), stands(reconcile.SyncSynced, reconcile.ConditionHealthy)
			under.Drill = &reconcile.DrillStatus{Phase: "going", Seq: 7, Since: then}
			a := &fakeAgent{chapters: [][]reconcile.StackStatus{{under}, {over}}, releases: []reconcile.Release{kind(8, 0, reconcile.Succeeded, 0)}}
			a.obeyed = func() { a.releases = append(test.after, a.releases...) }
			got := ask(t, a, "drill", "shop")
			if got.code != test.code || !strings.Contains(got.out+got.err, test.says) {
				t.Errorf("exit code %d, want %d with %q\n%s%s", got.code, test.code, test.says, got.out, got.err)
			}
		})
	}
}

// adoptions are one project of each kind.
func adoptions() []reconcile.AdoptionPlan {
	return []reconcile.AdoptionPlan{
		{Stack: "blog", Plan: reconcile.Plan{Stack: "blog"}},
		{Stack: "shop", Plan: step, Adoption: reconcile.Adoption{Differences: []reconcile.Difference{{Service: "web", Text: "image shop:1 -> shop:2"}}}},
		{Stack: "wiki", Adoption: reconcile.Adoption{Obstacle: errors.New("no source declares it")}},
	}
}

func TestOrdersCarryTheirActor(t *testing.T) {
	tests := map[string]struct {
		args []string
		want any
	}{
		"unpin":    {[]string{"unpin", "shop"}, told{"unpin", "shop", "ada"}},
		"promote":  {[]string{"promote", "shop"}, told{"promote", "shop", "ada"}},
		"abort":    {[]string{"abort", "shop"}, told{"abort", "shop", "ada"}},
		"retry":    {[]string{"retry", "shop"}, told{"retry", "shop", "ada"}},
		"resume":   {[]string{"resume", "shop"}, told{"resume", "shop", "ada"}},
		"remove":   {[]string{"remove", "shop", "--yes"}, told{"remove", "shop", "ada"}},
		"suspend":  {[]string{"suspend", "shop", "--for", "2h", "--reason", "moving"}, reconcile.SuspendRequest{Stack: "shop", For: 2 * time.Hour, Reason: "moving", Actor: "ada"}},
		"rollback": {[]string{"rollback", "shop", "--to", "v1.2.0", "--hold", "--no-wait"}, reconcile.RollbackRequest{Stack: "shop", To: "v1.2.0", Hold: true, Actor: "ada"}},
		"drill":    {[]string{"drill", "shop", "--gaps", "--data-compatible", "--now", "--no-wait"}, reconcile.DrillRequest{Stack: "shop", Actor: "ada", Gaps: true, DataCompatible: true, Now: true}},
		"apply":    {[]string{"apply", "shop"}, told{"wake", "shop", "cli"}},
		"adopt":    {[]string{"adopt", "shop", "--take-over"}, reconcile.AdoptRequest{Stack: "shop", Actor: "ada", TakeOver: true}},
		"stop":     {[]string{"stop", "shop", "web"}, reconcile.ServiceRequest{Stack: "shop", Service: "web", Actor: "ada"}},
		"start":    {[]string{"start", "shop", "--no-wait"}, reconcile.ServiceRequest{Stack: "shop", Actor: "ada"}},
		"restart":  {[]string{"restart", "shop"}, reconcile.ServiceRequest{Stack: "shop", Actor: "ada"}},
		"all":      {[]string{"apply"}, told{"wake", "", "cli"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := &fakeAgent{chapters: story(reconcile.SyncSynced)}
			got := ask(t, a, test.args...)
			if got.code != 0 || len(a.orders) != 1 || !reflect.DeepEqual(a.orders[0], test.want) {
				t.Errorf("exit code %d, orders %v, want %v\n%s", got.code, a.orders, test.want, got.err)
			}
		})
	}
}

func TestRollbackEndsAsItsReleaseDoes(t *testing.T) {
	for outcome, code := range map[reconcile.Outcome]int{reconcile.Succeeded: 0, reconcile.Failed: 1, reconcile.Refused: 1} {
		t.Run(outcome.String(), func(t *testing.T) {
			a := &fakeAgent{chapters: story(reconcile.SyncSynced, reconcile.SyncProgressing, reconcile.SyncPinned)}
			a.obeyed = func() {
				a.releases = []reconcile.Release{{Stack: "shop", Seq: 9, Kind: reconcile.KindManualRollback, Outcome: outcome, Failure: "gone", Started: then, Finished: then}}
			}
			if got := ask(t, a, "rollback", "shop"); got.code != code {
				t.Errorf("exit code %d, want %d: %s", got.code, code, got.err)
			}
		})
	}
}

func TestAnErrandEndsAsItsReleaseDoes(t *testing.T) {
	runs := func(sync reconcile.Sync, ready int, container string) []reconcile.StackStatus {
		k := stands(sync, reconcile.ConditionHealthy)
		k.Services = []reconcile.ServiceStatus{
			{Name: "web", Desired: 1, Ready: ready, Containers: []string{container}},
			{Name: "other", Desired: 1, Containers: []string{"other"}},
		}
		return []reconcile.StackStatus{k}
	}
	released := func(outcome reconcile.Outcome, trigger reconcile.Trigger) []reconcile.Release {
		return []reconcile.Release{
			{Stack: "shop", Seq: 9, Kind: reconcile.KindDriftFix, Trigger: trigger, Outcome: outcome, Failure: "web/2 is unhealthy", Started: then, Finished: then},
			{Stack: "shop", Seq: 8, Kind: reconcile.KindDriftFix, Trigger: reconcile.TriggerCLI, Outcome: reconcile.Succeeded, Started: then, Finished: then},
		}
	}
	before := runs(reconcile.SyncSynced, 1, "old")
	tests := map[string]struct {
		after    []reconcile.StackStatus
		releases []reconcile.Release
		plans    []reconcile.Plan
		verb     string
		code     int
		says     string
	}{
		"a release that succeeded":              {runs(reconcile.SyncSynced, 1, "new"), released(reconcile.Succeeded, reconcile.TriggerCLI), nil, "restart", 0, ""},
		"one of a held stack":                   {runs(reconcile.SyncHeld, 1, "new"), released(reconcile.Succeeded, reconcile.TriggerCLI), nil, "restart", 0, ""},
		"one after which web is not ready":      {runs(reconcile.SyncSynced, 0, "new"), released(reconcile.Succeeded, reconcile.TriggerCLI), nil, "restart", 1, "0 of 1 replicas of web are ready"},
		"a release that failed":                 {runs(reconcile.SyncWaiting, 1, "old"), released(reconcile.Failed, reconcile.TriggerCLI), nil, "restart", 1, "release #9 of shop failed: web/2 is unhealthy"},
		"a start that failed":                   {runs(reconcile.SyncWaiting, 0, "old"), released(reconcile.Failed, reconcile.TriggerCLI), []reconcile.Plan{step}, "start", 1, "web/2 is unhealthy"},
		"one that gave way to a new commit":     {runs(reconcile.SyncProgressing, 1, "old"), released(reconcile.Superseded, reconcile.TriggerCLI), nil, "restart", 1, "release #9 of shop superseded"},
		"one that goes on":                      {runs(reconcile.SyncSynced, 1, "old"), released(0, reconcile.TriggerCLI), nil, "restart", 3, "not done after"},
		"one that is tried again":               {runs(reconcile.SyncWaiting, 1, "old"), released(reconcile.Interrupted, reconcile.TriggerCLI), nil, "restart", 3, "release #9 interrupted: web/2 is unhealthy"},
		"one that is wound up":                  {runs(reconcile.SyncProgressing, 1, "new"), released(reconcile.Succeeded, reconcile.TriggerCLI), nil, "restart", 3, "not done after"},
		"an order that the agent lost":          {runs(reconcile.SyncSynced, 1, "old"), released(reconcile.Interrupted, reconcile.TriggerCLI), nil, "restart", 1, "web still runs what it ran before"},
		"a start that a correction carried out": {runs(reconcile.SyncSynced, 1, "old"), released(reconcile.Succeeded, reconcile.TriggerDrift), nil, "start", 0, ""},
		"an order not looked at yet":            {runs(reconcile.SyncSynced, 0, "old"), nil, []reconcile.Plan{step}, "start", 3, "not done after"},
		"a stack suspended meanwhile":           {runs(reconcile.SyncSuspended, 1, "old"), nil, nil, "restart", 1, "davit resume shop"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &fakeAgent{chapters: [][]reconcile.StackStatus{before}, releases: released(reconcile.Succeeded, reconcile.TriggerCLI)[1:]}
			a.obeyed = func() {
				a.chapters, a.plans = [][]reconcile.StackStatus{test.after}, test.plans
				if test.releases != nil {
					a.releases = test.releases
				}
			}
			args := []string{test.verb, "shop", "web"}
			if test.code == 3 {
				args = append(args, "--timeout", "2s")
			}
			got := ask(t, a, args...)
			if got.code != test.code || !strings.Contains(got.out+got.err, test.says) {
				t.Errorf("exit code %d, want %d with %q\nstdout: %s\nstderr: %s", got.code, test.code, test.says, got.out, got.err)
			}
		})
	}
}

func TestRemoveAsksOnATerminalAndRefusesElsewhere(t *testing.T) {
	tests := map[string]struct {
		asks   bool
		typed  string
		args   []string
		orders int
	}{
		"yes on a terminal":         {true, "y\n", nil, 1},
		"no on a terminal":          {true, "n\n", nil, 0},
		"nothing typed":             {true, "", nil, 0},
		"in a pipeline":             {false, "y\n", nil, 0},
		"in a pipeline, with --yes": {false, "", []string{"--yes"}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := &fakeAgent{chapters: story(reconcile.SyncOrphaned)}
			got := askAs(t, a, func(c *console) { c.Asks, c.In = test.asks, strings.NewReader(test.typed) },
				append([]string{"remove", "shop"}, test.args...)...)
			if len(a.orders) != test.orders || (got.code == 0) != (test.orders == 1) {
				t.Errorf("exit code %d, orders %v: %s", got.code, a.orders, got.err)
			}
		})
	}
}

func TestApplyShowsWhatHappensAfterTheOrderOnly(t *testing.T) {
	a := &fakeAgent{chapters: story(reconcile.SyncProgressing, reconcile.SyncProgressing, reconcile.SyncSynced),
		events: []reconcile.Event{{ID: 1, At: then, Stack: "shop", Kind: reconcile.EventHeld, Message: "long ago"}}}
	a.obeyed = func() {
		a.events = append(a.events,
			reconcile.Event{ID: 2, At: then, Stack: "shop", Kind: reconcile.EventReleaseStarted, Message: "now it begins"},
			reconcile.Event{ID: 3, At: then, Stack: "db", Kind: reconcile.EventReleaseStarted, Message: "another stack"},
			reconcile.Event{ID: 4, At: then, Stack: "shop", Kind: reconcile.EventReleaseSucceeded, Message: "now it ends"})
		a.bell.Ring()
	}
	got := ask(t, a, "apply", "shop")
	if got.code != 0 || strings.Contains(got.out, "long ago") || strings.Contains(got.out, "another stack") ||
		strings.Index(got.out, "now it begins") > strings.Index(got.out, "now it ends") || !strings.Contains(got.out, "now it ends") {
		t.Errorf("exit code %d:\n%s%s", got.code, got.out, got.err)
	}
}

func TestJSONOfTheCommandsIsThatOfTheAPI(t *testing.T) {
	a := &fakeAgent{chapters: story(reconcile.SyncSynced), releases: []reconcile.Release{{Stack: "shop", Seq: 1, Started: then}}}
	var status web.Status
	if err := json.Unmarshal([]byte(ask(t, a, "status", "-o", "json").out), &status); err != nil {
		t.Fatal(err)
	}
	if want := web.NewStatus(story(reconcile.SyncSynced)[0], []web.SourceStatus{{}}); !reflect.DeepEqual(status, want) {
		t.Errorf("status %+v, want %+v", status, want)
	}
	var history []web.Release
	if err := json.Unmarshal([]byte(ask(t, a, "history", "shop", "-o", "json").out), &history); err != nil {
		t.Fatal(err)
	}
	if want := web.NewHistory(a.releases); !reflect.DeepEqual(history, want) {
		t.Errorf("history %+v, want %+v", history, want)
	}
}

func TestColourIsForTerminalsAndControlCharactersForNobody(t *testing.T) {
	evil := stands(reconcile.SyncStalled, reconcile.ConditionUnknown)
	evil.WaitingFor = "\x1b]0;owned\x07 image"
	a := &fakeAgent{chapters: [][]reconcile.StackStatus{{evil}}}
	if got := ask(t, a, "status"); strings.ContainsAny(got.out, "\x1b\x07") {
		t.Errorf("piped: %q", got.out)
	}
	got := askAs(t, a, func(c *console) { c.Colour = true }, "status")
	if !strings.Contains(got.out, "\x1b[31mstalled\x1b[0m") || strings.Contains(got.out, "\x1b]") {
		t.Errorf("terminal: %q", got.out)
	}
}

func TestValidateShowsEveryMistakeWithItsFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop/compose.yaml": "services:\n  web:\n    image: ${MISSING?no image}\n    x-davit: {stratgy: rolling}\n",
		"db/compose.yaml":   "services:\n  db:\n    image: [\n",
		"fine/compose.yaml": "services:\n  a: {image: a}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := ask(t, nil, "validate", "--dir", dir)
	for _, want := range []string{"shop/compose.yaml", "stratgy", "MISSING", "db/compose.yaml"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in\n%s%s", want, got.out, got.err)
		}
	}
	if got.code != 1 {
		t.Errorf("exit code %d, want 1", got.code)
	}
	var found validation
	if err := json.Unmarshal([]byte(ask(t, nil, "validate", "--dir", dir, "-o", "json").out), &found); err != nil {
		t.Fatal(err)
	}
	if found.Valid || len(found.Mistakes) < 3 || !reflect.DeepEqual(found.Stacks, []string{"db", "fine", "shop"}) {
		t.Errorf("found %+v", found)
	}
	if got := ask(t, nil, "validate", "--dir", filepath.Join(dir, "fine")); got.code != 0 {
		t.Errorf("without mistakes: exit code %d: %s%s", got.code, got.out, got.err)
	}
}
