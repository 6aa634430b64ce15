package compose

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// LoadOptions is what a stack is loaded with beside its own files.
type LoadOptions struct {
	// Root is the exported revision.
	Root string
	// Env is the source's own variables. They win over the stack's .env file.
	Env map[string]string
	// HostEnvFile is a file of variables on the host, which wins over Env; ""
	// for none. It need not exist.
	HostEnvFile string
	// Variables become DAVIT_*, which win over everything.
	Variables Variables
	// DataDir is the agent's data directory.
	DataDir string
	// Policy is what the host allows; nil is the permissive preset.
	Policy *Policy
	// Socket is the path of the engine's socket on this host, "" if it has none.
	Socket string
	// Key makes the hashes useless to whoever wants to guess a secret from one.
	// Without a key they are plain sums.
	Key []byte
	// Secrets are how encrypted files of the revision are read.
	Secrets Secrets
	// Edge is true where an edge may own host ports, which replicas can then share.
	Edge bool
}

// Load reads, checks and renders one stack. The error lists every mistake that
// was found, each a *Problem; see Problems.
func Load(ctx context.Context, s Stack, o LoadOptions) (*Project, error) {
	if len(s.Files) == 0 {
		return nil, fmt.Errorf("load stack %s: it has no files", s.Name)
	}
	x, err := openExport(o.Root)
	if err != nil {
		return nil, fmt.Errorf("load stack %s: %w", s.Name, err)
	}
	defer x.close()
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return nil, fmt.Errorf("load stack %s: %w", s.Name, err)
	}
	x.secrets = o.Secrets
	l := &loading{stack: s, options: o, export: x, problems: &problems{}}
	return l.load(ctx)
}

// loading is one run of Load.
type loading struct {
	stack    Stack
	options  LoadOptions
	export   *export
	problems *problems
	survey   *survey
	notes    []Note
	// builds are how the images of services are made, by service.
	builds map[string]*Build
}

func (l *loading) load(ctx context.Context) (*Project, error) {
	declared := l.look()
	// The error that is returned holds the very problems that are changed here.
	defer func() { l.problems.conceal(declared) }()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("load stack %s: %w", l.stack.Name, err)
	}
	real, err := l.render(ctx, declared)
	if err != nil {
		if l.problems.empty() || !l.survey.broken {
			l.problem("", err)
		}
		l.cycle(l.survey.dependencies())
		return nil, l.problems.err()
	}
	l.check(real)
	l.judge(real)
	hashed := real
	if l.export.davit && l.problems.empty() {
		if hashed, err = l.render(ctx, l.environment(masked(), &problems{})); err != nil {
			l.problem("", fmt.Errorf("DAVIT_ variables can only stand in plain text: %w", err))
		} else {
			l.steady(real, hashed)
		}
	}
	if !l.problems.empty() {
		return nil, l.problems.err()
	}
	p, err := l.project(real, hashed)
	if err != nil && l.problems.empty() {
		l.problem("", err)
	}
	if err == nil {
		l.judgePlaces(p)
	}
	if !l.problems.empty() {
		return nil, l.problems.err()
	}
	p.Settings.DependsOn = union(p.Settings.DependsOn, l.stack.DependsOn)
	return p, nil
}

// union is a list of every name in either list, sorted.
func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// look surveys the stack's files and returns its variables.
func (l *loading) look() types.Mapping {
	env := l.environment(l.options.Variables, l.problems)
	l.survey = &survey{export: l.export, problems: l.problems, vars: &expansion{}, read: map[string]bool{}}
	for _, f := range l.stack.Files {
		l.survey.follow(place{file: f, base: l.stack.Dir, env: env}, nil)
	}
	if !l.survey.weigh() {
		return env
	}
	for _, d := range l.survey.docs {
		l.survey.lint(d)
	}
	return env
}

func (l *loading) environment(v Variables, ps *problems) types.Mapping {
	env := environment(l.export, layers{
		dotEnv:   dotEnvOf(l.stack.Dir),
		listed:   l.stack.EnvFiles,
		source:   l.options.Env,
		host:     l.options.HostEnvFile,
		revision: v,
	}, ps)
	env["COMPOSE_PROJECT_NAME"] = l.stack.Name
	if len(l.stack.Profiles) > 0 {
		env["COMPOSE_PROFILES"] = strings.Join(l.stack.Profiles, ",")
	}
	return env
}

// problem adds a mistake at a key of the merged stack, in the last file that
// holds the key.
func (l *loading) problem(key string, err error) {
	l.problems.add(l.survey.locate(key, l.stack.Files[0], err))
}

// locate is a problem at the key, in the file that says most about it.
func (s *survey) locate(key, file string, err error) *Problem {
	for k := key; k != ""; k = k[:max(strings.LastIndexAny(k, ".["), 0)] {
		for _, d := range slices.Backward(s.docs) {
			if line, ok := d.lines[k]; ok && d.role != roleExtended {
				return &Problem{File: d.file, Line: line, Key: key, Err: err}
			}
		}
	}
	return &Problem{File: file, Key: key, Err: err}
}

// readable takes the export's directory, which means nothing to a reader, out
// of an error.
func (l *loading) readable(err error) error {
	text := strings.ReplaceAll(err.Error(), l.export.dir+string(filepath.Separator), "")
	text = strings.TrimPrefix(text, "validating "+l.stack.Files[0]+": ")
	return errors.New(strings.Join(strings.Fields(withoutUnset(text)), " "))
}
