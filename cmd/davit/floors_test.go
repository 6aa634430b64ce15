package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors are the packages by height; one may import only what is below it.
var floors = map[string]int{
	"compose": 0, "traffic/socket": 0, "traffic/http1": 0, "reconcile": 1, "rollout/probe": 1,
	"analysis": 2, "gitsource": 2, "engine": 2, "rollout": 2, "traffic": 2, "registry": 2, "state": 2, "notify": 2,
	"web": 3, "cmd/davit": 4, "cmd/internal/hangup": 0,
}

// pure packages talk to nothing outside the process.
var forbidden = map[string][]string{
	"compose":   {"net/http", "github.com/docker/docker", "github.com/go-git/go-git/v5", "database/sql"},
	"reconcile": {"net/http", "github.com/docker/docker", "github.com/go-git/go-git/v5", "database/sql"},
}

func TestPackagesImportOnlyWhatIsBelowThem(t *testing.T) {
	for _, pkg := range packages(t) {
		height, known := floors[pkg]
		if !known {
			continue
		}
		for _, path := range imports(t, pkg) {
			below, ours := strings.CutPrefix(path, "davit/")
			if !ours || strings.HasPrefix(below, pkg+"/") {
				continue
			}
			at, placed := floors[below]
			if !placed {
				t.Errorf("%s imports %s, which has no floor", pkg, path)
			} else if at >= height {
				t.Errorf("%s (floor %d) imports %s (floor %d)", pkg, height, below, at)
			}
		}
	}
}

func TestTheHubTalksToNothing(t *testing.T) {
	for pkg, bans := range forbidden {
		for _, path := range strings.Fields(goList(t, "-deps", "davit/"+pkg)) {
			for _, ban := range bans {
				if path == ban || strings.HasPrefix(path, ban+"/") {
					t.Errorf("%s depends on %s", pkg, path)
				}
			}
		}
	}
}

// TestEveryPackageHasAFloor keeps the table above honest: a package that it does
// not name would be held to nothing. Those of tests and scripts are free.
func TestEveryPackageHasAFloor(t *testing.T) {
	for _, pkg := range packages(t) {
		free := slices.ContainsFunc([]string{"cmd/internal/", "cmd/demo", "cmd/bench", "cmd/edgebench", "cmd/fidelity", "scripts", "testdata", "engine/enginetest", "deps"},
			func(p string) bool { return strings.HasPrefix(pkg, p) })
		if _, known := floors[pkg]; !known && !free {
			t.Errorf("package %s has no floor", pkg)
		}
	}
}

// packages are the module's packages, without its name.
func packages(t *testing.T) []string {
	var names []string
	for _, path := range strings.Fields(goList(t, "davit/...")) {
		names = append(names, strings.TrimPrefix(path, "davit/"))
	}
	if !slices.Contains(names, "reconcile") {
		t.Fatalf("go list does not know the hub: %v", names)
	}
	return names
}

// imports are the packages that the production code of pkg imports itself.
func imports(t *testing.T, pkg string) []string {
	return strings.Fields(goList(t, "-f", `{{join .Imports "\n"}}`, "davit/"+pkg))
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return string(out)
}
