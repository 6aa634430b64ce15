package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
	"testing/synctest"

	"davit/reconcile"
)

func TestOnlyWhatStartsNothingIsLeftOfAPlan(t *testing.T) {
	step := func(id int, kind reconcile.StepKind, after ...int) reconcile.Step {
		return reconcile.Step{ID: id, Kind: kind, After: after}
	}
	got := unstarted(reconcile.Plan{Steps: []reconcile.Step{
		step(1, reconcile.StepPull),
		step(2, reconcile.StepNetwork),
		step(3, reconcile.StepCreate, 1, 2),
		step(4, reconcile.StepStart, 3),
		step(5, reconcile.StepGate, 4),
		step(6, reconcile.StepPolicy, 5),
		step(7, reconcile.StepCreate, 2, 5),
		step(8, reconcile.StepMonitor, 6),
	}}).Steps
	want := []reconcile.Step{
		step(1, reconcile.StepNetwork),
		step(2, reconcile.StepCreate, 1),
		step(3, reconcile.StepPolicy, 2),
		step(4, reconcile.StepCreate, 1, 2),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestFilesOfOthersAreFoundAndLoseTheirDigests(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	const sum = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, content := range map[string]string{
		"shop/compose.yaml":  "services: {web: {image: 'nginx:1.27" + sum + "'}}\n",
		"shop/values.yaml":   "replicas: 3\n",
		"shop/broken.yml":    "services: [\n",
		"other/any-name.yml": "services:\n  web:\n    image: nginx" + sum + "\n",
		".git/compose.yaml":  "services: {web: {image: nginx}}\n",
	} {
		file := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := foreign(from, to, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	var names, projects []string
	for _, s := range found {
		names, projects = append(names, s.name), append(projects, s.stack.Name)
		for _, root := range []string{s.repo, s.work} {
			data, err := os.ReadFile(filepath.Join(root, s.name))
			if err != nil {
				t.Fatal(err)
			}
			if digest.Match(data) {
				t.Errorf("%s has a digest still: %s", s.name, data)
			}
		}
	}
	if want := []string{"other/any-name.yml", "shop/compose.yaml"}; !reflect.DeepEqual(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
	if want := []string{"f-other-any-name", "f-shop-compose"}; !reflect.DeepEqual(projects, want) {
		t.Errorf("projects are called %v, want %v", projects, want)
	}
}

func TestProjectsThatUseOneNameTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClaims()
		release := c.take([]string{"volume data", "network shared"})
		second := false
		go func() {
			c.take([]string{"network shared"})()
			second = true
		}()
		c.take([]string{"network other"})()
		synctest.Wait()
		if second {
			t.Fatal("two projects hold one name")
		}
		release()
		synctest.Wait()
		if !second {
			t.Error("a name that was let go of is not given on")
		}
	})
}
