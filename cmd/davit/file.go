package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// file is a configuration file that is being read.
type file struct {
	path     string
	layer    layer
	settings map[string]setting
	mistakes []error
	// source is the entry of sources: that is being read, nil outside of it.
	source *Source
}

// readFile applies a configuration file to c, strictly: what it does not know is
// a mistake with its line.
func readFile(path string, c *Config) []error {
	text, err := os.ReadFile(path)
	if err != nil {
		return []error{fmt.Errorf("read configuration: %w", err)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	if len(doc.Content) == 0 {
		return nil
	}
	f := &file{path: path, layer: layer{config: c}, settings: map[string]setting{}}
	for _, s := range everySetting() {
		f.settings[s.key] = s
	}
	f.mapping(doc.Content[0], "the file", f.entry)
	return f.mistakes
}

func (f *file) wrong(n *yaml.Node, format string, args ...any) {
	f.mistakes = append(f.mistakes, fmt.Errorf("%s:%d: %w", f.path, n.Line, fmt.Errorf(format, args...)))
}

// mapping calls each for every key of n, which is called what.
func (f *file) mapping(n *yaml.Node, what string, each func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		f.wrong(n, "%s must have keys and values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			f.wrong(key, "%s: given twice", key.Value)
			continue
		}
		seen[key.Value] = true
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		each(key, value)
	}
}

// entry applies one key of the file.
func (f *file) entry(key, value *yaml.Node) {
	s, ok := f.settings[key.Value]
	switch {
	case !ok && key.Value == "sources" && f.source == nil:
		f.sources(value)
	case !ok && key.Value == "balancers" && f.source == nil:
		f.balancers(value)
	case !ok && key.Value == "prometheus" && f.source == nil:
		f.prometheus(value)
	case !ok:
		f.wrong(key, "unknown key %q%s", key.Value, f.meant(key.Value))
	case s.key == "env":
		f.mapping(value, "env", func(name, v *yaml.Node) {
			if text, ok := f.scalar(name.Value, v); ok {
				f.apply(name, s, name.Value+"="+text)
			}
		})
	case s.key == "webhook":
		f.webhooks(value)
	case s.key == "window":
		f.windows(s, value)
	case s.many:
		f.list(s, value)
	default:
		if text, ok := f.scalar(key.Value, value); ok {
			f.apply(key, s, f.resolve(s.path, text))
		}
	}
}

func (f *file) apply(at *yaml.Node, s setting, value string) {
	if err := f.layer.apply(s, value); err != nil {
		f.wrong(at, "%s: %w", s.key, err)
	}
	if f.source != nil {
		f.source.given = append(f.source.given, assignment{s, value})
	}
}

// scalar is the text of a plain value.
func (f *file) scalar(key string, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		f.wrong(n, "%s: must have one plain value", key)
		return "", false
	}
	return n.Value, true
}

// resolve takes a relative path from the file's own directory: a service manager
// starts the agent in some other one.
func (f *file) resolve(path bool, value string) string {
	if !path || value == "" || filepath.IsAbs(value) {
		return value
	}
	return filepath.Join(filepath.Dir(f.path), value)
}

func (f *file) list(s setting, list *yaml.Node) {
	if list.Kind != yaml.SequenceNode {
		f.wrong(list, "%s: must be a list", s.key)
		return
	}
	for _, n := range list.Content {
		if text, ok := f.scalar(s.key, n); ok {
			f.apply(n, s, text)
		}
	}
}

func (f *file) webhooks(list *yaml.Node) {
	if list.Kind != yaml.SequenceNode {
		f.wrong(list, "webhook: must be a list")
		return
	}
	f.layer.config.Webhooks = nil
	for _, n := range list.Content {
		var w Webhook
		f.mapping(n, "webhook", func(key, value *yaml.Node) {
			switch key.Value {
			case "url":
				w.URL, _ = f.scalar("url", value)
			case "name":
				w.Name, _ = f.scalar("name", value)
			case "secret_file":
				text, _ := f.scalar("secret_file", value)
				w.SecretFile = f.resolve(true, text)
			case "events":
				if err := value.Decode(&w.Events); err != nil {
					f.wrong(value, "events: %w", errors.New("must be a list of names"))
				}
			default:
				f.wrong(key, "unknown key %q in webhook", key.Value)
			}
		})
		f.layer.config.Webhooks = append(f.layer.config.Webhooks, w)
	}
}

// meant suggests the key that was probably meant.
func (f *file) meant(key string) string {
	folded := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	for known := range f.settings {
		if folded == known || strings.TrimSuffix(folded, "s") == known {
			return fmt.Sprintf("; did you mean %s?", known)
		}
	}
	return ""
}
