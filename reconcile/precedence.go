package reconcile

import (
	"fmt"

	"davit/compose"
)

// cycle is an error that names the circle of stacks that this one is part of, nil
// when it is part of none.
func (c *claims) cycle(name string) error { return compose.Cycles(c.needs())[name] }

// behind says which other stack a new content waits for, and why that one is not
// ready; "" when there is nothing to wait for. What already runs waits for nobody.
// The caller holds l.mu.
func (l *Loop) behind(in Situation) string {
	if in.Declared == nil {
		return ""
	}
	if now := current(in.History); now != nil && same(*now, in.Declared) {
		return ""
	}
	for _, name := range in.Declared.Settings.DependsOn {
		if why := l.unready(name, in); why != "" {
			return fmt.Sprintf("stack %s %s", name, why)
		}
	}
	return ""
}

// unready is why a stack is not synced and healthy, "" when it is.
func (l *Loop) unready(name string, waiting Situation) string {
	s, ok := l.stacks[name]
	if !ok {
		return "is not declared"
	}
	in := l.facts(s, waiting.Now)
	if in.gone() {
		return "is not declared"
	}
	v := Decide(in)
	if v.Sync != SyncSynced {
		return "is " + string(v.Sync)
	}
	st := StackStatus{Sync: v.Sync}
	if l.inspect(&st, s, in, v); st.Health != ConditionHealthy {
		return "is " + string(st.Health)
	}
	return ""
}

// inOrder are the names of all stacks, those that others wait for first, so that
// one pass is enough to see that they are ready. The caller holds l.mu.
func (l *Loop) inOrder() []string {
	needs, done := l.claims.needs(), map[string]bool{}
	var out []string
	var visit func(name string)
	visit = func(name string) {
		if done[name] {
			return
		}
		done[name] = true // in a circle, too, every stack comes once
		for _, before := range needs[name] {
			visit(before)
		}
		if _, ok := l.stacks[name]; ok {
			out = append(out, name)
		}
	}
	for _, name := range sortedKeys(l.stacks) {
		visit(name)
	}
	return out
}
