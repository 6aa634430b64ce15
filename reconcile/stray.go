package reconcile

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"davit/compose"
)

// heed ends the planning where u would write a source beside somebody whom this plan
// may not stop: a container that another stack of this davit has left behind, or is
// about to stop, or one that nobody here has made. What ran beside it before may run
// again.
func (p *planner) heed(u *unit, source string) {
	if p.desired.Settled {
		return
	}
	for _, c := range p.desired.Strays {
		if writes(c, source) {
			p.refusal = &Waiting{Reason: fmt.Sprintf("service %s would write %s, which %s of stack %s writes still", u.Name, source, c.Name, c.Stack),
				Err: WithHint(errors.New("the two stacks do not both declare it"),
					"it begins as soon as %s has stopped; `davit remove %s` takes an orphaned stack away", c.Name, c.Stack)}
			return
		}
	}
	if p.desired.Returning {
		return
	}
	for _, c := range p.others {
		if (c.Running() || c.State == Restarting) && writes(c, source) {
			p.refusal = &Stalled{Reason: "service " + u.Name, Err: WithHint(
				fmt.Errorf("it would write %s beside %s, which davit has not made", p.called(source), c.Name),
				"stop and remove %s, or set x-davit.concurrent_writers: true on %s if both may write it at once", c.Name, u.Name)}
			return
		}
	}
}

// strays are the running containers of this davit's other stacks with what they write
// and the stack of in does not share with theirs: not both declare it. The caller
// holds l.mu.
func (l *Loop) strays(in Situation) []Container {
	var out []Container
	for _, c := range l.observed.Containers {
		if c.Stack == in.Stack || c.Instance != l.Instance || c.OneOff || !c.Running() && c.State != Restarting {
			continue
		}
		theirs := l.declaredOf(c.Stack)
		c.Mounts = slices.DeleteFunc(slices.Clone(c.Mounts), func(m Mount) bool {
			return !m.Writable || !m.holdsData() || theirs != nil && declares(theirs, c.Service, m.Source) && mentions(in.Declared, m.Source)
		})
		c.Volumes = map[string]string{}
		for _, m := range c.Mounts {
			if m.Kind == MountVolume {
				c.Volumes[m.Path] = m.Source
			}
		}
		if len(c.Mounts) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// declaredOf is what a stack declares, in the directory that it has; while that is not
// known, what its current release declared. nil when nothing is declared.
func (l *Loop) declaredOf(name string) *compose.Project {
	s := l.stacks[name]
	if s == nil {
		return nil
	}
	p := l.claims.project(name)
	switch d := l.claims.speaker(name); {
	case d == nil || d.Broken[name] != nil:
		return s.declaredBy(current(s.history))
	case p != nil && s.home.declared == p && s.home.moved != nil:
		return s.home.moved
	}
	return p
}

// mentions reports whether any service of the project writes the source.
func mentions(p *compose.Project, source string) bool {
	return p != nil && slices.ContainsFunc(p.Services, func(s compose.Service) bool { return declares(p, s.Name, filepath.Clean(source)) })
}
