package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// Stack is one compose project found in a revision, not loaded yet.
type Stack struct {
	// Name is the stack's identity.
	Name string
	// Dir holds its main file, relative to the source's root; "." is the root.
	Dir string
	// Files are its main file and those merged over it, such as its override file,
	// relative to the root.
	Files []string
	// EnvFiles are files of variables besides .env, relative to the root; the later
	// wins.
	EnvFiles []string
	// Profiles are the active ones; none leaves it to COMPOSE_PROFILES.
	Profiles []string
	// DependsOn are other stacks that this one waits for, besides those that its own
	// files name.
	DependsOn []string
}

// Tree is what one directory of a revision declares.
type Tree struct {
	// Stacks are sorted by name. Each name is there once.
	Stacks []Stack
	// Rivals are the stacks that claim one name, by name. None of them is in Stacks.
	Rivals map[string][]Stack
	// Removed names stacks that are declared gone, sorted.
	Removed []string
}

// Clash is the mistake of stacks that claim one name.
func Clash(rivals []Stack) *Problem {
	var files []string
	for _, s := range rivals {
		files = append(files, s.Files[0])
	}
	return &Problem{File: files[0], Key: "name", Err: fmt.Errorf(
		"the stack name %q is claimed by %s: give each its own `name:`", rivals[0].Name, strings.Join(files, " and "))}
}

// maxLevels is how many directories below the source's path are searched.
const maxLevels = 6

// maxStacks bounds what one repository can ask the agent to load and to hold.
const maxStacks = 1000

// The names that Compose looks for, in its order of preference.
var (
	mainNames     = [...]string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	overrideNames = [...]string{"compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"}
)

// Discover finds the stacks below dir, "." for all of root, sorted by name: those
// that davit.yaml lists there, else those that have a compose file. A file that
// another one includes or extends is not a stack. fallbackName names a stack in
// root itself that has no name of its own.
//
// Stacks may be returned beside an error, which lists what is wrong with others:
// names that cannot be told, or that two stacks claim.
func Discover(root, dir, fallbackName string) ([]Stack, error) {
	tree, problems, err := discover(root, dir, fallbackName)
	if err != nil {
		return nil, err
	}
	for _, rivals := range tree.Rivals {
		problems.add(Clash(rivals))
	}
	return tree.Stacks, problems.err()
}

// ReadTree is Discover for those who know which of two stacks had a name first,
// and what is declared gone. Its error is a *ListError where davit.yaml says
// nothing that can be relied on.
func ReadTree(root, dir, fallbackName string) (Tree, error) {
	tree, problems, err := discover(root, dir, fallbackName)
	if err != nil {
		return Tree{}, err
	}
	return tree, problems.err()
}

func discover(root, dir, fallbackName string) (Tree, *problems, error) {
	x, err := openExport(root)
	if err != nil {
		return Tree{}, nil, fmt.Errorf("discover stacks: %w", err)
	}
	defer x.close()
	start, err := local(".", dir)
	if err != nil {
		return Tree{}, nil, fmt.Errorf("discover stacks in %s: %w", dir, err)
	}
	list, err := readList(x, start)
	if err != nil {
		return Tree{}, nil, err
	}
	tree, found := Tree{Stacks: list.stacks, Removed: list.removed}, &problems{}
	if list.complete {
		return tree, found, nil
	}
	d := &discovery{export: x, fallback: fallbackName, problems: found}
	if err := d.walk(start); err != nil {
		return Tree{}, nil, fmt.Errorf("discover stacks in %s: %w", dir, err)
	}
	tree.Stacks, tree.Rivals = d.named()
	return tree, found, nil
}

type discovery struct {
	export   *export
	fallback string
	problems *problems
	found    []candidate
}

// candidate is a directory with a compose file.
type candidate struct {
	stack Stack
	// uses are the files of its survey.
	uses []string
	// names are what its own files give as `name:`, variables included.
	names []string
	env   types.Mapping
}

func (d *discovery) walk(start string) error {
	return fs.WalkDir(d.export.root.FS(), start, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return plain(err)
		}
		if !entry.IsDir() {
			return nil
		}
		below := strings.TrimPrefix(strings.TrimPrefix(at, start), "/")
		if at != start && (strings.HasPrefix(entry.Name(), ".") || strings.Count(below, "/") >= maxLevels) {
			return fs.SkipDir
		}
		d.visit(at)
		if len(d.found) > maxStacks {
			return fmt.Errorf("there are more than %d compose files", maxStacks)
		}
		return nil
	})
}

