package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
)

func TestADirectoryThatDiffersFromItsCommitSaysSo(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, dir string)
		below  string
		dirty  bool
	}{
		"as it was committed": {func(*testing.T, string) {}, ".", false},
		"a file changed":      {func(t *testing.T, dir string) { overwrite(t, dir, "shop/compose.yaml", "changed") }, ".", true},
		"a file more":         {func(t *testing.T, dir string) { overwrite(t, dir, "shop/new.env", "A=1") }, ".", true},
		"a file less": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "shop/compose.yaml")); err != nil {
				t.Fatal(err)
			}
		}, ".", true},
		"an ignored file more":             {func(t *testing.T, dir string) { overwrite(t, dir, "shop/x.log", "text") }, ".", false},
		"a file changed in the directory":  {func(t *testing.T, dir string) { overwrite(t, dir, "shop/compose.yaml", "changed") }, "shop", true},
		"a file changed beside it":         {func(t *testing.T, dir string) { overwrite(t, dir, "shopping/x", "changed") }, "shop", false},
		"a file more beside the directory": {func(t *testing.T, dir string) { overwrite(t, dir, "other", "text") }, "shop", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, map[string]string{"shop/compose.yaml": "services: {}\n", "shopping/x": "1", ".gitignore": "*.log\n"})
			tag(t, dir, "v1.2.3")
			test.change(t, dir)
			r, err := directoryRevision(filepath.Join(dir, test.below), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			ref, version := "dir", "v1.2.3"
			if test.dirty {
				ref, version = "dir+dirty", "v1.2.3+dirty"
			}
			if r.Ref != ref || r.Version != version || r.Tag != "v1.2.3" || plainVersion(r) != "1.2.3" {
				t.Errorf("ref %s, version %s, tag %s, DAVIT_VERSION %s; want %s, %s", r.Ref, r.Version, r.Tag, plainVersion(r), ref, version)
			}
		})
	}
}

func overwrite(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tag commits everything in dir and tags the commit.
func tag(t *testing.T, dir, name string) {
	t.Helper()
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	work, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := work.AddGlob("."); err != nil {
		t.Fatal(err)
	}
	commit, err := work.Commit("first", &git.CommitOptions{Author: &object.Signature{Name: "ada", Email: "ada@example.org", When: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.CreateTag(name, commit, nil); err != nil {
		t.Fatal(err)
	}
}
