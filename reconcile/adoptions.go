package reconcile

import (
	"context"
	"errors"
	"fmt"
)

// AdoptionPlan is what taking over one running project would mean, and the plan
// that would follow.
type AdoptionPlan struct {
	Stack    string
	Adoption Adoption
	Plan     Plan
	// Handover are the host ports that the plan moves from Docker to the edge, with a short
	// gap: to adopt is to agree to that.
	Handover []HostPort
}

// Adoptions says what taking over would mean, for one stack or for "" every
// running project that is not this davit's, or of which Docker keeps ports that nobody
// has agreed to hand over. It changes nothing and records nothing.
func (l *Loop) Adoptions(ctx context.Context, stack string) ([]AdoptionPlan, error) {
	observed, err := l.Engine.Observe(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.observed, l.lookups = observed, newLookups(l.Registry)
	var open []Situation
	var keeping []*attempt
	for _, name := range sortedKeys(l.stacks) {
		in := l.situation(l.stacks[name], l.Now())
		if (stack == "" || stack == name) && in.Adoption != nil {
			open = append(open, in)
		} else if s := l.stacks[name]; (stack == "" || stack == name) && l.keepsPorts(s) {
			keeping = append(keeping, &attempt{loop: l, stack: s.agreed(), in: in, verdict: Decide(in), registry: l.lookups})
		}
	}
	_, known := l.stacks[stack]
	l.mu.Unlock()
	out := []AdoptionPlan{}
	for _, in := range open {
		a := AdoptionPlan{Stack: in.Stack, Adoption: *in.Adoption, Plan: Plan{Stack: in.Stack}}
		if in.Adoption.Obstacle == nil {
			if a.Plan, err = l.foresee(ctx, in, observed); err != nil {
				return nil, fmt.Errorf("plan the adoption of stack %s: %w", in.Stack, err)
			}
			a.Handover = a.Plan.handsOver(observed)
		}
		out = append(out, a)
	}
	for _, a := range keeping {
		p, err := a.preview(ctx, observed)
		if err != nil && !postponed(err) {
			return nil, fmt.Errorf("plan the handover of the ports of stack %s: %w", a.stack.name, err)
		}
		if ports := p.handsOver(observed); len(ports) > 0 {
			out = append(out, AdoptionPlan{Stack: a.stack.name, Plan: p, Handover: ports})
		}
	}
	foreign := projects(observed, l.Instance)
	switch {
	case stack == "":
		return append(out, l.undeclared(foreign, out)...), nil
	case len(out) > 0:
		return out, nil
	case foreign[stack]:
		return l.undeclared(map[string]bool{stack: true}, nil), nil
	case known:
		return nil, fmt.Errorf("adopt stack %s: %w: nothing of it runs that is not this davit's already", stack, ErrNotApplicable)
	}
	return nil, WithHint(fmt.Errorf("%w: %q", ErrNoSuchStack, stack), "see `davit status`")
}

// projects are the names of those of which nothing is this davit's.
func projects(o Observed, instance string) map[string]bool {
	out := map[string]bool{}
	for _, c := range o.Containers {
		if !c.OneOff {
			out[c.Stack] = true
		}
	}
	for _, c := range o.Containers {
		if c.Instance == instance {
			delete(out, c.Stack)
		}
	}
	return out
}

// undeclared are the projects that run and that no source declares.
func (l *Loop) undeclared(names map[string]bool, seen []AdoptionPlan) []AdoptionPlan {
	for _, a := range seen {
		delete(names, a.Stack)
	}
	var out []AdoptionPlan
	for _, name := range sortedKeys(names) {
		obstacle := errors.New("no source declares it; it is left alone")
		out = append(out, AdoptionPlan{Stack: name, Plan: Plan{Stack: name}, Adoption: Adoption{Obstacle: obstacle}})
	}
	return out
}

// foresee is the plan that would follow an adoption: the one that is made when the
// adoption is on record.
func (l *Loop) foresee(ctx context.Context, in Situation, observed Observed) (Plan, error) {
	adoption := *in.Adoption
	v := Verdict{Act: ActAdopt, Kind: KindAdopt}
	a := &attempt{loop: l, in: in, verdict: v, trigger: TriggerCLI, registry: l.lookups}
	r, err := a.draft(ctx, adoption)
	if err != nil {
		return Plan{}, err
	}
	r.Seq, r.Outcome = 1, Succeeded
	if last := newest(in.History); last != nil {
		r.Seq = last.Seq + 1
	}
	after := &stack{name: in.Stack, logger: l.Logger, loaded: true, history: append([]Release{r}, in.History...)}
	l.mu.Lock()
	observed = l.entitle(observed, map[string]*stack{in.Stack: after})
	l.mu.Unlock()
	in.History, in.Adoption, in.Foreign, in.Ours, in.Owner = after.history, nil, false, true, ""
	next := &attempt{loop: l, stack: after, in: in, verdict: Decide(in), registry: l.lookups}
	p, err := next.preview(ctx, observed)
	if err != nil && postponed(err) {
		return Plan{Stack: in.Stack, Blocked: Explanation(err)}, nil
	}
	return p, err
}
