package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// steady refuses DAVIT_ variables where they would move data: the names of
// networks and volumes and the sources of mounts are masked in hashes, so that a
// change would happen unseen.
func (l *loading) steady(real, hashed *rendering) {
	refuse := func(key string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			l.problem(key, errors.New("must not depend on the revision: a release would find other data than the one before"))
		}
	}
	for _, kind := range []string{"networks", "volumes"} {
		for _, name := range slices.Sorted(maps.Keys(below(real.tree, kind))) {
			refuse(kind+"."+name, below(real.tree, kind)[name], below(hashed.tree, kind)[name])
		}
	}
	for _, kind := range []string{"configs", "secrets"} {
		for name := range below(real.tree, kind) {
			a, b := below(below(real.tree, kind), name), below(below(hashed.tree, kind), name)
			refuse(kind+"."+name+".file", a["file"], b["file"])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(real.model.Services)) {
		refuse("services."+name+".volumes", real.service(name)["volumes"], hashed.service(name)["volumes"])
		refuse("services."+name+".networks", keys(real.service(name)["networks"]), keys(hashed.service(name)["networks"]))
	}
	if !slices.Equal(real.model.ServiceNames(), hashed.model.ServiceNames()) {
		l.problem("services", errors.New("which of them are enabled must not depend on the revision"))
	}
}

func (r *rendering) service(name string) map[string]any {
	return below(below(r.tree, "services"), name)
}

// settle reduces the tree to what is deployed: enabled services, with their
// files of variables and labels read in and nothing left that points to them.
func (l *loading) settle(r *rendering) {
	services := below(r.tree, "services")
	for name := range services {
		if _, enabled := r.model.Services[name]; !enabled {
			delete(services, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		service, config := r.service(name), r.model.Services[name]
		if env, ok := l.serviceEnvironment(config, r.env); ok {
			set := map[string]any{}
			for k, v := range env {
				set[k] = nil
				if v != nil {
					set[k] = *v
				}
			}
			replaceMap(service, "environment", set)
		}
		replaceMap(service, "labels", l.serviceLabels(config))
		l.inlineProfiles(name, service)
		l.settleHooks(service, config, r.env)
		for _, done := range []string{"env_file", "label_file", "profiles", "extends", "build", "attach", "develop", "credential_spec"} {
			delete(service, done)
		}
		for other := range below(service, "depends_on") {
			if _, enabled := services[other]; !enabled {
				delete(below(service, "depends_on"), other)
			}
		}
		dropExtensions(service)
	}
	dropUnused(r)
	r.apiSocket()
	dropExtensions(r.tree)
}

// dropUnused removes configs and secrets that no enabled service has.
func dropUnused(r *rendering) {
	used := map[string]bool{}
	for _, s := range r.model.Services {
		for kind, names := range uses(s) {
			for _, name := range names {
				used[kind+"."+name] = true
			}
		}
	}
	for _, kind := range []string{"configs", "secrets"} {
		for name := range below(r.tree, kind) {
			if !used[kind+"."+name] {
				delete(below(r.tree, kind), name)
			}
		}
		if len(below(r.tree, kind)) == 0 {
			delete(r.tree, kind)
		}
	}
}

func replaceMap(tree map[string]any, key string, with map[string]any) {
	delete(tree, key)
	if len(with) > 0 {
		tree[key] = with
	}
}

// dropExtensions removes the x- keys that are not davit's.
func dropExtensions(tree map[string]any) {
	for k := range tree {
		if strings.HasPrefix(k, "x-") && k != extension {
			delete(tree, k)
		}
	}
}

// serviceEnvironment is the environment of a service by Compose's rules: its
// env_file entries in order, overridden by `environment`. A variable without a
// value takes the stack's, if it has one.
func (l *loading) serviceEnvironment(s types.ServiceConfig, env types.Mapping) (types.MappingWithEquals, bool) {
	own := types.MappingWithEquals{}.OverrideBy(s.Environment).Resolve(env.Resolve)
	above := own.ToMapping()
	maps.Copy(above, env)
	vars := map[string]string(own.ToMapping())
	for _, f := range s.EnvFiles {
		data, ok := l.readBeside(beside{key: s.Name + ".env_file", name: f.Path, required: bool(f.Required), read: l.export.readEnv})
		if !ok {
			continue
		}
		parse := func() *Problem { return parseEnv(data, above, vars, false) }
		if f.Format == rawFormat {
			parse = func() *Problem { return parseRaw(data, above, vars) }
		}
		if problem := parse(); problem != nil {
			l.problems.add(problem)
			return nil, false
		}
	}
	return types.Mapping(vars).ToMappingWithEquals().OverrideBy(own), true
}

func (l *loading) serviceLabels(s types.ServiceConfig) map[string]any {
	vars := map[string]string{}
	for _, f := range s.LabelFiles {
		data, ok := l.readBeside(beside{key: s.Name + ".label_file", name: f, required: true, read: l.export.readLabels})
		if !ok {
			continue
		}
		if problem := parseEnv(data, nil, vars, false); problem != nil {
			l.problems.add(problem)
		}
	}
	labels := map[string]any{}
	for k, v := range vars {
		labels[k] = v
	}
	for k, v := range s.Labels {
		labels[k] = v
	}
	return labels
}

// beside is a file that a service names, which compose-go has made absolute.
type beside struct {
	key, name string
	required  bool
	read      func(rel string) ([]byte, error)
}

func (l *loading) readBeside(b beside) (envFile, bool) {
	rel, ok := l.export.rel(b.name)
	if !ok {
		l.problem("services."+b.key, fmt.Errorf("%q %w", b.name, errEscapes))
		return envFile{}, false
	}
	data, err := b.read(rel)
	if err != nil {
		if b.required || !errors.Is(err, fs.ErrNotExist) {
			l.problem("services."+b.key, fmt.Errorf("%q %w", rel, err))
		}
		return envFile{}, false
	}
	return envFile{name: rel, data: data}, true
}
