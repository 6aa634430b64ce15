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
	}
	return d, err
}

// guarded are files that teach the secrets of every project that is written: one
// that comes back was perhaps loaded in an earlier life of the agent.
type guarded struct {
	compose.Files
	secrets *secrets
}

// Write implements reconcile.Files.
func (g guarded) Write(p *compose.Project) ([]compose.Backup, error) {
	backups, err := g.Files.Write(p)
	g.secrets.learn(projectSecrets(p)...)
	return backups, err
}

// projectSecrets are the values of a project that must not be shown. One that
// cannot be read here is reported by whoever mounts it.
func projectSecrets(p *compose.Project) []string {
	values := slices.Clone(p.Sensitive)
	for _, s := range p.Model.Secrets {
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

// longestFirst keeps a value from being replaced in part because it contains
// another one.
func longestFirst(values map[string]bool) []string {
	return slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
}
