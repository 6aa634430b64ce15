package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"davit/compose"
)

// buildable is the image of a service that can be built: the published one where
// the service names one, else the one that was built of this very content, else
// one that a step of the plan builds.
func (r resolver) buildable(ctx context.Context, s compose.Service) (Image, error) {
	b := s.Build
	image := Image{Ref: b.Name, Platform: b.Platform, Built: b.Tag, Build: b}
	here, err := r.engine.LocalImage(ctx, b.Tag)
	built := err == nil
	if err != nil && !errors.Is(err, ErrImageMissing) {
		return image, err
	}
	if !b.Required && !(built && s.PullPolicy() == compose.PullMissing) {
		asking, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if published, err := r.remote(asking, s); err == nil {
			return published, nil
		}
		if err := ctx.Err(); err != nil {
			return image, err
		}
	}
	if built {
		image.found(here)
	}
	return image, nil
}

// found takes in what the engine says of the image that it has.
func (i *Image) found(here Image) {
	i.ID, i.Local, i.Volumes, i.Healthcheck = here.ID, true, here.Volumes, here.Healthcheck
}

// sameBuild reports whether the image, if it was built, was built of what the
// service declares.
func sameBuild(s compose.Service, i Image) bool {
	return i.Built == "" || s.Build != nil && s.Build.Tag == i.Built
}

// built reports whether an image of the release was built here.
func (r Release) built() bool {
	return slices.ContainsFunc(r.Services, func(s ServiceRecord) bool { return s.Image.Built != "" })
}

// builds are the steps of the plan that build images, as a plan of their own.
func (p Plan) builds() Plan {
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Kind != StepBuild })
	for i := range p.Steps {
		p.Steps[i].ID, p.Steps[i].After = i+1, nil
	}
	return p
}

// prepares reports whether the steps that were done only prepare: nothing has
// changed of what runs.
func (p Plan) prepares(done []int) bool {
	for _, s := range p.Steps {
		switch s.Kind {
		case StepPull, StepBuild, StepNetwork, StepVolume:
		default:
			if slices.Contains(done, s.ID) {
				return false
			}
		}
	}
	return true
}

// build carries out the plan's builds and returns the plan for the rest. It is
// made anew, because what an image declares, such as its volumes, is known only
// now.
func (a *attempt) build(ctx context.Context, plan Plan) (Plan, Result) {
	builds := plan.builds()
	if builds.Empty() {
		return plan, Result{}
	}
	result := a.execute(ctx, builds, a.release)
	if result.Err != nil {
		return plan, result
	}
	plan, err := a.rebuilt(ctx)
	return plan, Result{Err: err}
}

func (a *attempt) rebuilt(ctx context.Context) (Plan, error) {
	a.release.Services = slices.Clone(a.release.Services)
	for i := range a.release.Services {
		rec := &a.release.Services[i]
		image := a.images[rec.Name]
		if !image.unbuilt() {
			continue
		}
		here, err := a.loop.Engine.LocalImage(ctx, image.Built)
		if err != nil {
			return Plan{}, fmt.Errorf("look at the image built of service %s: %w", rec.Name, err)
		}
		image.found(here)
		a.images[rec.Name], rec.Image = image, image
	}
	a.release.Hash = releaseHash(a.release.Spec, a.images)
	observed, err := a.look(ctx)
	if err != nil {
		return Plan{}, err
	}
	return NewPlan(a.desired(), observed, a.loop.Now())
}

// blameBuild keeps what a build that failed had printed.
func blameBuild(r *Release, err error) {
	var failure *BuildFailure
	if !errors.As(err, &failure) {
		return
	}
	for i := range r.Services {
		if r.Services[i].Image.Built == failure.Tag {
			r.Services[i].Logs, r.Services[i].Outcome = failure.Output, failure.Error()
		}
	}
}
