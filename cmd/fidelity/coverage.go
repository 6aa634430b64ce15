package main

import (
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"
)

// coverage is how much of Compose's schema the corpus uses.
type coverage struct {
	// known are the schema's attributes, part by part; used are those that a file of
	// the corpus has.
	known [][]string
	used  map[string]bool
}

func newCoverage() coverage {
	c := coverage{used: map[string]bool{}}
	for _, p := range schema.AttributePaths() {
		c.known = append(c.known, strings.Split(string(p), "."))
	}
	return c
}

// enough is the share of attributes that has to be covered, in percent.
const enough = 95

func (c coverage) percent() float64 {
	return 100 * float64(len(c.known)-len(c.missing())) / float64(len(c.known))
}

func (c coverage) missing() []string {
	var list []string
	for _, parts := range c.known {
		if attribute := strings.Join(parts, "."); !c.used[attribute] {
			list = append(list, attribute)
		}
	}
	return list
}

// covered looks at every YAML file of the corpus in dir.
func covered(dir string) (coverage, error) {
	c := newCoverage()
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		return c, errors.Join(err, os.ErrNotExist)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			return c, err
		}
		for _, f := range archive.Files {
			var tree map[string]any
			if slices.Contains([]string{".yaml", ".yml"}, path.Ext(f.Name)) && yaml.Unmarshal(f.Data, &tree) == nil {
				c.use(tree, nil)
			}
		}
	}
	return c, nil
}

// use marks what a file says, in the schema's words: any key where the schema
// takes any, [] for places in lists.
func (c coverage) use(v any, at []string) {
	if len(at) > 0 {
		for _, known := range c.known {
			if means(known, at) {
				c.used[strings.Join(known, ".")] = true
			}
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			c.use(v[key], append(slices.Clone(at), key))
		}
	case []any:
		for i, e := range v {
			c.use(e, append(slices.Clone(at), "#"+strconv.Itoa(i)))
			// A list of KEY=VALUE is one syntax of what is a map otherwise.
			if text, ok := e.(string); ok {
				key, _, _ := strings.Cut(text, "=")
				c.use(nil, append(slices.Clone(at), key))
			}
		}
	}
}

// means reports whether the attribute known is the one at this place.
func means(known, at []string) bool {
	if len(known) != len(at) {
		return false
	}
	for i := range known {
		place := strings.HasPrefix(at[i], "#")
		if known[i] != at[i] && (known[i] != "[]" || !place) && (known[i] != "*" || place) {
			return false
		}
	}
	return true
}
