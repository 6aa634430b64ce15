package main

import (
	"cmp"
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"davit/compose"
	"davit/reconcile"
)

// shortest is how long a value must be to be taken out of texts: shorter ones
// would take half of every text along.
const shortest = 6

// secrets are the values that must not be seen in logs, events and records. What
// was learnt once is never forgotten: old containers still print it.
type secrets struct {
	mu       sync.RWMutex
	values   map[string]bool
	replacer *strings.Replacer
}

func newSecrets() *secrets {
	return &secrets{values: map[string]bool{}, replacer: strings.NewReplacer()}
}

// scrub replaces every known value in text.
func (s *secrets) scrub(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.replacer.Replace(text)
}

// learn adds values. A file's lines count each, and together.
func (s *secrets) learn(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := len(s.values)
	for _, v := range values {
		for _, part := range append(strings.Split(v, "\n"), v) {
			if part = strings.TrimSpace(part); len(part) >= shortest {
				s.values[part] = true
			}
		}
	}
	if len(s.values) == known {
		return
	}
	var pairs []string
	for _, v := range longestFirst(s.values) {
		pairs = append(pairs, v, "***")
	}
	s.replacer = strings.NewReplacer(pairs...)
}

// learned is a loader that learns the secrets of what it loads.
type learned struct {
	stacks
	secrets *secrets
}

// Load implements loader.
func (l learned) Load(ctx context.Context, r reconcile.Revision) (reconcile.Declaration, error) {
	d, err := l.stacks.Load(ctx, r)
	for _, p := range d.Projects {
		l.secrets.learn(projectSecrets(p)...)
		if file := l.options(compose.Stack{Name: p.Name}, r).HostEnvFile; file != "" {
			l.secrets.learn(fileValues(file)...)
		}
	}
	return d, err
}

// projectSecrets are the contents of a project's secrets. One that cannot be read
// here is reported by whoever mounts it.
func projectSecrets(p *compose.Project) (values []string) {
	for _, s := range p.Model.Secrets {
		values = append(values, s.Content)
		if s.File != "" {
			values = append(values, head(s.File))
		}
	}
	return values
}

// head is the beginning of a file, "" if it cannot be read.
func head(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return ""
	}
	return string(text)
}

// fileValues are the values of a file of variables; the loader has reported one
// that cannot be read.
func fileValues(file string) (values []string) {
	pairs, err := dotenv.UnmarshalWithLookup(head(file), nil)
	if err != nil {
		return nil
	}
	for _, v := range pairs {
		values = append(values, v)
	}
	return values
}

// longestFirst keeps a value from being replaced in part because it contains
// another one.
func longestFirst(values map[string]bool) []string {
	return slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
}
