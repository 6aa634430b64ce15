package reconcile_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// BenchmarkPassWithNothingToDo is the agent's own share of a pass over a settled
// host: the engine is in memory, so what an engine's answers cost is not in it.
func BenchmarkPassWithNothingToDo(b *testing.B) {
	for _, stacks := range []int{1, 50, 100} {
		b.Run(fmt.Sprintf("%d stacks of 5 services", stacks), func(b *testing.B) {
			loop := settledHost(b, stacks)
			b.ResetTimer()
			for b.Loop() {
				if err := loop.Settle(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPlanOfAReplacement plans one changed service among five.
func BenchmarkPlanOfAReplacement(b *testing.B) {
	p := loadProject(b, fiveServices("shop", "2"))
	images := map[string]reconcile.Image{}
	var o reconcile.Observed
	for i, s := range p.Services {
		images[s.Name] = reconcile.Image{Ref: s.Config.Image, ID: "new", Local: true}
		id := "new"
		if i == 0 {
			id = "old"
		}
		o.Containers = append(o.Containers, reconcile.Container{ID: s.Name, Stack: p.Name, Service: s.Name, Number: 1,
			Instance: "here", Spec: s.Hash, ImageID: id, State: reconcile.Running, Restart: "no", Started: now.Add(-time.Hour)})
	}
	d := reconcile.Desired{Project: p, Images: images, Instance: "here"}
	for b.Loop() {
		if _, err := reconcile.NewPlan(d, o, now); err != nil {
			b.Fatal(err)
		}
	}
}

func fiveServices(stack, tag string) string {
	text := "name: " + stack + "\nservices:\n"
	for i := range 5 {
		text += fmt.Sprintf("  s%d:\n    image: shop:%s\n    environment: {LEVEL: info, PORT: \"80%d0\"}\n    x-davit: {stable_for: 0s, monitor: 0s}\n", i, tag, i)
	}
	return text
}

// settledHost is a loop over stacks that all run what is declared.
func settledHost(b *testing.B, stacks int) *reconcile.Loop {
	e := enginetest.New(enginetest.Options{Instance: "here"})
	e.AddImage("shop:1", enginetest.Behaviour{})
	var projects []*compose.Project
	for i := range stacks {
		projects = append(projects, loadProject(b, fiveServices(fmt.Sprintf("stack%d", i), "1")))
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	store := &record{}
	loop := reconcile.New(reconcile.Options{
		Instance: "here", Engine: e, Registry: registry{e}, Keeper: e, History: store, Decisions: store, Logger: quiet,
		Executor: rollout.New(rollout.Options{Engine: e, Journal: store, Logger: quiet}), Emit: func(reconcile.Event) {},
	})
	loop.Declare(reconcile.Declaration{Revision: reconcile.Revision{Ref: "main", Commit: "1", Version: "v1.0.0"}, Projects: projects})
	if err := loop.Settle(b.Context()); err != nil {
		b.Fatal(err)
	}
	all, err := loop.Status(b.Context())
	if err != nil || len(all) != stacks {
		b.Fatalf("%d stacks, %v", len(all), err)
	}
	for _, s := range all {
		if s.Sync != reconcile.SyncSynced {
			b.Fatalf("%s is %s: %s", s.Name, s.Sync, s.LastError)
		}
	}
	return loop
}
