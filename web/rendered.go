package web

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"davit/compose"
	"davit/reconcile"
)

// Rendered answers GET /v1/config/{stack}: the project of the current release.
type Rendered struct {
	Stack   string `json:"stack"`
	Seq     int64  `json:"seq"`
	Version string `json:"version"`
	Project string `json:"project"` // YAML
}

// masked stands for a value that is not shown.
const masked = "***"

func (s *Server) config(r *http.Request) (any, error) {
	stack := r.PathValue("stack")
	releases, err := s.History.Releases(r.Context(), stack, 0)
	if err != nil {
		return nil, err
	}
	if len(releases) == 0 {
		if err := s.known(r, stack); err != nil {
			return nil, err
		}
	}
	return NewRendered(stack, releases, r.URL.Query().Get("show_values") == "1")
}

// NewRendered is the project of the newest good release, with every environment
// value masked unless values is set.
func NewRendered(stack string, releases []reconcile.Release, values bool) (Rendered, error) {
	for _, r := range releases {
		if r.Outcome != reconcile.Succeeded || len(r.Project) == 0 {
			continue
		}
		text, err := render(r.Project, values)
		if err != nil {
			return Rendered{}, fmt.Errorf("render release %d of %s: %w", r.Seq, stack, err)
		}
		return Rendered{Stack: stack, Seq: r.Seq, Version: r.Version, Project: text}, nil
	}
	return Rendered{}, &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("stack %q: no release has succeeded yet", stack)}
}

// render is a recorded project as a compose file, in block style.
func render(project []byte, values bool) (string, error) {
	p, err := compose.Unmarshal(project)
	if err != nil {
		return "", err
	}
	text, err := p.Model.MarshalYAML()
	if err != nil {
		return "", fmt.Errorf("write as YAML: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return "", fmt.Errorf("read back: %w", err)
	}
	if !values {
		mask(&doc)
		// The longest first: one may be a part of another.
		conceal(&doc, slices.SortedFunc(slices.Values(p.Sensitive), func(a, b string) int { return len(b) - len(a) }))
	}
	escape(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return "", fmt.Errorf("write as YAML: %w", err)
	}
	return b.String(), e.Close()
}

// escape doubles every dollar sign: everything is interpolated already, and
// Compose must not do it again.
func escape(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		n.Value = strings.ReplaceAll(n.Value, "$", "$$")
	}
	for _, child := range n.Content {
		escape(child)
	}
}

// mask replaces what may be secret wherever a compose file can hold it: the
// values of environment variables and build arguments, and the content of
// configs and secrets.
func mask(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			switch value := n.Content[i+1]; n.Content[i].Value {
			case "environment", "args", "content":
				hide(value)
			default:
				mask(value)
			}
		}
		return
	}
	for _, child := range n.Content {
		mask(child)
	}
}

// conceal takes secrets out of every other place that a variable put them into,
// such as a command's argument.
func conceal(n *yaml.Node, secrets []string) {
	if n.Kind == yaml.ScalarNode {
		for _, s := range secrets {
			n.Value = strings.ReplaceAll(n.Value, s, masked)
		}
	}
	for _, child := range n.Content {
		conceal(child, secrets)
	}
}

// hide masks every scalar below n, but keeps the names of "NAME=value" lists.
func hide(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		name, _, pair := bytes.Cut([]byte(n.Value), []byte("="))
		n.SetString(masked)
		if pair {
			n.SetString(string(name) + "=" + masked)
		}
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			n.Content[i].SetString(masked)
		}
	case yaml.SequenceNode:
		for _, child := range n.Content {
			hide(child)
		}
	}
}