// visit makes a candidate of a directory that has a compose file.
func (d *discovery) visit(dir string) {
	main := d.first(dir, mainNames[:])
	if main == "" {
		return
	}
	c := candidate{stack: Stack{Dir: dir, Files: []string{main}}}
	if override := d.first(dir, overrideNames[:]); override != "" {
		c.stack.Files = append(c.stack.Files, override)
	}
	// What is wrong inside the files is for Load to say.
	quiet := &problems{}
	c.env = environment(d.export, layers{dotEnv: dotEnvOf(dir)}, quiet)
	s := &survey{export: d.export, problems: quiet, read: map[string]bool{}}
	for _, f := range c.stack.Files {
		s.follow(place{file: f, base: dir, env: c.env}, nil)
	}
	c.names = d.names(c.stack.Files, s.docs)
	for _, doc := range s.docs {
		if doc.role != roleMain {
			c.uses = append(c.uses, doc.file)
		}
	}
	d.found = append(d.found, c)
}

// names are the names that files give, the last one the one that counts.
func (d *discovery) names(files []string, docs []*document) []string {
	var names []string
	for _, f := range files {
		read := false
		for _, doc := range docs {
			if doc.file == f && doc.role == roleMain {
				read = true
				names = append(names, text(doc.value["name"]))
			}
		}
		if content, err := d.export.read(f, maxFile); err == nil && !read {
			names = append(names, salvage(content))
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

func (d *discovery) first(dir string, names []string) string {
	return first(d.export, dir, names, d.problems)
}

// first is the first of names that dir holds, "" for none.
func first(x *export, dir string, names []string, ps *problems) string {
	for _, name := range names {
		file := path.Join(dir, name)
		info, err := x.stat(file)
		if err == nil && info.Mode().IsRegular() {
			return file
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ps.add(&Problem{File: file, Err: err})
		}
	}
	return ""
}

// named is every candidate that no other one uses, by name, and those that claim
// a name together.
func (d *discovery) named() (stacks []Stack, rivals map[string][]Stack) {
	claims := map[string][]Stack{}
	for _, c := range d.found {
		if d.used(c) {
			continue
		}
		name, err := d.name(c)
		if err != nil {
			d.problems.add(&Problem{File: c.stack.Files[0], Key: "name", Err: err})
			continue
		}
		c.stack.Name = name
		claims[name] = append(claims[name], c.stack)
	}
	rivals = map[string][]Stack{}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if len(claims[name]) == 1 {
			stacks = append(stacks, claims[name][0])
		} else {
			rivals[name] = claims[name]
		}
	}
	return stacks, rivals
}

// used reports whether another candidate is made of c's main file. Two that use
// each other are both stacks; loading them tells what is wrong.
func (d *discovery) used(c candidate) bool {
	return slices.ContainsFunc(d.found, func(other candidate) bool {
		return other.stack.Dir != c.stack.Dir &&
			slices.Contains(other.uses, c.stack.Files[0]) && !slices.Contains(c.uses, other.stack.Files[0])
	})
}

// name is c's `name:`, else COMPOSE_PROJECT_NAME of its .env file, else its
// directory's, else the fallback.
func (d *discovery) name(c candidate) (string, error) {
	declared, err := c.declared()
	if err != nil {
		return "", err
	}
	fromEnv := c.env["COMPOSE_PROJECT_NAME"]
	if declared != "" && fromEnv != "" && declared != fromEnv {
		// Compose would follow .env. Volumes are found by this name, so a guess
		// could start the stack on empty ones.
		return "", fmt.Errorf("is %q here and %q as COMPOSE_PROJECT_NAME in %s: make them agree", declared, fromEnv, dotEnvOf(c.stack.Dir))
	}
	dir := path.Base(c.stack.Dir)
	if c.stack.Dir == "." {
		dir = d.fallback
	}
	for _, raw := range []string{declared, fromEnv, dir} {
		if raw == "" {
			continue
		}
		name := loader.NormalizeProjectName(raw)
		if name == "" {
			return "", fmt.Errorf("%q has no letter or digit to make a stack name of", raw)
		}
		return name, nil
	}
	return "", errors.New("cannot be told: write `name:`")
}

// declared is the last `name:` of c's files with its variables replaced.
func (c candidate) declared() (string, error) {
	name := ""
	for _, raw := range c.names {
		var unset []string
		e := expansion{blank: func(v string) { unset = append(unset, v) }}
		value, err := e.substitute(raw, c.env.Resolve)
		if err != nil {
			return "", err
		}
		if value != withoutUnset(value) {
			return "", errors.New("must not depend on the revision: it is what the stack's volumes are found by")
		}
		if len(unset) > 0 {
			return "", fmt.Errorf("variable %s is not set in %s", unset[0], dotEnvOf(c.stack.Dir))
		}
		name = value
	}
	return name, nil
}

// salvage is the name in a file that is no YAML at the moment, so that a typing
// mistake somewhere else in it does not make another stack of it.
func salvage(content []byte) string {
	m := regexp.MustCompile(`(?m)^name:[ \t]*["']?([A-Za-z0-9$][\w${}:.-]*)`).FindSubmatch(content)
	if m == nil {
		return ""
	}
	return string(m[1])
}
