package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"davit/reconcile"
)

// tree writes files and returns their directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMistakesBreakTheirOwnStackOnly(t *testing.T) {
	const fine = "services: {a: {image: a}}\n"
	tests := map[string]struct {
		files    map[string]string
		recorded []string
		owners   map[string]reconcile.Owner
		declared []string
		broken   []string
	}{
		"all fine":            {map[string]string{"a/compose.yaml": fine, "b/compose.yaml": fine}, nil, nil, []string{"a", "b"}, nil},
		"not YAML":            {map[string]string{"a/compose.yaml": fine, "b/compose.yaml": "services: ["}, nil, nil, []string{"a"}, []string{"b"}},
		"a stack in the root": {map[string]string{"compose.yaml": fine}, nil, nil, []string{"ops"}, nil},
		"a name claimed twice at once": {map[string]string{"a/compose.yaml": "name: x\n" + fine, "b/compose.yaml": "name: x\n" + fine, "c/compose.yaml": fine},
			[]string{"x"}, nil, []string{"c"}, []string{"x"}},
		"a name that somebody else's stack has": {map[string]string{"a/compose.yaml": "name: x\n" + fine, "b/compose.yaml": "name: x\n" + fine},
			[]string{"x"}, map[string]reconcile.Owner{"x": {Source: "other", File: "a/compose.yaml"}}, nil, []string{"x"}},
		"a typing mistake is no removal": {map[string]string{"a/compose.yaml": "name: ${NOPE}\n" + fine}, []string{"shop"}, nil, nil, []string{"a", "shop"}},
		"a typing mistake is no other source's": {map[string]string{"a/compose.yaml": "name: ${NOPE}\n" + fine},
			[]string{"shop", "till"}, map[string]reconcile.Owner{"till": {Source: "other"}}, nil, []string{"a", "shop"}},
		"a removed stack is no mistake": {map[string]string{"a/compose.yaml": fine}, []string{"a", "gone"}, nil, []string{"a"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := stacks{
				config:   Config{Path: ".", Data: t.TempDir()},
				recorded: func(context.Context) ([]string, error) { return test.recorded, nil },
				owners:   func(context.Context) (map[string]reconcile.Owner, error) { return test.owners, nil },
			}
			d, err := l.Load(t.Context(), reconcile.Revision{Source: "git@git.example:team/ops.git", Dir: tree(t, test.files)})
			if err != nil {
				t.Fatal(err)
			}
			var declared []string
			for _, p := range d.Projects {
				declared = append(declared, p.Name)
			}
			if broken := slices.Sorted(maps.Keys(d.Broken)); !reflect.DeepEqual(declared, test.declared) || !reflect.DeepEqual(broken, test.broken) {
				t.Errorf("declared %v, want %v; broken %v, want %v", declared, test.declared, d.Broken, test.broken)
			}
		})
	}
}

