package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"davit/compose"
	"davit/reconcile"
)

// stacks loads the compose files of a revision.
type stacks struct {
	config Config
	key    []byte
	// access is how what the repository holds encrypted is read.
	access compose.Secrets
	// recorded names the stacks with a history.
	recorded func(context.Context) ([]string, error)
	// policy is what the host allows; judged reads it.
	policy *compose.Policy
}

// Load reads every stack of r. A stack that does not load is Broken and keeps the
// others from nothing. Its error is one that concerns all of them.
func (l stacks) Load(ctx context.Context, r reconcile.Revision) (reconcile.Declaration, error) {
	d := reconcile.Declaration{Revision: r, Broken: map[string]error{}}
	l, err := l.judged()
	if err != nil {
		return d, err
	}
	found, err := compose.Discover(r.Dir, l.config.Path, repositoryName(r.Source))
	if err != nil && len(compose.Problems(err)) == 0 {
		return d, err
	}
	for _, s := range found {
		project, err := compose.Load(ctx, s, l.options(s, r))
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		if err != nil {
			d.Broken[s.Name] = err
			continue
		}
		d.Projects = append(d.Projects, project)
	}
	if err != nil {
		return d, l.blame(ctx, d, err)
	}
	return d, nil
}

func (l stacks) options(s compose.Stack, r reconcile.Revision) compose.LoadOptions {
	o := compose.LoadOptions{
		Root: r.Dir, Env: l.config.Env, DataDir: l.config.Data, Key: l.key, Secrets: l.access,
		Policy: l.policy, Socket: l.config.socket(),
		Variables: compose.Variables{Version: plainVersion(r), Tag: r.Tag, Commit: r.Commit, Ref: r.Ref},
	}
	if l.config.EnvDir != "" {
		o.HostEnvFile = filepath.Join(l.config.EnvDir, s.Name+".env")
	}
	return o
}

// plainVersion is DAVIT_VERSION: only a tag gives a commit a version of its own.
func plainVersion(r reconcile.Revision) string {
	if r.Tag == "" {
		return ""
	}
	return strings.TrimPrefix(r.Version, "v")
}

// blame puts what keeps a stack from being named on the stacks that may be meant:
// those that have a history and are not found any more, so that a typing mistake
// never makes an orphan; else on the directory's name.
func (l stacks) blame(ctx context.Context, d reconcile.Declaration, problem error) error {
	recorded, err := l.recorded(ctx)
	if err != nil {
		return fmt.Errorf("name the stacks of %s: %w", d.Revision.Short(), err)
	}
	declared := func(name string) bool {
		return d.Broken[name] != nil || slices.ContainsFunc(d.Projects, func(p *compose.Project) bool { return p.Name == name })
	}
	for _, name := range recorded {
		if !declared(name) {
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
