package compose

import (
	"errors"
	"strings"
	"testing"
)

// refusals are the rules that err names, each with its key.
func refusals(err error) map[string]bool {
	all := map[string]bool{}
	for _, p := range Problems(err) {
		if v := new(Violation); errors.As(p, &v) {
			all[p.Key+" "+v.Rule.String()] = true
		}
	}
	return all
}

// What permissive refuses strict refuses too, and a policy of whatever words
// refuses whatever no policy can allow. A project that a policy lets pass, it
// still lets pass when it comes back from the record.
func FuzzPolicy(f *testing.F) {
	for _, a := range attacks() {
		f.Add(a.stack(), "preset: strict\nstacks: {app: {rules: {"+a.rule.String()+": true}}}\n")
	}
	f.Add("services: {a: {image: a, volumes: ['./x:/x']}}", "rules: {bind: [/, '/:ro'], ports: ['::1:1-2', 0], images: [a/, 'b'], labels: ['*', 'a*']}")
	f.Add("services: {a: {image: a}}", "stacks: &a {b: *a}")
	f.Fuzz(func(t *testing.T, file, policy string) {
		s := newScene(t)
		_, _, err := s.load(t, file, nil)
		always := refusals(err)
		policies := map[string]*Policy{"strict": NewPolicy(Strict)}
		if p, err := ParsePolicy("/p", []byte(policy)); err == nil {
			policies["its own"] = p
		} else if len(Problems(err)) == 0 {
			t.Fatalf("an error that is no list of problems: %v", err)
		}
		for name, p := range policies {
			project, _, err := s.load(t, file, p)
			found := refusals(err)
			for what := range always {
				if !found[what] && !(strings.HasSuffix(what, " build") && p.AllowsBuild("app")) {
					t.Errorf("permissive refuses %s, %s does not", what, name)
				}
			}
			if project == nil {
				continue
			}
			if err := project.judgedBy(p, s); err != nil {
				t.Errorf("%s refuses when it comes back what it let pass: %v", name, err)
			}
		}
	})
}
