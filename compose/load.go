package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
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
	// Key makes the hashes useless to whoever wants to guess a secret from one.
	// Without a key they are plain sums.
	Key []byte
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
	return l.project(real, hashed)
}

// look surveys the stack's files and returns its variables.
func (l *loading) look() types.Mapping {
	env := l.environment(l.options.Variables, l.problems)
	l.survey = &survey{export: l.export, problems: l.problems, vars: &expansion{}, read: map[string]bool{}}
	for _, f := range l.stack.Files {
		l.survey.follow(place{file: f, base: l.stack.Dir, env: env}, nil)
	}
	for _, d := range l.survey.docs {
		l.survey.lint(d)
	}
	return env
}

func (l *loading) environment(v Variables, ps *problems) types.Mapping {
	env := environment(l.export, layers{
		dotEnv:   dotEnvOf(l.stack.Dir),
		source:   l.options.Env,
		host:     l.options.HostEnvFile,
		revision: v,
	}, ps)
	env["COMPOSE_PROJECT_NAME"] = l.stack.Name
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

// rendering is a stack with one set of variables: the tree that compose-go makes
// of its files, in plain JSON values.
type rendering struct {
	env  types.Mapping
	tree map[string]any
	// unset are the unset DAVIT_ variables that the image of each service needs.
	unset map[string][]string
	model *types.Project
}

// needs are the unset variables that images of enabled services need.
func (r *rendering) needs() []string {
	var names []string
	for service, unset := range r.unset {
		if _, enabled := r.model.Services[service]; enabled {
			names = append(names, unset...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// render loads the stack's files with env. compose-go's own panics are errors:
// one broken stack must not take others along.
func (l *loading) render(ctx context.Context, env types.Mapping) (r *rendering, err error) {
	if l.survey.escaped {
		return nil, errEscapes
	}
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("the Compose library failed: %v", p)
		}
	}()
	details, options := l.details(env)
	tree, err := loader.LoadModelWithContext(ctx, details, options...)
	if err != nil {
		return nil, l.readable(err)
	}
	r = &rendering{env: types.Mapping{}}
	for name, value := range env {
		r.env[name] = withoutUnset(value)
	}
	if r.tree, err = plainTree(tree); err != nil {
		return nil, err
	}
	r.unset = resolveUnset(r.tree)
	// What is made of the tree takes it apart.
	spare, err := plainTree(r.tree)
	if err != nil {
		return nil, err
	}
	details, options = l.details(r.env)
	if r.model, err = loader.ModelToProject(spare, loader.ToOptions(&details, options), details); err != nil {
		return nil, l.readable(err)
	}
	return r, nil
}

// details is what compose-go is asked to load, with every way out of the
// repository closed.
func (l *loading) details(env types.Mapping) (types.ConfigDetails, []func(*loader.Options)) {
	details := types.ConfigDetails{WorkingDir: l.export.abs(l.stack.Dir), Environment: env.Clone()}
	for _, f := range l.survey.readable(l.stack.Files) {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: l.export.abs(f)})
	}
	vars := &expansion{lenient: true}
	return details, []func(*loader.Options){func(o *loader.Options) {
		o.SetProjectName(l.stack.Name, true)
		o.Interpolate.Substitute = vars.substitute
		o.ResourceLoaders = []loader.ResourceLoader{guard{}}
		o.Profiles = profiles(env)
		o.SkipResolveEnvironment = true
		o.SkipResolveLabels = true
		o.SkipConsistencyCheck = true
		o.SkipValidation = l.survey.broken
	}}
}

// profiles are the active ones, from COMPOSE_PROFILES.
func profiles(env types.Mapping) []string {
	var list []string
	for _, p := range strings.Split(env["COMPOSE_PROFILES"], ",") {
		if p = strings.TrimSpace(p); p != "" {
			list = append(list, p)
		}
	}
	return list
}

// readable takes the export's directory, which means nothing to a reader, out
// of an error.
func (l *loading) readable(err error) error {
	text := strings.ReplaceAll(err.Error(), l.export.dir+string(filepath.Separator), "")
	text = strings.TrimPrefix(text, "validating "+l.stack.Files[0]+": ")
	return errors.New(strings.Join(strings.Fields(withoutUnset(text)), " "))
}

// guard stands before compose-go's own file loader and refuses what can be told
// to be elsewhere by its name alone. The survey has refused it already.
type guard struct{}

func (guard) Accept(name string) bool {
	return remote(name) || strings.HasPrefix(name, "~") || filepath.IsAbs(name)
}

func (guard) Load(_ context.Context, name string) (string, error) {
	return "", fmt.Errorf("%s: only files of this repository can be used", name)
}

func (guard) Dir(string) string { return "" }

// resolveUnset takes the marks of unset variables out of a tree and returns
// those that each service's image needs.
func resolveUnset(tree map[string]any) map[string][]string {
	needed := map[string][]string{}
	services := below(tree, "services")
	for name := range services {
		service := below(services, name)
		if image, ok := service["image"].(string); ok {
			service["image"] = replaceUnset(image, func(variable string) string {
				needed[name] = append(needed[name], variable)
				return "${" + variable + "}"
			})
		}
	}
	for k, v := range tree {
		tree[k] = eachText(v, withoutUnset)
	}
	return needed
}

// eachText applies change to every text below value, in place.
func eachText(value any, change func(string) string) any {
	switch v := value.(type) {
	case string:
		return change(v)
	case map[string]any:
		for k, e := range v {
			v[k] = eachText(e, change)
		}
	case []any:
		for i, e := range v {
			v[i] = eachText(e, change)
		}
	}
	return value
}

// plainTree is a copy of tree as it comes back from JSON, whole numbers as int.
func plainTree(tree map[string]any) (map[string]any, error) {
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("render as JSON: %w", err)
	}
	return readTree(data)
}

func readTree(data []byte) (map[string]any, error) {
	var tree map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read rendered project: %w", err)
	}
	return numbers(tree).(map[string]any), nil
}

func numbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64()
		return f
	}
	return value
}
