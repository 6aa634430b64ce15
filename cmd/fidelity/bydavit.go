package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"davit/compose"
	"davit/engine"
	"davit/reconcile"
	"davit/rollout"
)

// instance is the identity of the davit that makes the specimens.
const instance = "fidelity"

// byDavit is what davit makes of a specimen: it loads the files, plans, and carries
// out the part of the plan that makes and starts nothing. What davit refuses is no
// error.
func (b *bench) byDavit(ctx context.Context, s specimen) (m made, err error) {
	p, err := b.load(ctx, s)
	if err != nil {
		return made{Refused: b.refusal(err)}, ctx.Err()
	}
	o := surroundingsOf(p)
	defer b.claims.take(o.names)()
	remove, err := b.provide(ctx, o)
	if err != nil {
		return made{Refused: b.refusal(err)}, ctx.Err()
	}
	defer func() {
		for _, f := range []func() error{func() error { return b.remove(ctx, s.stack.Name) }, remove} {
			if e := f(); err == nil {
				err = e
			}
		}
	}()
	if err := b.create(ctx, p); err != nil {
		return made{Refused: b.refusal(err)}, ctx.Err()
	}
	return b.look(ctx, s.stack.Name, b.normal(s, p))
}

// load reads the specimen as a stack that Compose ran before, so that its
// directory is Compose's.
func (b *bench) load(ctx context.Context, s specimen) (*compose.Project, error) {
	policy, err := compose.ParsePolicy("policy", []byte("preset: permissive\nrules: {build: true}\n"))
	if err != nil {
		return nil, err
	}
	p, err := compose.Load(ctx, s.stack, compose.LoadOptions{Root: s.repo, DataDir: filepath.Join(home, "data"), Policy: policy})
	if err != nil {
		return nil, err
	}
	var files []string
	for _, f := range s.stack.Files {
		files = append(files, filepath.Join(s.work, f))
	}
	return p.Relocated(compose.Origin{
		WorkingDir: filepath.Join(s.work, s.stack.Dir), ConfigFiles: strings.Join(files, ","), By: compose.ComposeV5,
	})
}

// surroundingsOf are what a project needs, as davit understands it.
func surroundingsOf(p *compose.Project) outside {
	var o outside
	for _, s := range p.Services {
		o.images = append(o.images, s.ImageRef())
		for _, hook := range s.Config.PreStart {
			o.images = append(o.images, hook.Image)
		}
		if s.Config.ContainerName != "" {
			o.names = append(o.names, "container "+s.Config.ContainerName)
		}
	}
	for _, n := range p.Model.Networks {
		o.names = append(o.names, "network "+n.Name)
		if n.External {
			o.networks = append(o.networks, n.Name)
		}
	}
	for _, v := range p.Model.Volumes {
		o.names = append(o.names, "volume "+v.Name)
		if v.External {
			o.volumes = append(o.volumes, v.Name)
		}
	}
	return o
}

// create makes the project's networks, volumes and containers.
func (b *bench) create(ctx context.Context, p *compose.Project) error {
	if _, err := (compose.Files{DataDir: filepath.Join(home, "data")}).Write(p); err != nil {
		return err
	}
	e, err := engine.New(engine.Options{
		Host: b.engine.Host, Instance: instance, DockerConfigDir: filepath.Join(home, "docker"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer e.Close()
	d := reconcile.Desired{Project: p, Images: map[string]reconcile.Image{}, Instance: instance}
	for _, s := range p.Services {
		image, err := e.LocalImage(ctx, s.ImageRef())
		if err != nil {
			return err
		}
		d.Images[s.Name] = image
	}
	plan, err := reconcile.NewPlan(d, reconcile.Observed{At: time.Now()}, time.Now())
	if err != nil {
		return err
	}
	result := rollout.New(rollout.Options{Engine: e, Journal: forgetful{}}).Execute(ctx, reconcile.Job{
		Plan: unstarted(plan), Release: reconcile.Release{Stack: p.Name, Seq: 1}, Report: func(reconcile.Event) {},
	})
	if result.Failure != nil {
		return fmt.Errorf("%s", result.Failure.Reason)
	}
	return result.Err
}

// unstarted is the part of a first deploy that starts nothing.
func unstarted(plan reconcile.Plan) reconcile.Plan {
	kept := []reconcile.StepKind{reconcile.StepNetwork, reconcile.StepVolume, reconcile.StepCreate, reconcile.StepPolicy, reconcile.StepRename}
	var steps []reconcile.Step
	number := map[int]int{}    // in the new plan, by that in the old one
	instead := map[int][]int{} // of a step that is left out: what it came after
	for _, s := range plan.Steps {
		var after []int
		for _, id := range s.After {
			if n, ok := number[id]; ok {
				after = append(after, n)
			}
			after = append(after, instead[id]...)
		}
		slices.Sort(after)
		after = slices.Compact(after)
		if !slices.Contains(kept, s.Kind) {
			instead[s.ID] = after
			continue
		}
		number[s.ID] = len(steps) + 1
		s.ID, s.After = len(steps)+1, after
		steps = append(steps, s)
	}
	plan.Steps = steps
	return plan
}

// forgetful keeps no journal: what is made here does not outlive the command.
type forgetful struct{}

func (forgetful) Intend(context.Context, reconcile.Entry) error { return nil }
func (forgetful) Done(context.Context, reconcile.Entry) error   { return nil }
