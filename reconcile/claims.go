package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"davit/compose"
)

// Memory keeps small things for the next start.
type Memory interface {
	Remember(ctx context.Context, key, value string) error
	Recall(ctx context.Context, key string) (value string, found bool, err error)
}

// Owner is who declared a stack first. It keeps the stack's name until it declares
// it no more.
type Owner struct {
	// Source is the source's name; "" where there is only one.
	Source string `json:"source"`
	// File is the stack's main compose file, relative to the source's root; "" when
	// it has not been read yet.
	File string `json:"file"`
	// Orphaned is true where the source was seen to declare the stack no more.
	Orphaned bool `json:"orphaned,omitempty"`
}

// ownersKey is where owners are remembered.
const ownersKey = "owners"

// RecallOwners is who owned each stack when that was last written down.
func RecallOwners(ctx context.Context, m Memory) (map[string]Owner, error) {
	owners := map[string]Owner{}
	text, found, err := m.Recall(ctx, ownersKey)
	if err != nil || !found {
		return owners, err
	}
	if err := json.Unmarshal([]byte(text), &owners); err != nil {
		return owners, fmt.Errorf("read the owners of stacks: %w", err)
	}
	return owners, nil
}

// claims is what every source declares, and whose each stack is.
type claims struct {
	// sources are the names of the configured ones.
	sources  []string
	latest   map[string]*Declaration
	projects map[string]map[string]*compose.Project
	// by are the sources that declare a stack, the first to do so at the front.
	by map[string][]string
	// owners outlive the agent; unsaved says that they are not written down as they
	// are.
	owners  map[string]Owner
	unsaved bool
}

func newClaims(sources []string) *claims {
	if len(sources) == 0 {
		sources = []string{""}
	}
	return &claims{
		sources: sources, latest: map[string]*Declaration{}, projects: map[string]map[string]*compose.Project{},
		by: map[string][]string{}, owners: map[string]Owner{},
	}
}

// declare replaces what a source declares.
func (c *claims) declare(d Declaration) {
	c.latest[d.Source] = &d
	c.projects[d.Source] = map[string]*compose.Project{}
	named := map[string]bool{}
	for _, p := range d.Projects {
		c.projects[d.Source][p.Name], named[p.Name] = p, true
	}
	for name := range d.Broken {
		named[name] = true
	}
	for name, by := range c.by {
		if !named[name] {
			c.by[name] = slices.DeleteFunc(by, func(s string) bool { return s == d.Source })
		}
	}
	for name := range named {
		if !slices.Contains(c.by[name], d.Source) {
			c.by[name] = append(c.by[name], d.Source)
		}
	}
}

// own writes down whose each declared stack is, and which is declared no more: while
// no source can be reached, an orphan is not to be taken for what is wanted.
func (c *claims) own() {
	for name := range c.by {
		d := c.holder(name)
		if d == nil {
			continue
		}
		is := Owner{Source: d.Source}
		if before := c.owners[name]; before.Source == d.Source {
			is.File = before.File
		}
		if p := c.projects[d.Source][name]; p != nil && d.Broken[name] == nil && len(p.Files) > 0 {
			is.File = p.Files[0]
		}
		if before, ok := c.owners[name]; !ok || before != is {
			c.owners[name], c.unsaved = is, true
		}
	}
	for name, owner := range c.owners {
		if !owner.Orphaned && len(c.by[name]) == 0 && c.latest[owner.Source] != nil {
			owner.Orphaned = true
			c.owners[name], c.unsaved = owner, true
		}
	}
}

// holder is the declaration that the stack is run by, nil while there is none. A
// source that owned it when the agent ended is waited for, so that the order in
// which sources answer decides nothing.
func (c *claims) holder(name string) *Declaration {
	by := c.by[name]
	if len(by) == 0 {
		return nil
	}
	if owner, ok := c.owners[name]; ok {
		switch {
		case slices.Contains(by, owner.Source):
			return c.latest[owner.Source]
		case c.configured(owner.Source) && c.latest[owner.Source] == nil:
			return nil
		}
	}
	return c.latest[by[0]]
}

func (c *claims) configured(source string) bool { return slices.Contains(c.sources, source) }

// speaker is the declaration that speaks for a stack, be it by its silence; nil
// when nothing can be said of the stack yet.
func (c *claims) speaker(name string) *Declaration {
	if d := c.holder(name); d != nil {
		return d
	}
	if owner, ok := c.owners[name]; ok && c.configured(owner.Source) {
		return c.latest[owner.Source]
	}
	// Nobody's, or a source's that is gone: anyone may declare it.
	for _, s := range c.sources {
		if c.latest[s] == nil {
			return nil
		}
	}
	return c.latest[c.sources[0]]
}

// project is what the holder declares for the stack, nil for nothing and for a
// broken one.
func (c *claims) project(name string) *compose.Project {
	d := c.holder(name)
	if d == nil || d.Broken[name] != nil {
		return nil
	}
	return c.projects[d.Source][name]
}

// removed reports whether the stack is declared gone by whoever may say so.
func (c *claims) removed(name string) bool {
	if len(c.by[name]) > 0 || c.speaker(name) == nil {
		return false
	}
	owner, ok := c.owners[name]
	for _, s := range c.sources {
		d := c.latest[s]
		if d != nil && slices.Contains(d.Removed, name) && (!ok || owner.Source == s || !c.configured(owner.Source)) {
			return true
		}
	}
	return false
}

// refused is a Refusal with the source whose claim it is.
type refused struct {
	Refusal
	source string
}

// refusals are all claims that are not granted, in the order of sources and stacks.
func (c *claims) refusals() []refused {
	var out []refused
	for _, s := range slices.Sorted(maps.Keys(c.latest)) {
		for _, r := range c.latest[s].Refused {
			out = append(out, refused{r, s})
		}
	}
	for name, by := range c.by {
		for _, s := range by {
			if owner, ok := c.rival(name, s); ok {
				out = append(out, refused{Refusal{Stack: name, Err: c.clash(name, s, owner)}, s})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b refused) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.Stack, b.Stack))
	})
	return out
}

// rival is the source that keeps the stack's name from the source called s.
func (c *claims) rival(name, s string) (owner string, ok bool) {
	if d := c.holder(name); d != nil {
		return d.Source, d.Source != s
	}
	return c.owners[name].Source, true
}

func (c *claims) clash(name, source, owner string) error {
	return WithHint(fmt.Errorf("the stack name %q is claimed by source %s and by source %s, which had it first", name,
		c.quote(source, name), c.quote(owner, name)), "give one of them another `name:`")
}

// quote is a source by its name and, where it is known, the stack's file in it.
func (c *claims) quote(source, stack string) string {
	file := ""
	if p := c.projects[source][stack]; p != nil && len(p.Files) > 0 {
		file = p.Files[0]
	} else if o := c.owners[stack]; o.Source == source {
		file = o.File
	}
	if file == "" {
		return fmt.Sprintf("%q", source)
	}
	return fmt.Sprintf("%q (%s)", source, file)
}

// needs are the stacks that each declared stack waits for.
func (c *claims) needs() map[string][]string {
	out := map[string][]string{}
	for name := range c.by {
		if p := c.project(name); p != nil && len(p.Settings.DependsOn) > 0 {
			out[name] = p.Settings.DependsOn
		}
	}
	return out
}
