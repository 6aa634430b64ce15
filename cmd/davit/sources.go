package main

import (
	"errors"
	"fmt"
	"regexp"

	"gopkg.in/yaml.v3"

	"davit/reconcile"
)

// Source is a repository that is followed: the configuration with the settings of
// this one filled in.
type Source struct {
	// Name tells it from others; "" where there is only one and nobody named it.
	Name string
	Config
	// given are the settings of its entry, in the order they were read.
	given []assignment
}

// assignment is a setting with the value that it is given.
type assignment struct {
	setting setting
	value   string
}

// followed are all repositories, whichever way they were given.
func (o Config) followed() []Source {
	switch {
	case len(o.Sources) > 0:
		return o.Sources
	case o.Repo != "":
		return []Source{{Config: o}}
	}
	return nil
}

// names are the names of all repositories.
func names(sources []Source) []string {
	var all []string
	for _, s := range sources {
		all = append(all, s.Name)
	}
	return all
}

// repositories are the addresses of all repositories, to be changed.
func (o *Config) repositories() []*string {
	all := []*string{&o.Repo}
	for i := range o.Sources {
		all = append(all, &o.Sources[i].Repo)
	}
	return all
}

// completeSources gives each source the settings that are the same for all of
// them, once these are known.
func (o *Config) completeSources() {
	common := *o
	common.Sources, common.alone = nil, nil
	for i := range o.Sources {
		s := &o.Sources[i]
		s.Config = common
		l := layer{config: &s.Config}
		for _, g := range s.given {
			// The file's reader has reported what is wrong with it.
			_ = l.apply(g.setting, g.value)
		}
		s.alone = nil
	}
}

// errSourceAlone refuses an option that would mean nothing.
var errSourceAlone = errors.New("--source goes with --dir: it says whose place the directory takes")

// standIn is the configuration that a directory is loaded with in place of a
// repository: of the source that is named, or the only one there is.
func (o Config) standIn(name string) (Source, error) {
	for _, s := range o.Sources {
		if s.Name == name || name == "" && len(o.Sources) == 1 {
			return s, nil
		}
	}
	switch {
	case name != "":
		return Source{}, fmt.Errorf("--source: no source is called %q", name)
	case len(o.Sources) > 1:
		return Source{}, reconcile.WithHint(fmt.Errorf("the configuration has %d sources", len(o.Sources)), "say with --source whose place the directory takes")
	}
	return Source{Config: o}, nil
}

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// sources reads the list of repositories.
func (f *file) sources(list *yaml.Node) {
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		f.wrong(list, "sources: must be a list of repositories")
		return
	}
	settings := map[string]setting{}
	for _, s := range everySetting() {
		if s.repository {
			settings[s.key] = s
		}
	}
	lines := map[string]int{}
	for _, n := range list.Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		entry := &file{path: f.path, layer: layer{config: &Config{}}, settings: settings, source: &Source{}}
		entry.repository(n)
		if line, twice := lines[entry.source.Name]; twice && entry.source.Name != "" {
			entry.wrong(n, "name: the source in line %d is called %q, too", line, entry.source.Name)
		}
		lines[entry.source.Name] = n.Line
		f.mistakes = append(f.mistakes, entry.mistakes...)
		f.layer.config.Sources = append(f.layer.config.Sources, *entry.source)
	}
}

// repository reads one entry of sources.
func (f *file) repository(n *yaml.Node) {
	f.mapping(n, "a source", func(key, value *yaml.Node) {
		if key.Value != "name" {
			f.entry(key, value)
			return
		}
		name, ok := f.scalar("name", value)
		if ok && !sourceName.MatchString(name) {
			f.wrong(value, "name: %q is none: it has up to 40 lower-case letters, digits, dashes and underscores, and begins with a letter or digit", name)
		}
		f.source.Name = name
	})
	if n.Kind != yaml.MappingNode {
		return
	}
	if f.source.Name == "" {
		f.wrong(n, "a source needs a name")
	}
	if f.layer.config.Repo == "" {
		f.wrong(n, "source %s: repo is missing", f.source.Name)
	}
}
