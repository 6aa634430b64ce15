package compose

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWhatIsAStack(t *testing.T) {
	root := write(t, map[string]string{
		"a/compose.yaml": "", "a/docker-compose.yml": "", "a/compose.override.yaml": "", "a/docker-compose.override.yml": "",
		"b/docker-compose.yaml": "", "b/compose.override.yml": "",
		"c/compose.dev.yaml": "", "d/compose.override.yaml": "",
		".github/compose.yaml": "", "a/.git/compose.yaml": "",
		"1/2/3/4/5/6/compose.yaml": "name: deep", "1/2/3/4/5/6/7/compose.yaml": "name: too-deep",
		"user/compose.yaml": "include: [../part/compose.yaml]\nservices: {x: {extends: {file: ../base/docker-compose.yml, service: b}}}",
		"part/compose.yaml": "services: {p: {image: p}}", "base/docker-compose.yml": "services: {b: {image: b}}",
	})
	if err := os.MkdirAll(filepath.Join(root, "e/compose.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	stacks, err := Discover(root, ".", "repository")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range stacks {
		got = append(got, s.Name+"="+strings.Join(s.Files, "+"))
	}
	want := []string{
		"a=a/compose.yaml+a/compose.override.yaml", "b=b/docker-compose.yaml+b/compose.override.yml", "deep=1/2/3/4/5/6/compose.yaml", "user=user/compose.yaml",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestAPathBelowTheRootIsSearchedAlone(t *testing.T) {
	root := write(t, map[string]string{"x/compose.yaml": "", "y/z/compose.yaml": "", "compose.yaml": ""})
	stacks, err := Discover(root, "./y/", "repository")
	if err != nil || len(stacks) != 1 || stacks[0].Name != "z" || stacks[0].Dir != "y/z" {
		t.Errorf("got %v, %v", stacks, err)
	}
	for _, p := range []string{"../elsewhere", "/etc", "missing"} {
		if stacks, err := Discover(root, p, "repository"); err == nil {
			t.Errorf("%s: %v", p, stacks)
		}
	}
}

func TestTheRootIsNamedAfterTheRepository(t *testing.T) {
	root := write(t, one("services: {a: {image: a}}"))
	for fallback, want := range map[string]string{"My Shop!": "myshop", "_x.git": "xgit"} {
		stacks, err := Discover(root, ".", fallback)
		if err != nil || len(stacks) != 1 || stacks[0].Name != want {
			t.Errorf("%q: %v, %v", fallback, stacks, err)
		}
	}
	if _, err := Discover(root, ".", "---"); err == nil {
		t.Error("a name without a letter was accepted")
	}
}

func TestAComposeFileThatIsALinkOutsideIsAMistake(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "compose.yaml")
	put(t, outside, "services: {a: {image: a}}")
	root := write(t, map[string]string{"good/compose.yaml": "services: {a: {image: a}}", "bad/x": "", "alias/x": ""})
	for link, to := range map[string]string{"bad/compose.yaml": outside, "alias/compose.yaml": "../good/compose.yaml"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	stacks, err := Discover(root, ".", "repository")
	if err == nil || err.Error() != "bad/compose.yaml: leads out of the repository" || len(stacks) != 2 {
		t.Errorf("got %v, %v", stacks, err)
	}
}

func TestABrokenNeighbourHidesNoStack(t *testing.T) {
	root := write(t, map[string]string{
		"good/compose.yaml": "services: {a: {image: a}}", "x/compose.yaml": "name: same\n", "y/compose.yaml": "name: same\n", "bad/compose.yaml": "name: [",
	})
	stacks, err := Discover(root, ".", "repository")
	if err == nil || !strings.Contains(err.Error(), "x/compose.yaml and y/compose.yaml") {
		t.Errorf("got %v", err)
	}
	var names []string
	for _, s := range stacks {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"bad", "good"}) {
		t.Errorf("found %v", names)
	}
}

func TestValidateTellsEveryMistakeOfEveryStack(t *testing.T) {
	root := write(t, map[string]string{
		"a/compose.yaml": "services: {a: {image: '${NEEDED:?}', x-davit: {typo: 1}}}",
		"b/compose.yaml": "services: {b: {imaje: b}}", "c/compose.yaml": "services: {c: {image: c, depends_on: [d]}, d: {image: d, depends_on: [c]}}",
		"d/compose.yaml": "services: {d: {image: '${ON_THE_HOST:?}'}}", "e/compose.yaml": "name: d",
	})
	hosts := t.TempDir()
	put(t, filepath.Join(hosts, "d.env"), "ON_THE_HOST=1")
	err := validateTree(t.Context(), root, ".", validateOptions{LoadOptions: LoadOptions{DataDir: "/data"}, EnvDir: hosts})
	var keys []string
	for _, p := range Problems(err) {
		keys = append(keys, p.File+" "+p.Key)
	}
	want := []string{
		"a/compose.yaml services.a.image", "a/compose.yaml services.a.x-davit.typo", "b/compose.yaml services.b", "b/compose.yaml services.b.imaje",
		"c/compose.yaml services.c.depends_on", "d/compose.yaml name",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("got %v\nwant %v\n%v", keys, want, err)
	}
	put(t, filepath.Join(root, "e/compose.yaml"), "name: e\nservices: {e: {image: e}}")
	for _, broken := range []string{"a", "b", "c"} {
		if err := os.RemoveAll(filepath.Join(root, broken)); err != nil {
			t.Fatal(err)
		}
	}
	if err := validateTree(t.Context(), root, ".", validateOptions{LoadOptions: LoadOptions{DataDir: "/data"}, EnvDir: hosts}); err != nil {
		t.Errorf("a sound tree: %v", err)
	}
	if err := validateTree(t.Context(), filepath.Join(root, "missing"), ".", validateOptions{}); err == nil {
		t.Error("a root that is not there was accepted")
	}
}
