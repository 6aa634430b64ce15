package compose

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenDir = "../testdata/compose"

// write makes a revision of files, by slash path.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	return dir
}

func put(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// find is the only stack of root.
func find(t testing.TB, root string) Stack {
	t.Helper()
	stacks, err := Discover(root, ".", "repository")
	if err != nil {
		t.Fatal(err)
	}
	if len(stacks) != 1 {
		t.Fatalf("found %d stacks, want 1: %v", len(stacks), stacks)
	}
	return stacks[0]
}

// options are those of the tests that need none of their own.
func options(root string) LoadOptions {
	return LoadOptions{
		Root: root, DataDir: "/data", Key: []byte("host key"),
		Variables: Variables{Version: "1.2.3", Tag: "v1.2.3", Commit: "9d10e44abcde", Ref: "main"},
	}
}

func load(t testing.TB, files map[string]string) *Project {
	t.Helper()
	root := write(t, files)
	p, err := Load(t.Context(), find(t, root), options(root))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// one is a stack of a single file.
func one(file string) map[string]string { return map[string]string{"compose.yaml": file} }

func TestGoldenStacks(t *testing.T) {
	archives, err := filepath.Glob(filepath.Join(goldenDir, "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no golden stacks: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { golden(t, name) })
	}
}

// golden loads the files of an archive and compares what comes of them with its
// last file, want.
func golden(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files, want := map[string]string{}, ""
	var inputs []txtar.File
	for _, f := range archive.Files {
		if f.Name == "want" {
			want = string(f.Data)
			continue
		}
		inputs = append(inputs, f)
		files[f.Name] = string(f.Data)
	}
	root := write(t, files)
	got := describe(t, root)
	if *update {
		archive.Files = append(inputs, txtar.File{Name: "want", Data: []byte(got)})
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// describe is everything that is found in root, as text.
func describe(t *testing.T, root string) string {
	var b strings.Builder
	stacks, err := Discover(root, ".", "repository")
	if err != nil {
		fmt.Fprintf(&b, "discover: %v\n", err)
	}
	for _, s := range stacks {
		fmt.Fprintf(&b, "stack %s in %s\n", s.Name, s.Dir)
		p, err := Load(t.Context(), s, options(root))
		if err != nil {
			fmt.Fprintf(&b, "%v\n", err)
			continue
		}
		again(t, p)
		describeProject(&b, p)
	}
	return strings.ReplaceAll(b.String(), root, "ROOT")
}

// again checks that p comes back from storage as it was.
func again(t *testing.T, p *Project) {
	t.Helper()
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, p) {
		t.Errorf("stack %s is not what it was before it was stored:\n%#v\n%#v", p.Name, back, p)
	}
}

func describeProject(b *strings.Builder, p *Project) {
	fmt.Fprintf(b, "hash %s\nfiles %v\norder %v\nsettings %+v\n", p.Hash, p.Files, p.Order(), p.Settings)
	if p.Unset != nil {
		fmt.Fprintf(b, "unset %v\n", p.Unset)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(b, "note %s: %s: %s\n", n.File, n.Key, n.Text)
	}
	for _, c := range p.Content {
		fmt.Fprintf(b, "content %s -> %s writable=%t\n", c.From, c.To, c.Writable)
	}
	for _, s := range p.Services {
		fmt.Fprintf(b, "service %s: replicas %d, tier %d, one-shot %t, after %v\n", s.Name, s.Replicas, s.Tier, s.OneShot, s.DependsOn)
		fmt.Fprintf(b, "  hash %s\n  compose %s\n", s.Hash, s.ConfigHash)
		fmt.Fprintf(b, "  settings %+v\n", s.Settings)
	}
	var tree any
	if err := json.Unmarshal(p.rendered, &tree); err != nil {
		fmt.Fprintln(b, err)
	}
	text, _ := json.MarshalIndent(tree, "", "  ")
	fmt.Fprintf(b, "%s\n", text)
}
