package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// listFile is the optional list of stacks, at the source's path.
const listFile = "davit.yaml"

// maxListed bounds how many entries any list in it may have.
const maxListed = 1000

// ListError is why nothing that davit.yaml says is relied on: every mistake in it,
// each a *Problem.
type ListError struct{ Err error }

func (e *ListError) Error() string { return e.Err.Error() }
func (e *ListError) Unwrap() error { return e.Err }

// list is davit.yaml as it is read.
type list struct {
	export   *export
	file     string
	problems *problems
	// complete is true when it names every stack there is.
	complete bool
	stacks   []Stack
	removed  []string
	// lines are where each name was given.
	lines map[string]int
}

// readList reads davit.yaml in dir, strictly. One that is not there is an empty
// one.
func readList(x *export, dir string) (*list, error) {
	l := &list{export: x, file: path.Join(dir, listFile), problems: &problems{}, lines: map[string]int{}}
	content, err := x.read(l.file, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, &ListError{&Problem{File: l.file, Err: err}}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var n, more yaml.Node
	if err := decoder.Decode(&n); err != nil && !errors.Is(err, io.EOF) {
		return nil, &ListError{yamlProblem(l.file, err)}
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &ListError{&Problem{File: l.file, Err: errors.New("has more than one document")}}
	}
	size := measure{sizes: map[*yaml.Node]weight{}}
	if w := size.of(&n, 0); w.nodes > maxNodes || w.text > maxText {
		return nil, &ListError{&Problem{File: l.file, Err: errors.New("is too large or nested too deeply once its aliases are resolved")}}
	}
	if len(n.Content) > 0 {
		l.read(n.Content[0])
	}
	slices.SortFunc(l.stacks, func(a, b Stack) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(l.removed)
	if !l.problems.empty() {
		return nil, &ListError{l.problems.err()}
	}
	return l, nil
}

func (l *list) wrong(n *yaml.Node, key, format string, args ...any) {
	l.problems.add(&Problem{File: l.file, Line: n.Line, Key: key, Err: fmt.Errorf(format, args...)})
}

func (l *list) read(top *yaml.Node) {
	l.mapping(top, "", map[string]func(key string, v *yaml.Node){
		"stacks": func(key string, v *yaml.Node) {
			l.complete = true
			l.sequence(v, key, func(key string, v *yaml.Node) { l.stack(v, key) })
		},
		"removed": func(key string, v *yaml.Node) {
			l.sequence(v, key, func(key string, v *yaml.Node) {
				if name, ok := l.name(v, key); ok {
					l.removed = append(l.removed, name)
				}
			})
		},
	})
}

// stack reads one entry of the list of stacks.
func (l *list) stack(n *yaml.Node, key string) {
	var s Stack
	var files, envFiles []*yaml.Node
	texts := func(into *[]string) func(string, *yaml.Node) {
		return func(key string, v *yaml.Node) {
			l.sequence(v, key, func(key string, v *yaml.Node) {
				if text, ok := l.text(v, key); ok {
					*into = append(*into, text)
				}
			})
		}
	}
	nodes := func(into *[]*yaml.Node) func(string, *yaml.Node) {
		return func(key string, v *yaml.Node) {
			l.sequence(v, key, func(_ string, v *yaml.Node) { *into = append(*into, v) })
		}
	}
	given := l.mapping(n, key, map[string]func(string, *yaml.Node){
		"name":      func(key string, v *yaml.Node) { s.Name, _ = l.name(v, key) },
		"directory": func(key string, v *yaml.Node) { s.Dir, _ = l.text(v, key) },
		"files":     nodes(&files),
		"env_files": nodes(&envFiles),
		"profiles":  texts(&s.Profiles),
		"depends_on": func(key string, v *yaml.Node) {
			l.sequence(v, key, func(key string, v *yaml.Node) {
				if name, ok := l.name(v, key); ok {
					s.DependsOn = append(s.DependsOn, name)
				}
			})
		},
	})
	if !given["name"] && n.Kind == yaml.MappingNode {
		l.wrong(n, key+".name", "is missing: a listed stack needs a name")
	}
	if s.Name == "" {
		return
	}
	if !given["directory"] {
		s.Dir = s.Name
	}
	if l.place(&s, n, key) {
		s.Files = l.files(s, files, key+".files")
		s.EnvFiles = l.files(s, envFiles, key+".env_files")
		if !given["files"] {
			s.Files = l.usual(s, n, key)
		} else if len(files) == 0 {
			l.wrong(n, key+".files", "is empty: leave it out for the usual names")
		}
	}
	l.stacks = append(l.stacks, s)
}

// place makes the directory one from the root, and reports whether it is there.
func (l *list) place(s *Stack, n *yaml.Node, key string) bool {
	dir, err := inRepository(l.export, path.Dir(l.file), s.Dir)
	if err == nil {
		var info fs.FileInfo
		if info, err = l.export.stat(dir); err == nil && !info.IsDir() {
			err = errors.New("is not a directory")
		}
	}
	if err != nil {
		l.wrong(n, key+".directory", "%q %w", s.Dir, err)
		return false
	}
	s.Dir = dir
	return true
}

// files are paths in the repository, each of a file that is there.
func (l *list) files(s Stack, nodes []*yaml.Node, key string) []string {
	var out []string
	for i, n := range nodes {
		at := fmt.Sprintf("%s[%d]", key, i)
		name, ok := l.text(n, at)
		if !ok {
			continue
		}
		file, err := inRepository(l.export, s.Dir, name)
		if err == nil {
			var info fs.FileInfo
			if info, err = l.export.stat(file); err == nil && !info.Mode().IsRegular() {
				err = errors.New("is not a regular file")
			}
		}
		if err != nil {
			l.wrong(n, at, "%q %w", name, err)
			continue
		}
		out = append(out, file)
	}
	return out
}

// usual are the files that Compose would find in the stack's directory.
func (l *list) usual(s Stack, n *yaml.Node, key string) []string {
	main := first(l.export, s.Dir, mainNames[:], l.problems)
	if main == "" {
		l.wrong(n, key+".directory", "%q has no compose file", s.Dir)
		return nil
	}
	if override := first(l.export, s.Dir, overrideNames[:], l.problems); override != "" {
		return []string{main, override}
	}
	return []string{main}
}

// name reads the name of a stack, which may be given once only in stacks and
// removed together.
func (l *list) name(n *yaml.Node, key string) (string, bool) {
	raw, ok := l.text(n, key)
	if !ok {
		return "", false
	}
	name, err := stackName(raw)
	if err != nil {
		l.wrong(n, key, "%w", err)
		return "", false
	}
	if strings.Contains(key, "depends_on") {
		return name, true
	}
	if line, twice := l.lines[name]; twice {
		l.wrong(n, key, "the stack %q is named in line %d already", name, line)
		return "", false
	}
	l.lines[name] = n.Line
	return name, true
}

// mapping calls the function of each key of n and reports which keys there are.
func (l *list) mapping(n *yaml.Node, at string, known map[string]func(key string, v *yaml.Node)) map[string]bool {
	seen := map[string]bool{}
	if n = resolved(n); n.Kind != yaml.MappingNode {
		l.wrong(n, at, "must have keys and values")
		return seen
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolved(n.Content[i+1])
		key := join(at, k.Value)
		read, ok := known[k.Value]
		switch {
		case !ok:
			l.wrong(k, key, "unknown key: there are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[k.Value]:
			l.wrong(k, key, "is given twice")
		default:
			seen[k.Value] = true
			read(key, v)
		}
	}
	return seen
}

func (l *list) sequence(n *yaml.Node, key string, each func(key string, v *yaml.Node)) {
	if n = resolved(n); n.Kind != yaml.SequenceNode {
		l.wrong(n, key, "must be a list")
		return
	}
	if len(n.Content) > maxListed {
		l.wrong(n, key, "has more than %d entries", maxListed)
		return
	}
	for i, v := range n.Content {
		each(fmt.Sprintf("%s[%d]", key, i), resolved(v))
	}
}

func (l *list) text(n *yaml.Node, key string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		l.wrong(n, key, "must be a plain text")
		return "", false
	}
	return n.Value, true
}

// resolved is what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
