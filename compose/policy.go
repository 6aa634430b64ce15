package compose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Policy is what the host allows stacks to do to it. It lives on the host, never
// in a repository: whoever can write to Git must not be able to widen it. A nil
// Policy is the permissive preset.
type Policy struct {
	// file is where it was read, for messages; "" for a preset as such.
	file   string
	preset Preset
	rules  map[Rule]grant
	stacks map[string]section
}

// section is what the policy says of one stack.
type section struct {
	preset Preset
	rules  map[Rule]grant
}

// Preset is a complete set of grants.
type Preset string

const (
	// Permissive allows what Compose allows, building images apart.
	Permissive Preset = "permissive"
	// Strict allows nothing by which a container could become root on the host.
	Strict Preset = "strict"
)

func (p Preset) String() string { return string(p) }

// NewPolicy is a preset without any change.
func NewPolicy(p Preset) *Policy { return &Policy{preset: p} }

// AllowsBuild reports whether images may be built for the stack. Building runs
// whatever the repository says, as root, outside of every other rule.
func (p *Policy) AllowsBuild(stack string) bool {
	return p.grants(stack, RuleBuild).all
}

// RefuseBuild is the Violation of a service of the stack that needs a build, nil
// where building is allowed.
func (p *Policy) RefuseBuild(stack string) error {
	if p.AllowsBuild(stack) {
		return nil
	}
	return p.violation(stack, RuleBuild, "build", "images are built by running what the repository says, as root on the host")
}

// grants is what a rule allows a stack: what is said of the stack, else of every
// stack, else by the preset.
func (p *Policy) grants(stack string, r Rule) grant {
	if p == nil {
		return Permissive.grant(r)
	}
	own := p.stacks[stack]
	if g, ok := own.rules[r]; ok {
		return g
	}
	if own.preset != "" {
		return own.preset.grant(r)
	}
	if g, ok := p.rules[r]; ok {
		return g
	}
	return cmp.Or(p.preset, Permissive).grant(r)
}

// grant is what the preset allows by a rule.
func (p Preset) grant(r Rule) grant {
	if p == Strict {
		return ruleOf(r).strict
	}
	return grant{all: r != RuleBuild}
}

// grant is how much of one rule is allowed: all of it, or what matches an item.
type grant struct {
	all   bool
	items []string
}

func (g grant) allows(m matching, value string) bool {
	return g.all || m.match != nil && slices.ContainsFunc(g.items, func(item string) bool { return m.match(item, value) })
}

// Violation is one thing that the policy refuses.
type Violation struct {
	Rule Rule
	// What is refused, and why it matters.
	What string
	// Allow is what an operator would write, and where; "" if nothing allows it.
	Allow string
}

// Error is "policy: rule: what; how to allow it".
func (v *Violation) Error() string {
	text := fmt.Sprintf("policy: %s: %s", v.Rule, v.What)
	if v.Allow == "" {
		return text + "; no policy can allow it"
	}
	return text + "; " + v.Allow
}

// violation words the refusal of value by a rule.
func (p *Policy) violation(stack string, r Rule, value, what string) *Violation {
	file := "the file named with --policy"
	if p != nil && p.file != "" {
		file = p.file
	}
	spell := fmt.Sprintf("%s: true", r)
	if m := ruleOf(r).matching; m.match != nil {
		item := value
		if m.item != nil {
			item = m.item(value)
		}
		spell = fmt.Sprintf("%s: [%q]", r, item)
	}
	return &Violation{Rule: r, What: what, Allow: fmt.Sprintf("to allow it, write `%s` below stacks.%s.rules in %s", spell, stack, file)}
}

// Judge says everything that the policy refuses in a project that was loaded
// before, as one it would return to. The error is a list of *Problem, each with a
// *Violation in it. Their lines are not known any more.
func (p *Policy) Judge(project *Project, host Host) error {
	found := &problems{}
	file := project.Name
	if len(project.Files) > 0 {
		file = project.Files[0]
	}
	j := newJudge(p, project.Name, project.Model, host)
	j.home = project.WorkingDir
	j.own = func(source string) bool {
		return j.placed(source) && j.stays(source) || beneath(source, host.contentDir()) ||
			host.SecretsDir != "" && beneath(source, host.SecretsDir)
	}
	j.report = func(key string, err error) { found.add(&Problem{File: file, Key: key, Err: err}) }
	j.project()
	return found.err()
}

// ruleNames are the names that a policy's file may use, sorted.
func ruleNames() []Rule {
	return slices.Sorted(maps.Keys(ruleTable()))
}
