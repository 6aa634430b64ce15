package enginetest

import (
	"context"
	"errors"
	"time"

	"davit/reconcile"
)

// Buildable says what the images built for a name are like: their behaviour, or
// the error that building ends in.
func (e *Engine) Buildable(name string, b Behaviour, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images.buildable[name] = recipe{behaviour: b, err: err}
}

// recipe is what a build gives.
type recipe struct {
	behaviour Behaviour
	err       error
}

// Build makes the image that i.Build describes unless there is one.
func (e *Engine) Build(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	if i.Build == nil {
		return i, errors.New("build image " + i.Ref + ": there is no build")
	}
	got := i
	err := e.mutate(ctx, Op{Kind: OpBuild, Target: i.Built}, func(time.Time) error {
		p, ok := e.images.find(i.Built)
		if !ok {
			r, known := e.images.buildable[i.Ref]
			switch {
			case !known:
				return errors.New("nothing is said of how it is built")
			case r.err != nil:
				failure := &reconcile.BuildFailure{Tag: i.Built, Output: "Step 1/1 : " + r.err.Error(), Err: r.err}
				return &reconcile.Stalled{After: 10 * time.Minute, Reason: "build image " + i.Ref, Err: failure}
			}
			p = picture{id: "sha256:" + e.newID("image"), repository: repository(i.Ref), behaviour: r.behaviour}
			e.images.local[p.id] = p
			e.images.tags[tagged(i.Built)] = p.id
		}
		e.images.tags[tagged(i.Ref)] = p.id
		built := p.image(i.Ref, true)
		built.Built, built.Build = i.Built, i.Build
		got = built
		return nil
	})
	return got, err
}
