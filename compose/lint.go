package compose

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
)

// lint reports everything that is wrong with d by itself.
func (s *survey) lint(d *document) {
	value := d.value
	if d.role == roleExtended {
		value = only(value, d.service)
	}
	r := replacer{survey: s, doc: d, casts: casts()}
	value, _ = r.replace(value, "", tree.NewPath()).(map[string]any)
	violations(value, func(key string, err error) { s.fail(d.problem(key, err)) })
	unsupported(value, func(key string) {
		// The schema has named what Compose does not know either.
		if !slices.ContainsFunc(s.problems.list, func(p *Problem) bool { return p.File == d.file && p.Key == key }) {
			s.problems.add(d.problem(key, errUnsupported))
		}
	})
	s.blocks(d, value)
	s.paths(d, value)
}

// only is the part of an extended file that is used: one service.
func only(value map[string]any, service string) map[string]any {
	services, _ := value["services"].(map[string]any)
	return map[string]any{"services": map[string]any{service: services[service]}}
}

// blocks decodes what d says about rollouts for the sake of its mistakes.
func (s *survey) blocks(d *document, value map[string]any) {
	if block, ok := value[extension]; ok && d.role == roleIncluded {
		s.problems.add(d.problem(extension, errors.New("has no effect in an included file: write it in the stack's own file")))
	} else if ok {
		_, errs := decodeSettings(block)
		s.reject(d, extension, errs)
	}
	services := below(value, "services")
	for _, name := range keys(services) {
		service := below(services, name)
		s.reject(d, "services."+name, deployMistakes(service))
		if block, ok := service[extension]; ok {
			_, errs := decodeServiceBlock(block)
			s.reject(d, "services."+name+"."+extension, errs)
		}
	}
}

func (s *survey) reject(d *document, key string, errs []keyError) {
	for _, e := range errs {
		s.problems.add(d.problem(join(key, e.key), e.err))
	}
}

// casts are the types that Compose gives to replaced text, by path.
func casts() map[tree.Path]interpolation.Cast {
	return loader.ToOptions(&types.ConfigDetails{}, nil).Interpolate.TypeCastMapping
}

// replacer replaces the variables of one document.
type replacer struct {
	survey *survey
	doc    *document
	casts  map[tree.Path]interpolation.Cast
}

func (r replacer) replace(value any, key string, at tree.Path) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = r.replace(e, join(key, k), at.Next(k))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = r.replace(e, fmt.Sprintf("%s[%d]", key, i), at.Next(tree.PathMatchList))
		}
		return out
	case string:
		return r.text(v, key, at)
	}
	return value
}

func (r replacer) text(value, key string, at tree.Path) any {
	r.survey.vars.blank = func(name string) { r.blank(key, name, at.Matches("services.*.image")) }
	out, err := r.survey.vars.substitute(value, r.doc.env.Resolve)
	if err != nil {
		for _, e := range unjoin(err) {
			r.survey.broken = r.survey.broken || !strings.HasPrefix(e.Error(), "required variable")
			r.survey.problems.add(r.doc.problem(key, e))
		}
	}
	out = withoutUnset(out)
	for pattern, cast := range r.casts {
		if !at.Matches(pattern) {
			continue
		}
		typed, err := cast(out)
		if err != nil {
			r.survey.fail(r.doc.problem(key, fmt.Errorf("%q is not the kind of value that belongs here", value)))
			return out
		}
		return typed
	}
	return out
}

// blank notes a variable that is not set. In an image reference it is a mistake:
// what is left of the reference may well name another image.
func (r replacer) blank(key, name string, image bool) {
	if image && r.enabled(strings.TrimSuffix(strings.TrimPrefix(key, "services."), ".image")) {
		r.survey.problems.add(r.doc.problem(key, fmt.Errorf("variable %s is not set: write ${%s-} if nothing is meant", name, name)))
		return
	}
	if strings.HasPrefix(key, "x-") {
		return
	}
	note := Note{File: r.doc.file, Key: key, Text: fmt.Sprintf("variable %s is not set and counts as empty", name)}
	if !slices.Contains(r.survey.notes, note) {
		r.survey.notes = append(r.survey.notes, note)
	}
}

// enabled reports whether the document itself leaves the service enabled.
func (r replacer) enabled(service string) bool {
	declared := texts(below(below(r.doc.value, "services"), service)["profiles"])
	return types.ServiceConfig{Profiles: declared}.HasProfile(profiles(r.doc.env))
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, unjoin(e)...)
		}
		return all
	}
	return []error{err}
}
