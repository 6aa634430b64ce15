package enginetest

import (
	"errors"

	"davit/reconcile"
)

func builds(r *rig) {
	ctx := r.Context()
	means := func(what, ref, id string) {
		r.Helper()
		here, err := r.Engine.LocalImage(ctx, ref)
		r.must(err)
		same(r, what, here.ID, id)
	}
	_, err := r.Engine.Build(ctx, reconcile.Image{Ref: r.Project + "-web"})
	r.fails("a build of nothing", err, r.Project+"-web")

	one := r.Buildable(r.T, "one")
	_, err = r.Engine.LocalImage(ctx, one.Built)
	r.is("what was never built", err, reconcile.ErrImageMissing)
	first, err := r.Engine.Build(ctx, one)
	r.must(err)
	same(r, "that it is here", first.ID != "" && first.Local && first.Healthcheck, true)
	same(r, "its name", first.Ref, one.Ref)
	same(r, "what names its content", first.Built, one.Built)
	sameList(r, "its volumes", first.Volumes, []string{"/data"})
	means("the image under the content's name", one.Built, first.ID)
	means("the image under the service's name", one.Ref, first.ID)
	tags, err := r.Engine.BuildTags(ctx)
	r.must(err)
	same(r, "the build's tag", tags[one.Built], first.ID)

	again, err := r.Engine.Build(ctx, r.Buildable(r.T, "one"))
	r.must(err)
	same(r, "the same built again", again.ID, first.ID)
	other, err := r.Engine.Build(ctx, r.Buildable(r.T, "two"))
	r.must(err)
	same(r, "that another content is another image", other.ID != first.ID, true)
	means("the service's name", one.Ref, other.ID)
	back, err := r.Engine.Build(ctx, one)
	r.must(err)
	same(r, "what a revert builds", back.ID, first.ID)
	means("the service's name after a revert", one.Ref, first.ID)

	bad := r.Buildable(r.T, Unbuildable)
	_, err = r.Engine.Build(ctx, bad)
	var (
		stalled *reconcile.Stalled
		failure *reconcile.BuildFailure
	)
	if !errors.As(err, &stalled) || stalled.After <= 0 || !errors.As(err, &failure) || failure.Tag != bad.Built || failure.Output == "" {
		r.Errorf("a build that fails: %#v", err)
	}
	means("the service's name after a build that failed", one.Ref, first.ID)
	_, err = r.Engine.LocalImage(ctx, bad.Built)
	r.is("what could not be built", err, reconcile.ErrImageMissing)
}
