package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"

	"davit/compose"
)

// corpus is where the repository's own files are.
const corpus = "testdata/compose/fidelity"

// specimen is one compose project to be made by both.
type specimen struct {
	name  string
	stack compose.Stack
	// repo is the tree as davit gets it from Git, work the same tree as Compose's
	// user has it.
	repo, work string
	// named is true where Compose is told the file, as with -f.
	named bool
	expectation
}

// expectation is what the text before a file of the corpus says about it.
type expectation struct {
	// refusal is part of davit's error; "" where it must make the project.
	refusal string
	// before is the API version of which an engine takes what davit refuses; "" for
	// none.
	before string
	// accepts is why davit may make what Compose refuses.
	accepts string
}

var (
	refuses = regexp.MustCompile(`(?m)^davit refuses(?: before API ([0-9.]+))?: (.+)$`)
	accepts = regexp.MustCompile(`(?m)^davit accepts: (.+)$`)
)

func expected(comment []byte) expectation {
	var e expectation
	if m := refuses.FindSubmatch(comment); m != nil {
		e.before, e.refusal = string(m[1]), string(m[2])
	}
	if m := accepts.FindSubmatch(comment); m != nil {
		e.accepts = string(m[1])
	}
	return e
}

// on is what is expected on an engine that speaks the API version.
func (e expectation) on(api string) expectation {
	if e.before != "" && !older(api, e.before) {
		e.refusal = ""
	}
	return e
}

// older compares versions of the engine's API, such as 1.41.
func older(a, b string) bool {
	var major, minor [2]int
	for i, version := range []string{a, b} {
		if _, err := fmt.Sscanf(version, "%d.%d", &major[i], &minor[i]); err != nil {
			return false
		}
	}
	return major[0] < major[1] || major[0] == major[1] && minor[0] < minor[1]
}

// ours are the repository's own files, laid out below dir.
func ours(dir string, only *regexp.Regexp) ([]specimen, error) {
	files, err := filepath.Glob(filepath.Join(corpus, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var list []specimen
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if !only.MatchString(name) {
			continue
		}
		s, err := layOut(file, filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("lay out %s: %w", file, err)
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no file in %s fits", corpus)
	}
	return list, nil
}

func layOut(file, dir string) (specimen, error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return specimen{}, err
	}
	name := filepath.Base(dir)
	s := specimen{
		name: name, repo: filepath.Join(dir, "repo"), work: filepath.Join(dir, "work"),
		expectation: expected(archive.Comment),
	}
	for _, f := range archive.Files {
		for _, root := range []string{s.repo, s.work} {
			to := filepath.Join(root, filepath.FromSlash(f.Name))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return s, err
			}
			if err := os.WriteFile(to, f.Data, 0o644); err != nil {
				return s, err
			}
		}
	}
	stacks, err := compose.Discover(s.repo, ".", name)
	if err != nil {
		return s, err
	}
	if len(stacks) != 1 {
		return s, fmt.Errorf("it has %d stacks, not one", len(stacks))
	}
	s.stack = stacks[0]
	return s, nil
}

// foreign are all compose files below a directory of somebody else, copied below
// dir.
func foreign(from, dir string, only *regexp.Regexp) ([]specimen, error) {
	repo, work := filepath.Join(dir, "repo"), filepath.Join(dir, "work")
	if err := errors.Join(os.CopyFS(repo, tree{os.DirFS(from)}), os.CopyFS(work, tree{os.DirFS(from)})); err != nil {
		return nil, fmt.Errorf("copy %s: %w", from, err)
	}
	var list []specimen
	taken := map[string]bool{}
	err := fs.WalkDir(os.DirFS(repo), ".", func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !slices.Contains([]string{".yaml", ".yml"}, path.Ext(at)) || !only.MatchString(at) {
			return err
		}
		own, err := isCompose(filepath.Join(repo, at))
		if err != nil || !own {
			return err
		}
		if err := withoutDigests(filepath.Join(repo, at), filepath.Join(work, at)); err != nil {
			return err
		}
		name := projectName(at, taken)
		list = append(list, specimen{
			name: at, repo: repo, work: work, named: true,
			stack: compose.Stack{Name: name, Dir: path.Dir(at), Files: []string{at}},
		})
		return nil
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no compose file below %s", from)
	}
	return list, err
}

// projectName makes a name of a path that no other file has.
func projectName(at string, taken map[string]bool) string {
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimSuffix(at, path.Ext(at))), "-")
	name = "f-" + strings.Trim(name[max(0, len(name)-40):], "-")
	for taken[name] {
		name += "x"
	}
	taken[name] = true
	return name
}

// isCompose reports whether a file is YAML with services in it.
func isCompose(file string) (bool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	var top map[string]any
	if yaml.Unmarshal(data, &top) != nil {
		return false, nil
	}
	services, ok := top["services"].(map[string]any)
	return ok && len(services) > 0, nil
}

var digest = regexp.MustCompile(`(image:.*)@sha256:[0-9a-f]{64}`)

// withoutDigests cuts digests off image references: no image that stands in can
// have them.
func withoutDigests(files ...string) error {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if cut := digest.ReplaceAll(data, []byte("$1")); !bytes.Equal(cut, data) {
			if err := os.WriteFile(file, cut, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// tree is a directory without what cannot be copied: only regular files and
// directories that can be read, and no Git directory.
type tree struct{ fs.FS }

func (t tree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(t.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() && !e.Type().IsRegular() || e.Name() == ".git"
	}), err
}
