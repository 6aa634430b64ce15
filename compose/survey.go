package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// maxFiles bounds how many files one stack may be made of.
const maxFiles = 200

// survey reads every file that a stack is made of before compose-go does, so
// that all mistakes are found and not the first, each with its line, and so that
// compose-go is never asked to open what lies outside the repository.
type survey struct {
	export   *export
	problems *problems
	notes    []Note
	// vars replaces variables; what it cannot replace is a Problem.
	vars *expansion
	docs []*document
	// read are the places that were read already.
	read map[string]bool
	// broken is true when compose-go cannot load what was found, escaped when it
	// must not even try: it would read what was refused.
	broken, escaped bool
}

// files is every file that was read, main files first, in the order they were
// met.
func (s *survey) files() []string {
	var files []string
	for _, d := range s.docs {
		if !slices.Contains(files, d.file) {
			files = append(files, d.file)
		}
	}
	return files
}

// readable are those of the main files that hold something to load.
func (s *survey) readable(main []string) []string {
	return slices.DeleteFunc(slices.Clone(main), func(f string) bool { return !slices.Contains(s.files(), f) })
}

// dependencies are the services with what they depend on, as far as the files
// tell it by themselves. They do where files that cannot be merged hide a cycle.
func (s *survey) dependencies() types.Services {
	services := types.Services{}
	for _, d := range s.docs {
		for name, v := range below(d.value, "services") {
			service, _ := v.(map[string]any)
			names := slices.Concat(texts(service["depends_on"]), keys(service["depends_on"]))
			if d.role == roleExtended || len(names) == 0 {
				continue
			}
			config := services[name]
			config.DependsOn = types.DependsOnConfig{}
			maps.Copy(config.DependsOn, services[name].DependsOn)
			for _, n := range names {
				config.DependsOn[n] = types.ServiceDependency{}
			}
			services[name] = config
		}
	}
	return services
}

func (s *survey) fail(p *Problem) {
	s.broken = true
	s.problems.add(p)
}

// follow reads the file at and everything that it includes and extends.
// from is the problem to report if it cannot be read.
func (s *survey) follow(at place, from *Problem) {
	id := fmt.Sprintf("%s\x00%s\x00%d\x00%s", at.file, at.base, at.role, at.service)
	if s.read[id] {
		return
	}
	if len(s.read) >= maxFiles {
		s.escaped = true
		s.fail(&Problem{File: at.file, Err: fmt.Errorf("is one of more than %d files that make this stack", maxFiles)})
		return
	}
	s.read[id] = true
	content, err := s.export.read(at.file, maxFile)
	if err != nil {
		if from == nil {
			from = &Problem{File: at.file}
		}
		s.escaped = true
		from.Err = fmt.Errorf("read %s: %w", at.file, err)
		s.fail(from)
		return
	}
	docs, err := parse(at, content)
	if err != nil {
		var p *Problem
		errors.As(err, &p)
		s.fail(p)
	}
	if len(docs) == 0 && err == nil && at.role == roleMain {
		s.fail(&Problem{File: at.file, Err: errors.New("is empty")})
	}
	for _, d := range docs {
		s.docs = append(s.docs, d)
		s.references(d)
	}
}

// references follows what d includes and extends.
func (s *survey) references(d *document) {
	if d.role != roleExtended {
		s.includes(d)
	}
	services, _ := d.value["services"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		service, _ := services[name].(map[string]any)
		if d.role == roleExtended && name != d.service {
			continue
		}
		s.extends(d, name, service["extends"])
	}
}

func (s *survey) extends(d *document, name string, value any) {
	key := "services." + name + ".extends"
	var file, service string
	switch v := value.(type) {
	case string:
		service = v
	case map[string]any:
		file, service = text(v["file"]), text(v["service"])
	default:
		return
	}
	if file == "" {
		if d.role == roleExtended && service != "" {
			at := d.place
			at.service = service
			s.follow(at, d.problem(key, nil))
		}
		return
	}
	key += ".file"
	target, ok := s.inside(d, key, file)
	if !ok {
		return
	}
	s.follow(place{
		file: target, base: path.Dir(target), env: d.env, role: roleExtended, service: s.expand(d, service),
	}, d.problem(key, nil))
}

