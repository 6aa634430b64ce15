package compose

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

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