func TestTheStackThatHadANameFirstKeepsIt(t *testing.T) {
	l := stacks{source: "ops", config: Config{Path: ".", Data: t.TempDir()}, owners: func(context.Context) (map[string]reconcile.Owner, error) {
		return map[string]reconcile.Owner{"shop": {Source: "ops", File: "old/compose.yaml"}}, nil
	}}
	dir := tree(t, map[string]string{
		"old/compose.yaml": "name: shop\nservices: {a: {image: old}}\n", "new/compose.yaml": "name: shop\nservices: [\n",
		"davit.yaml": "removed: [gone]\n",
	})
	d, err := l.Load(t.Context(), reconcile.Revision{Source: "/ops", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Projects) != 1 || d.Projects[0].Files[0] != "old/compose.yaml" || len(d.Broken) != 0 {
		t.Errorf("declared %v, broken %v; want the old stack alone", d.Projects, d.Broken)
	}
	if len(d.Refused) != 1 || d.Refused[0].Stack != "shop" || !strings.Contains(d.Refused[0].Err.Error(), "new/compose.yaml: name:") {
		t.Errorf("refused %v, want the newcomer", d.Refused)
	}
	if d.Source != "ops" || !reflect.DeepEqual(d.Removed, []string{"gone"}) {
		t.Errorf("source %q, removed %v", d.Source, d.Removed)
	}
}

func TestAMistakeInTheListOfStacksConcernsTheWholeRevision(t *testing.T) {
	l := stacks{config: Config{Path: ".", Data: t.TempDir()}}
	dir := tree(t, map[string]string{"davit.yaml": "stacks:\n  - name: shop\n    dir: x\n", "shop/compose.yaml": "services: {a: {image: a}}\n"})
	if _, err := l.Load(t.Context(), reconcile.Revision{Dir: dir}); err == nil || !strings.Contains(err.Error(), "davit.yaml:3: stacks[0].dir: unknown key") {
		t.Errorf("error %v", err)
	}
}

func TestPathThatIsNotThereConcernsEveryStack(t *testing.T) {
	l := stacks{config: Config{Path: "nope", Data: t.TempDir()}}
	if _, err := l.Load(t.Context(), reconcile.Revision{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "nope") {
		t.Errorf("error %v", err)
	}
}

func TestVersionComesFromTagsOnly(t *testing.T) {
	const file = "services: {a: {image: \"a:${DAVIT_VERSION}\"}}\n"
	for tag, want := range map[string]string{"v1.2.3": "a:1.2.3", "": "a:${DAVIT_VERSION}"} {
		l := stacks{config: Config{Path: ".", Data: t.TempDir()}}
		d, err := l.Load(t.Context(), reconcile.Revision{Source: "/ops", Tag: tag, Version: "v1.2.3", Dir: tree(t, map[string]string{"compose.yaml": file})})
		if err != nil || len(d.Projects) != 1 {
			t.Fatalf("declaration %+v, error %v", d, err)
		}
		if got := d.Projects[0].Services[0].Config.Image; got != want {
			t.Errorf("tag %q: image %s, want %s", tag, got, want)
		}
	}
}

func TestStampFollowsTheHostsVariables(t *testing.T) {
	dir := tree(t, map[string]string{"shop.env": "A=1\n"})
	l := stacks{config: Config{EnvDir: dir}}
	before := l.Stamp()
	if l.Stamp() != before {
		t.Error("the stamp changes by itself")
	}
	if err := os.WriteFile(filepath.Join(dir, "shop.env"), []byte("A=22\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l.Stamp() == before {
		t.Error("the stamp does not change with the file")
	}
}

func TestHostVariablesReachTheStackAndLeaveItsTexts(t *testing.T) {
	known := newSecrets()
	env := tree(t, map[string]string{"ops.env": "TOKEN=hunter2hunter2\n"})
	l := learned{stacks: stacks{config: Config{Path: ".", Data: t.TempDir(), EnvDir: env}}, secrets: known}
	dir := tree(t, map[string]string{"compose.yaml": "services: {a: {image: a, environment: {TOKEN: \"${TOKEN}\"}}}\n"})
	d, err := l.Load(t.Context(), reconcile.Revision{Source: "/ops", Dir: dir})
	if err != nil || len(d.Projects) != 1 {
		t.Fatalf("declaration %+v, error %v", d, err)
	}
	if got := *d.Projects[0].Services[0].Config.Environment["TOKEN"]; got != "hunter2hunter2" {
		t.Errorf("TOKEN is %q", got)
	}
	if got := known.scrub("the token is hunter2hunter2"); got != "the token is ***" {
		t.Errorf("scrubbed to %q", got)
	}
}

func TestPlanOfADirectoryWritesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	dir := tree(t, map[string]string{"compose.yaml": "name: shop\nservices: {a: {image: a}}\n"})
	c, _, errs := world(map[string]string{"DAVIT_DATA": data, "DAVIT_ENGINE": "unix://" + filepath.Join(dir, "none.sock")})
	if code := run(t.Context(), c, "plan", "--dir", dir); code != exitError || !strings.Contains(errs.String(), "unavailable") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the data directory was made: %v", err)
	}
}

func TestTwoAgentsNeverShareADataDirectory(t *testing.T) {
	data := t.TempDir()
	none := "unix://" + filepath.Join(data, "none.sock")
	c, _, _ := world(nil)
	a := &agent{config: c.defaults(), logger: c.logger(Config{LogLevel: "error"}), now: c.Now}
	a.config.Data, a.config.Engine = data, none
	if err := a.openHost(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer a.close()
	second, _, errs := world(map[string]string{"DAVIT_DATA": data, "DAVIT_ENGINE": none})
	if code := run(t.Context(), second, "run", "--repo", t.TempDir()); code != exitError || !strings.Contains(errs.String(), "in use") || !strings.Contains(errs.String(), "hint:") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestManyStacksAreLoadedInTheirOrder(t *testing.T) {
	files, want := map[string]string{"common.yaml": "services: {base: {image: base, x-davit: {monitor: 0s}}}\n"}, []string{}
	for n := range 40 {
		name := fmt.Sprintf("s%02d", n)
		files[name+"/.env"] = "TAG=1." + name + "\n"
		files[name+"/compose.yaml"] = "services: {web: {extends: {file: ../common.yaml, service: base}, image: \"web:${TAG}\", env_file: .env, healthcheck: {test: [CMD, a]}}}\n"
		want = append(want, name+" web:1."+name)
	}
	files["s20/compose.yaml"] = "services: ["
	want = slices.Delete(want, 20, 21)
	l := stacks{config: Config{Path: ".", Data: t.TempDir()}}
	d, err := l.Load(t.Context(), reconcile.Revision{Dir: tree(t, files)})
	if err != nil || len(d.Broken) != 1 || d.Broken["s20"] == nil {
		t.Fatalf("%v, broken %v", err, d.Broken)
	}
	var got []string
	for _, p := range d.Projects {
		got = append(got, p.Name+" "+p.Model.Services["web"].Image)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
