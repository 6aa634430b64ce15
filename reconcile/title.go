package reconcile

import (
	"context"
	"slices"

	"davit/compose"
)

// entitled is the engine as the loop sees it. Labels cannot be changed, so what
// davit has adopted does not say whose it is: the record does. Everything that
// looks at a snapshot finds there what this davit owns as if it had made it.
type entitled struct {
	Engine
	loop *Loop
}

func (e entitled) Observe(ctx context.Context) (Observed, error) {
	o, err := e.Engine.Observe(ctx)
	if err != nil {
		e.loop.unanswered(ctx)
		return o, err
	}
	e.loop.atEdge(ctx, &o)
	// Without the record, what was adopted would look like somebody else's.
	if err := e.loop.loadAll(ctx, o); err != nil {
		return o, err
	}
	e.loop.mu.Lock()
	defer e.loop.mu.Unlock()
	o = e.loop.entitle(o, e.loop.stacks)
	e.loop.examine(&o)
	return o, nil
}

// title is what the record says of an adopted container.
type title struct {
	spec, version string
	release       int64
}

// takesOver reports whether r took running containers over. A release that was
// rebuilt from labels is of the same kind and took nothing.
func (r Release) takesOver() bool {
	return r.Kind == KindAdopt && r.Trigger != TriggerStartup && r.Outcome == Succeeded
}

// titles are the containers that the history says were taken over, by ID.
func titles(history []Release) map[string]title {
	if i := slices.IndexFunc(history, Release.removes); i >= 0 {
		history = history[:i]
	}
	out := map[string]title{}
	for _, r := range slices.Backward(history) {
		if !r.takesOver() {
			continue
		}
		for _, s := range r.Services {
			for _, id := range s.Containers {
				out[id] = title{spec: s.Spec, version: r.Version, release: r.Seq}
			}
		}
	}
	return out
}

// entitle marks what this davit owns without having made it. The caller holds
// l.mu.
func (l *Loop) entitle(o Observed, stacks map[string]*stack) Observed {
	o.Containers, o.Networks = slices.Clone(o.Containers), slices.Clone(o.Networks)
	known := map[string]map[string]title{}
	of := func(stack string) map[string]title {
		s := stacks[stack]
		if _, ok := known[stack]; !ok && s != nil {
			known[stack] = titles(s.history)
		}
		return known[stack]
	}
	for i := range o.Containers {
		c := &o.Containers[i]
		if c.Instance == l.Instance || c.OneOff {
			continue
		}
		if t, ok := of(c.Stack)[c.ID]; ok {
			c.Instance, c.Spec, c.Version, c.Release = l.Instance, t.spec, t.version, t.release
		} else if s := stacks[c.Stack]; s != nil && c.Instance == "" {
			l.receive(s, c, o)
		}
	}
	for i := range o.Networks {
		if n := &o.Networks[i]; n.Instance == "" && len(of(n.Stack)) > 0 {
			n.Instance = l.Instance
		}
	}
	return o
}

// receive makes a container that somebody else put into a stack of this davit a
// part of it: as good as its own where it is what the current release runs, and
// otherwise something to be replaced. What the release does not have is left alone.
func (l *Loop) receive(s *stack, c *Container, o Observed) {
	current := current(s.history)
	if current == nil || len(current.Project) == 0 {
		return
	}
	p, err := s.project(current)
	if err != nil {
		return // whoever plans with it reports it
	}
	service, ok := p.Service(c.Service)
	if !ok {
		return
	}
	rec, _ := current.Service(c.Service)
	c.Instance, c.Foreign, c.Spec = l.Instance, true, ""
	if c.ImageID == rec.Image.ID && c.WorkingDir == p.WorkingDir && madeBy(p, *c, peers(o, c.Stack)) {
		c.Spec = service.Hash
	}
}

// madeBy reports whether Compose has made c from what p declares.
func madeBy(p *compose.Project, c Container, peers map[string]string) bool {
	_, ok := generation(p, c, peers)
	return ok
}

// generation is the line of Compose that has made c from what p declares.
func generation(p *compose.Project, c Container, peers map[string]string) (compose.Generation, bool) {
	for _, g := range compose.Generations() {
		hash := p.ConfigHash(c.Service, compose.HashContext{Dir: c.WorkingDir, Peers: peers, By: g})
		if hash != "" && hash == c.ConfigHash {
			return g, true
		}
	}
	return compose.ComposeV5, false
}

// peers are the containers that Compose takes `service:web` for: the first of each
// service by name.
func peers(o Observed, stack string) map[string]string {
	out := map[string]string{}
	for _, c := range o.Containers {
		if c.Stack == stack && !c.OneOff && out[c.Service] == "" {
			out[c.Service] = c.ID
		}
	}
	return out
}
