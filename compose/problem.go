package compose

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-multierror"
)

// Problem is one mistake in one file of a stack.
type Problem struct {
	// File is relative to the source's root; for a host file it is absolute.
	File string
	// Line is 0 when it is not known.
	Line int
	// Key is the dotted path of the key that is wrong; "" for the whole file.
	Key string
	Err error
}

// Error is "file:line: key: text", without the parts that are not known.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(printable(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(printable(p.Key) + ": ")
	}
	b.WriteString(p.Err.Error())
	return b.String()
}

func (p *Problem) Unwrap() error { return p.Err }

// printable is a name that a file chose, on one line, so that it cannot pass for
// another mistake or steer a terminal.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, name)
}

// problems collects mistakes. One mistake that two checks see is kept once.
type problems struct {
	list []*Problem
	seen map[string]bool
}

func (ps *problems) add(p *Problem) {
	if ps.seen == nil {
		ps.seen = map[string]bool{}
	}
	if text := p.Error(); !ps.seen[text] {
		ps.seen[text] = true
		ps.list = append(ps.list, p)
	}
}

func (ps *problems) empty() bool { return len(ps.list) == 0 }

// err is nil or a *multierror.Error of every *Problem, in the order of files,
// lines and keys, so that two runs print the same.
func (ps *problems) err() error {
	if ps.empty() {
		return nil
	}
	sorted := slices.Clone(ps.list)
	slices.SortStableFunc(sorted, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	all := &multierror.Error{ErrorFormat: oneEachLine}
	for _, p := range sorted {
		all.Errors = append(all.Errors, p)
	}
	return all
}

// shortSecret is the length of text, in bytes, that is too common to be taken
// for the value of a variable.
const shortSecret = 8

// conceal puts ${NAME} in the place of each variable's value. Values come from
// places that hold secrets, and problems go to logs.
func (ps *problems) conceal(env map[string]string) {
	names := slices.SortedFunc(maps.Keys(env), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(env[b]), len(env[a])), cmp.Compare(a, b))
	})
	for _, p := range ps.list {
		text := p.Err.Error()
		for _, name := range names {
			if len(env[name]) >= shortSecret && !strings.HasPrefix(name, "COMPOSE_") && !isDavit(name) {
				text = strings.ReplaceAll(text, env[name], "${"+name+"}")
			}
		}
		if text != p.Err.Error() {
			p.Err = &concealed{text: text, err: p.Err}
		}
		p.Key = concealDependency(p.Key, names, env)
	}
}

// concealDependency takes from a key the name of a dependency that a variable gave.
func concealDependency(key string, names []string, env map[string]string) string {
	before, on, ok := strings.Cut(key, ".depends_on.")
	if !ok {
		return key
	}
	for _, name := range names {
		if len(env[name]) >= shortSecret && on == env[name] {
			on = "${" + name + "}"
		}
	}
	return before + ".depends_on." + on
}

// concealed is an error in other words.
type concealed struct {
	text string
	err  error
}

func (c *concealed) Error() string { return c.text }
func (c *concealed) Unwrap() error { return c.err }

func oneEachLine(errs []error) string {
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Problems lists every Problem that err holds.
func Problems(err error) []*Problem {
	var all *multierror.Error
	if errors.As(err, &all) {
		var list []*Problem
		for _, e := range all.Errors {
			list = append(list, Problems(e)...)
		}
		return list
	}
	var p *Problem
	if errors.As(err, &p) {
		return []*Problem{p}
	}
	return nil
}
