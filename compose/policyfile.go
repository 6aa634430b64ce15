package compose

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v4"
)

// maxPolicy bounds a policy's file, in bytes.
const maxPolicy = 256 << 10

// ReadPolicy reads a policy from a file on the host; "" is the permissive preset.
// The error is a list of *Problem if the file says something wrong.
func ReadPolicy(file string) (*Policy, error) {
	if file == "" {
		return NewPolicy(Permissive), nil
	}
	// A pipe that nobody writes to would be waited for.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	content, err := readRegular(f, maxPolicy)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", file, err)
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", file, err)
	}
	return ParsePolicy(abs, content)
}

// ParsePolicy reads the policy that is written in content; file names it in
// messages. What it does not know is a mistake with its line: a rule that is
// misspelt would else protect nothing.
func ParsePolicy(file string, content []byte) (*Policy, error) {
	f := &policyFile{policy: &Policy{file: file, preset: Permissive}, found: &problems{}}
	decoder := yaml.NewDecoder(strings.NewReader(string(content)))
	var doc, more yaml.Node
	err := decoder.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return nil, (&problems{list: []*Problem{{File: file, Err: errors.New("says nothing: write preset: strict, or preset: permissive")}}}).err()
	case err != nil:
		return nil, (&problems{list: []*Problem{yamlProblem(file, err)}}).err()
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		f.wrong(&doc, "", "holds more than one document")
	}
	f.top(doc.Content[0])
	if !f.found.empty() {
		return nil, f.found.err()
	}
	return f.policy, nil
}

// policyFile is a policy that is being read.
type policyFile struct {
	policy *Policy
	found  *problems
}

func (f *policyFile) wrong(n *yaml.Node, key, format string, args ...any) {
	f.found.add(&Problem{File: f.policy.file, Line: n.Line, Key: key, Err: fmt.Errorf(format, args...)})
}

func (f *policyFile) top(n *yaml.Node) {
	f.policy.stacks = map[string]section{}
	f.mapping(n, "", func(key string, name, value *yaml.Node) {
		switch key {
		case "preset":
			f.policy.preset = f.preset(key, value)
		case "rules":
			f.policy.rules = f.rules(key, value)
		case "stacks":
			f.mapping(value, key, func(stack string, _, value *yaml.Node) {
				f.policy.stacks[stack] = f.section(join(key, stack), value)
			})
		default:
			f.wrong(name, key, "is not a key of a policy: preset, rules and stacks are")
		}
	})
}

func (f *policyFile) section(at string, n *yaml.Node) section {
	var s section
	f.mapping(n, at, func(key string, name, value *yaml.Node) {
		switch key {
		case "preset":
			s.preset = f.preset(join(at, key), value)
		case "rules":
			s.rules = f.rules(join(at, key), value)
		default:
			f.wrong(name, join(at, key), "is not a key of a stack's policy: preset and rules are")
		}
	})
	return s
}

func (f *policyFile) preset(at string, n *yaml.Node) Preset {
	p := Preset(n.Value)
	if n.Kind != yaml.ScalarNode || p != Permissive && p != Strict {
		f.wrong(n, at, "must be %s or %s", Strict, Permissive)
	}
	return p
}

func (f *policyFile) rules(at string, n *yaml.Node) map[Rule]grant {
	rules := map[Rule]grant{}
	f.mapping(n, at, func(key string, name, value *yaml.Node) {
		if !slices.Contains(ruleNames(), Rule(key)) {
			f.wrong(name, join(at, key), "is not a rule%s", likeRule(key))
			return
		}
		rules[Rule(key)] = f.grant(join(at, key), Rule(key), value)
	})
	return rules
}

// grant reads true, false or a list.
func (f *policyFile) grant(at string, r Rule, n *yaml.Node) (g grant) {
	m := ruleOf(r).matching
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!bool":
		g.all = strings.EqualFold(n.Value, "true")
	case n.Kind == yaml.SequenceNode && m.match != nil:
		for i, item := range n.Content {
			key := fmt.Sprintf("%s[%d]", at, i)
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" || item.Value == "" {
				f.wrong(item, key, "must be plain text")
			} else if err := m.check(item.Value); err != nil {
				f.wrong(item, key, "%w", err)
			}
			g.items = append(g.items, item.Value)
		}
	case m.match != nil:
		f.wrong(n, at, "must be true for everything, false for nothing, or a list of what is allowed")
	default:
		f.wrong(n, at, "must be true or false")
	}
	return g
}

// mapping calls each for every key of n, with its own node and its value's.
func (f *policyFile) mapping(n *yaml.Node, at string, each func(key string, name, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		f.wrong(n, at, "must have keys and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if seen[name.Value] || name.Kind != yaml.ScalarNode {
			f.wrong(name, join(at, name.Value), "is given twice, or is no plain key")
			continue
		}
		seen[name.Value] = true
		// Anchors are of no use here and could be made to contain themselves.
		if value.Kind == yaml.AliasNode {
			f.wrong(value, join(at, name.Value), "is an alias: write it out")
			continue
		}
		each(name.Value, name, value)
	}
}

// likeRule suggests the rule that was probably meant.
func likeRule(key string) string {
	folded := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	for _, r := range ruleNames() {
		if name := string(r); folded == name || folded+"s" == name || folded == name+"s" {
			return fmt.Sprintf("; did you mean %s?", name)
		}
	}
	return ": docs/policy.md lists them"
}