// includes follows the `include` list of d.
func (s *survey) includes(d *document) {
	list, _ := d.value["include"].([]any)
	for i, entry := range list {
		key := fmt.Sprintf("include[%d]", i)
		switch v := entry.(type) {
		case string:
			s.include(d, key, map[string]any{"path": v})
		case map[string]any:
			s.include(d, key, v)
		}
	}
}

func (s *survey) include(d *document, key string, entry map[string]any) {
	// compose-go reads these two relative to the process's directory when an
	// included file has them.
	for _, k := range []string{"project_directory", "env_file"} {
		if _, ok := entry[k]; ok && d.role == roleIncluded {
			s.escaped = true
			s.fail(d.problem(key+"."+k, errUnsupported))
			return
		}
	}
	var files []string
	for _, p := range texts(entry["path"]) {
		target, ok := s.inside(d, key+".path", p)
		if !ok {
			return
		}
		files = append(files, target)
	}
	if len(files) == 0 {
		return
	}
	base := path.Dir(files[0])
	if dir := text(entry["project_directory"]); dir != "" {
		var ok bool
		if base, ok = s.inside(d, key+".project_directory", dir); !ok {
			return
		}
	}
	env, ok := s.includedEnvironment(d, key, entry, base)
	if !ok {
		return
	}
	for _, f := range files {
		s.follow(place{file: f, base: base, env: env, role: roleIncluded}, d.problem(key, nil))
	}
}

// includedEnvironment is what an included file may refer to: the variables of
// the file that includes it and, behind them, its own.
func (s *survey) includedEnvironment(d *document, key string, entry map[string]any, base string) (types.Mapping, bool) {
	var files []string
	for _, f := range texts(entry["env_file"]) {
		if f == "/dev/null" {
			continue
		}
		target, ok := s.inside(d, key+".env_file", f)
		if !ok {
			return nil, false
		}
		files = append(files, target)
	}
	if _, ok := entry["env_file"]; !ok {
		files = []string{dotEnvOf(base)}
	}
	own := types.Mapping{}
	for _, f := range files {
		data, err := s.export.read(f, maxEnvFile)
		if err == nil && sealed(data) {
			// compose-go reads it itself and would take the cipher for text.
			err = errors.New("is encrypted, which the variables of an included file cannot be")
		}
		if errors.Is(err, fs.ErrNotExist) && f == dotEnvOf(base) {
			continue
		}
		if err != nil {
			s.escaped = true
			s.fail(d.problem(key+".env_file", fmt.Errorf("read %s: %w", f, err)))
			return nil, false
		}
		above := own.Clone()
		maps.Copy(above, d.env)
		maps.Copy(own, variables(envFile{name: f, data: data}, above, s.problems))
	}
	return d.env.Clone().Merge(own), true
}

// inside is the file, relative to the root, that the text at key of d names. A
// file elsewhere is a Problem.
func (s *survey) inside(d *document, key, name string) (string, bool) {
	name = s.expand(d, name)
	target, err := inRepository(s.export, d.base, name)
	if err != nil {
		s.escaped = true
		s.fail(d.problem(key, fmt.Errorf("%q %w", name, err)))
		return "", false
	}
	return target, true
}

func (s *survey) expand(d *document, value string) string {
	quiet := expansion{lenient: true}
	value, err := quiet.substitute(value, d.env.Resolve)
	if err != nil {
		return ""
	}
	return withoutUnset(value)
}

// inRepository is the path, relative to the root, of a file that must be part of
// the repository.
func inRepository(x *export, base, name string) (string, error) {
	switch {
	case remote(name):
		return "", errors.New("is remote: only files of this repository can be used")
	case strings.HasPrefix(name, "~"):
		return "", errHome
	case path.IsAbs(name):
		return "", errors.New("is an absolute path: only files of this repository can be used")
	}
	target, err := local(base, name)
	if err != nil {
		return "", err
	}
	if _, err := x.stat(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return target, nil
}

// errHome: compose-go would replace ~ by the home directory of whoever runs
// davit.
var errHome = errors.New("begins with ~, and davit's own home directory means nothing to a stack: write an absolute path, or one below the stack")

func remote(name string) bool {
	if strings.Contains(name, "://") {
		return true
	}
	for _, prefix := range []string{"git@", "oci:", "github.com/"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
