package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

const (
	// maxNodes and maxText bound one file after its aliases are resolved: a
	// hundred lines of aliases to aliases can mean a billion nodes.
	maxNodes = 100_000
	maxText  = 16 << 20
	maxDepth = 100
)

// document is one YAML document of one compose file, with the context that its
// relative paths and its variables are read in.
type document struct {
	place
	// value is what the file says, before variables are replaced.
	value map[string]any
	// lines are the lines of keys by their dotted path.
	lines map[string]int
}

// place says which file is read and how.
type place struct {
	// file is relative to the root.
	file string
	// base is the directory, relative to the root, that paths in it start from.
	base string
	env  types.Mapping
	role role
	// service is, for an extended file, the service that is used of it.
	service string
}

// role is why a file is read.
type role int

const (
	roleMain role = iota
	roleIncluded
	roleExtended
)

// problem is a mistake at the key with this dotted path, or at its closest
// ancestor that the file holds.
func (d *document) problem(key string, err error) *Problem {
	p := &Problem{File: d.file, Key: key, Err: err}
	for k := key; ; {
		if line, ok := d.lines[k]; ok {
			p.Line = line
			return p
		}
		i := strings.LastIndexAny(k, ".[")
		if i < 0 {
			return p
		}
		k = k[:i]
	}
}

// parse returns the documents of one file.
func parse(at place, content []byte) ([]*document, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var docs []*document
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, yamlProblem(at.file, err)
		}
		d, err := newDocument(at, &n)
		if err != nil {
			return docs, err
		}
		if d != nil {
			docs = append(docs, d)
		}
	}
}

func newDocument(at place, n *yaml.Node) (*document, error) {
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	size := measure{sizes: map[*yaml.Node]weight{}}
	if w := size.of(n, 0); w.nodes > maxNodes || w.text > maxText {
		return nil, &Problem{File: at.file, Err: errors.New("is too large or nested too deeply once its aliases are resolved")}
	}
	unreset(n)
	var raw any
	if err := n.Decode(&raw); err != nil {
		return nil, yamlProblem(at.file, err)
	}
	if raw == nil {
		return nil, nil
	}
	value, ok := stringKeys(raw).(map[string]any)
	if !ok {
		return nil, &Problem{File: at.file, Line: n.Line, Err: errors.New("is not a mapping of keys at its top level")}
	}
	d := &document{place: at, value: value, lines: map[string]int{}}
	d.index(n, "", false)
	return d, nil
}

// index notes the line of every key below n. What `<<` merges into a mapping is
// soft: it does not hide a key that the mapping has itself.
func (d *document) index(n *yaml.Node, key string, soft bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if k.Value == "<<" {
				d.merged(v, key)
				continue
			}
			next := join(key, k.Value)
			d.note(next, k.Line, soft)
			d.index(v, next, soft)
		}
	case yaml.SequenceNode:
		for i, v := range n.Content {
			next := fmt.Sprintf("%s[%d]", key, i)
			d.note(next, v.Line, soft)
			d.index(v, next, soft)
		}
	}
}

func (d *document) merged(n *yaml.Node, key string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		d.index(n, key, true)
		return
	}
	for _, v := range n.Content {
		d.merged(v, key)
	}
}

func (d *document) note(key string, line int, soft bool) {
	if _, ok := d.lines[key]; !soft || !ok {
		d.lines[key] = line
	}
}

func join(key, next string) string {
	if key == "" || next == "" {
		return key + next
	}
	return key + "." + next
}

// unreset removes what Compose's !reset tag removes, and the !override tag,
// which says how to merge and nothing about the value.
func unreset(n *yaml.Node) {
	if n.Tag == "!override" {
		n.Tag = ""
		n.Style &^= yaml.TaggedStyle
	}
	var kept []*yaml.Node
	for i := 0; i < len(n.Content); i++ {
		v := n.Content[i]
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if i+1 < len(n.Content) && n.Content[i+1].Tag == "!reset" {
				i++
				continue
			}
		} else if v.Tag == "!reset" {
			continue
		}
		unreset(v)
		kept = append(kept, v)
	}
	n.Content = kept
}

// measure weighs a document with every alias written out, without writing it
// out.
type measure struct {
	sizes map[*yaml.Node]weight
}

type weight struct{ nodes, text int }

func (m measure) of(n *yaml.Node, depth int) weight {
	if w, ok := m.sizes[n]; ok {
		return w
	}
	if depth > maxDepth {
		return weight{nodes: maxNodes + 1}
	}
	// An anchor that contains itself meets this entry and is refused.
	m.sizes[n] = weight{nodes: maxNodes + 1}
	w := weight{nodes: 1, text: len(n.Value)}
	children := n.Content
	if n.Kind == yaml.AliasNode {
		children = []*yaml.Node{n.Alias}
	}
	for _, c := range children {
		sub := m.of(c, depth+1)
		w.nodes = min(w.nodes+sub.nodes, maxNodes+1)
		w.text = min(w.text+sub.text, maxText+1)
	}
	m.sizes[n] = w
	return w
}

// stringKeys turns what YAML allows as keys into text where that is harmless;
// the loader refuses the rest by name.
func stringKeys(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = stringKeys(e)
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = stringKeys(e)
		}
		return m
	case []any:
		for i, e := range v {
			v[i] = stringKeys(e)
		}
	}
	return v
}

// yamlProblem takes the line out of the YAML library's text.
func yamlProblem(file string, err error) *Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := &Problem{File: file, Err: errors.New(strings.Join(strings.Fields(text), " "))}
	if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
	}
	return p
}
