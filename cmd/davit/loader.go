package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"davit/compose"
	"davit/reconcile"
)

// stacks loads the compose files of a revision.
type stacks struct {
	// source is the source's name.
	source string
	config Config
	// edged is true where an edge may own host ports.
	edged bool
	key   []byte
	// access is how what the repository holds encrypted is read.
	access compose.Secrets
	// recorded names the stacks with a history.
	recorded func(context.Context) ([]string, error)
	// owners say whose each stack was.
	owners func(context.Context) (map[string]reconcile.Owner, error)
	// policy is what the host allows; judged reads it.
	policy *compose.Policy
}

// Load reads every stack of r. A stack that does not load is Broken and keeps the
// others from nothing. Its error is one that concerns all of them.
func (l stacks) Load(ctx context.Context, r reconcile.Revision) (reconcile.Declaration, error) {
	d := reconcile.Declaration{Source: l.source, Revision: r, Broken: map[string]error{}}
	l, err := l.judged()
	if err != nil {
		return d, err
	}
	tree, err := compose.ReadTree(r.Dir, l.config.Path, repositoryName(r.Source))
	var list *compose.ListError
	if errors.As(err, &list) || err != nil && len(compose.Problems(err)) == 0 {
		return d, err
	}
	d.Removed = tree.Removed
	found, clash := l.settle(ctx, tree, &d)
	if clash != nil {
		return d, clash
	}
	l.load(ctx, found, &d)
	switch {
	case ctx.Err() != nil:
		return d, ctx.Err()
	case err != nil:
		return d, l.blame(ctx, d, err)
	}
	return d, nil
}

// load puts every stack into d, in their order. A host has hundreds of milliseconds of it
// to do between a push and its release, and more than one CPU.
func (l stacks) load(ctx context.Context, found []compose.Stack, d *reconcile.Declaration) {
	projects, errs := make([]*compose.Project, len(found)), make([]error, len(found))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range found {
		group.Go(func() error {
			projects[i], errs[i] = compose.Load(ctx, s, l.options(s, d.Revision))
			return nil
		})
	}
	_ = group.Wait() // every stack has an error of its own
	for i, s := range found {
		if errs[i] != nil {
			d.Broken[s.Name] = errs[i]
			continue
		}
		d.Projects = append(d.Projects, projects[i])
	}
}

func (l stacks) options(s compose.Stack, r reconcile.Revision) compose.LoadOptions {
	o := compose.LoadOptions{
		Root: r.Dir, Env: l.config.Env, DataDir: l.config.Data, Key: l.key, Secrets: l.access,
		Policy: l.policy, Socket: l.config.socket(), Edge: l.edged,
		Variables: compose.Variables{Version: plainVersion(r), Tag: r.Tag, Commit: r.Commit, Ref: r.Ref},
	}
	if l.config.EnvDir != "" {
		o.HostEnvFile = filepath.Join(l.config.EnvDir, s.Name+".env")
	}
	return o
}

// settle returns the stacks that are to be loaded: of those that claim one name,
// that which had it first. Where none had, none is.
func (l stacks) settle(ctx context.Context, tree compose.Tree, d *reconcile.Declaration) ([]compose.Stack, error) {
	found := tree.Stacks
	if len(tree.Rivals) == 0 {
		return found, nil
	}
	owners, err := l.owners(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(tree.Rivals)) {
		rivals, owner := tree.Rivals[name], owners[name]
		first := slices.IndexFunc(rivals, func(s compose.Stack) bool { return owner.Source == l.source && s.Files[0] == owner.File })
		if first < 0 {
			d.Broken[name] = compose.Clash(rivals)
			continue
		}
		found = append(found, rivals[first])
		for i, s := range rivals {
			if i != first {
				d.Refused = append(d.Refused, reconcile.Refusal{Stack: name, Err: &compose.Problem{File: s.Files[0], Key: "name",
					Err: fmt.Errorf("the stack name %q is that of %s, which had it first: give one of them another", name, owner.File)}})
			}
		}
	}
	return found, nil
}

// plainVersion is DAVIT_VERSION: only a tag gives a commit a version of its own.
func plainVersion(r reconcile.Revision) string {
	if r.Tag == "" {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(r.Version, "v"), dirtyMark)
}

// blame puts what keeps a stack from being named on the stacks that may be meant:
// those that have a history and are not found any more, so that a typing mistake
// never makes an orphan; else on the directory's name.
func (l stacks) blame(ctx context.Context, d reconcile.Declaration, problem error) error {
	recorded, err := l.recorded(ctx)
	if err != nil {
		return fmt.Errorf("name the stacks of %s: %w", d.Revision.Short(), err)
	}
	owners, err := l.owners(ctx)
	if err != nil {
		return fmt.Errorf("name the stacks of %s: %w", d.Revision.Short(), err)
	}
	declared := func(name string) bool {
		return d.Broken[name] != nil || slices.ContainsFunc(d.Projects, func(p *compose.Project) bool { return p.Name == name })
	}
	for _, name := range recorded {
		if owner, ok := owners[name]; ok && owner.Source != l.source {
			continue // another source's
		}
		if !declared(name) && !slices.Contains(d.Removed, name) {
			d.Broken[name] = problem
		}
	}
	for _, p := range compose.Problems(problem) {
		name := path.Base(path.Dir(p.File))
		if name == "." || name == "/" {
			name = repositoryName(d.Revision.Source)
		}
		if !declared(name) {
			d.Broken[name] = p
		}
	}
	return nil
}

// Stamp changes whenever the policy or a file of variables on the host does.
func (l stacks) Stamp() string {
	var b strings.Builder
	if info, err := os.Stat(l.config.Policy); err == nil {
		fmt.Fprintln(&b, info.Size(), info.ModTime().UnixNano())
	}
	if l.config.EnvDir == "" {
		return b.String()
	}
	entries, err := os.ReadDir(l.config.EnvDir)
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".env") {
			fmt.Fprintln(&b, e.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// repositoryName is the last element of a repository's address, without .git.
func repositoryName(source string) string {
	source = strings.TrimSuffix(strings.TrimRight(source, "/"), ".git")
	return source[strings.LastIndexAny(source, "/:")+1:]
}
