package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options are the flags of one command that set the configuration.
type options struct {
	console *console
	file    string
	flags   *pflag.FlagSet
	given   map[string]*given
}

// given remembers a flag's values until they are applied over the file's and the
// variables'.
type given struct {
	setting setting
	values  []string
}

func (g *given) Set(v string) error {
	g.values = append(g.values, v)
	return nil
}

func (g *given) String() string   { return "" }
func (g *given) Type() string     { return g.setting.kind }
func (g *given) IsBoolFlag() bool { return g.setting.kind == "" }

// configure gives cmd the common flags and those of settings.
func (c *console) configure(cmd *cobra.Command, settings ...setting) *options {
	o := &options{console: c, flags: cmd.Flags(), given: map[string]*given{}}
	o.flags.StringVar(&o.file, "config", "", "configuration file, YAML (or $DAVIT_CONFIG)")
	for _, s := range append(commonSettings(), settings...) {
		g := &given{setting: s}
		o.given[s.key] = g
		f := o.flags.VarPF(g, s.flag(), "", s.usage)
		if s.kind == "" {
			f.NoOptDefVal = "true"
		}
	}
	return o
}

// says reports whether the setting called key was given as a flag.
func (o *options) says(key string) bool { return len(o.given[key].values) > 0 }

// configured reports whether a configuration file is read.
func (o *options) configured() bool { return o.path() != "" }

// path is the name of the configuration file, "" for none.
func (o *options) path() string {
	if o.file != "" {
		return o.file
	}
	return o.console.Getenv("DAVIT_CONFIG")
}

// layer is one place that settings come from.
type layer struct {
	config *Config
	// chosen is the selector that this layer has set.
	chosen string
	seen   map[string]bool
}

// apply sets one value. Selectors and lists replace what lower layers said;
// within one layer lists grow and two selectors are a mistake.
func (l *layer) apply(s setting, value string) error {
	if s.selector() {
		if l.chosen != "" && l.chosen != s.key {
			return fmt.Errorf("%s and %s exclude each other", l.chosen, s.key)
		}
		l.chosen = s.key
		for _, other := range everySetting() {
			if other.selector() {
				other.clear(l.config)
			}
		}
	}
	if s.repository && !slices.Contains(l.config.alone, s.key) {
		l.config.alone = append(l.config.alone, s.key)
	}
	if s.many && !l.seen[s.key] {
		s.clear(l.config)
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[s.key] = true
	return s.set(l.config, value)
}

// load reads all layers: a flag wins over a variable, which wins over the file,
// which wins over the default. It reports every mistake at once.
func (o *options) load() (Config, error) {
	c := o.console.defaults()
	var all *multierror.Error
	if file := o.path(); file != "" {
		all = multierror.Append(all, readFile(file, &c)...)
	}
	all = multierror.Append(all, o.readVariables(&c)...)
	all = multierror.Append(all, o.readFlags(&c)...)
	c.completeSources()
	if err := c.check(); err != nil {
		all = multierror.Append(all, err)
	}
	if err := absolute(&c); err != nil {
		all = multierror.Append(all, err)
	}
	return c, flatten(nonempty(all))
}

func nonempty(all *multierror.Error) *multierror.Error {
	if all == nil || len(all.Errors) == 0 {
		return nil
	}
	return all
}

// readVariables applies the DAVIT_* variables of the settings that this command
// has; an empty one says nothing. The others are left alone: DAVIT_COMMIT means
// something else in a pipeline that only asks for the status.
func (o *options) readVariables(c *Config) (mistakes []error) {
	l := layer{config: c}
	for _, s := range everySetting() {
		text := o.console.Getenv(s.variable())
		if text == "" || o.given[s.key] == nil {
			continue
		}
		values := []string{text}
		if s.many {
			values = strings.Split(strings.TrimSpace(text), "\n")
		}
		for _, v := range values {
			if err := l.apply(s, v); err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %w", s.variable(), err))
			}
		}
	}
	return mistakes
}

func (o *options) readFlags(c *Config) (mistakes []error) {
	l := layer{config: c}
	o.flags.Visit(func(f *pflag.Flag) {
		g, ok := f.Value.(*given)
		if !ok {
			return
		}
		for _, v := range g.values {
			if err := l.apply(g.setting, v); err != nil {
				mistakes = append(mistakes, fmt.Errorf("--%s: %w", f.Name, err))
			}
		}
	})
	return mistakes
}

// absolute makes paths independent of the working directory. A repository is a
// directory when it says so.
func absolute(c *Config) error {
	paths := []*string{&c.Data, &c.SecretsDir}
	for _, repo := range c.repositories() {
		if *repo == "." || *repo == ".." || strings.HasPrefix(*repo, "./") || strings.HasPrefix(*repo, "../") {
			paths = append(paths, repo)
		}
	}
	for _, p := range paths {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", *p, err)
		}
		*p = abs
	}
	return nil
}

// unknownVariables are DAVIT_* variables that set nothing: most likely misspelt.
// DAVIT_VERSION and its like belong to compose files and are no mistake here.
func (c *console) unknownVariables() (names []string) {
	known := map[string]bool{"DAVIT_CONFIG": true, "DAVIT_VERSION": true, "DAVIT_TAG": true, "DAVIT_COMMIT": true, "DAVIT_REF": true}
	for _, s := range everySetting() {
		known[s.variable()] = true
	}
	for _, pair := range c.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "DAVIT_") && !known[name] {
			names = append(names, name)
		}
	}
	return names
}
