package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestAListOfStacksIsTakenAsItIs(t *testing.T) {
	root := write(t, map[string]string{
		"ops/davit.yaml": `
stacks:
  - name: staging
    directory: shop
    files: [compose.yaml, ../extra/more.yaml]
    env_files: [staging.env, ../common.env]
    profiles: [debug]
    depends_on: [database]
  - name: database
removed: [old, older]
`,
		"ops/shop/compose.yaml": "name: another\n", "ops/extra/more.yaml": "", "ops/shop/staging.env": "", "ops/common.env": "",
		"ops/database/docker-compose.yml": "", "ops/database/compose.override.yml": "", "ops/unlisted/compose.yaml": "",
	})
	tree, err := ReadTree(root, "ops", "repository")
	if err != nil {
		t.Fatal(err)
	}
	want := Tree{
		Stacks: []Stack{
			{Name: "database", Dir: "ops/database", Files: []string{"ops/database/docker-compose.yml", "ops/database/compose.override.yml"}},
			{Name: "staging", Dir: "ops/shop", Files: []string{"ops/shop/compose.yaml", "ops/extra/more.yaml"},
				EnvFiles: []string{"ops/shop/staging.env", "ops/common.env"}, Profiles: []string{"debug"}, DependsOn: []string{"database"}},
		},
		Removed: []string{"old", "older"},
	}
	if !reflect.DeepEqual(tree, want) {
		t.Errorf("got  %+v\nwant %+v", tree, want)
	}
}

func TestAListOfWhatIsRemovedLeavesTheSearchAsItIs(t *testing.T) {
	root := write(t, map[string]string{"davit.yaml": "removed: [gone]\n", "shop/compose.yaml": ""})
	tree, err := ReadTree(root, ".", "repository")
	if err != nil || len(tree.Stacks) != 1 || tree.Stacks[0].Name != "shop" || !slices.Equal(tree.Removed, []string{"gone"}) {
		t.Errorf("got %+v, %v", tree, err)
	}
}

func TestAnEmptyListDeclaresNothing(t *testing.T) {
	root := write(t, map[string]string{"davit.yaml": "stacks: []\n", "shop/compose.yaml": ""})
	if tree, err := ReadTree(root, ".", "repository"); err != nil || len(tree.Stacks) != 0 {
		t.Errorf("got %+v, %v", tree, err)
	}
}

func TestEveryMistakeInTheListIsTold(t *testing.T) {
	root := write(t, map[string]string{
		"davit.yaml": `stacks:
  - directory: shop
  - name: Shop
  - name: shop
    directory: ../elsewhere
  - name: shop
  - name: web
    dir: shop
    directory: shop
    directory: shop
    files: []
    env_files: nope.env
    profiles: [[x]]
  - name: bare
  - name: api
    directory: /srv
    files: [compose.yaml]
  - name: db
    directory: shop
    files: [missing.yaml, ../bare, https://x/y.yaml]
    depends_on: [Data]
  - just text
  - name: file
    directory: davit.yaml
removed: [db, ~]
stack: []
`, "shop/compose.yaml": "", "bare/x": "",
	})
	_, err := ReadTree(root, ".", "repository")
	var list *ListError
	if !errors.As(err, &list) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range Problems(err) {
		text, _, _ := strings.Cut(p.Err.Error(), ":")
		got = append(got, fmt.Sprintf("%d %s: %s", p.Line, p.Key, text))
	}
	want := []string{
		`2 stacks[0].name: is missing`,
		`3 stacks[1].name: "Shop" is no stack name`,
		`4 stacks[2].directory: "../elsewhere" leads out of the repository`,
		`6 stacks[3].name: the stack "shop" is named in line 4 already`,
		`7 stacks[4].files: is empty`,
		`8 stacks[4].dir: unknown key`,
		`10 stacks[4].directory: is given twice`,
		`12 stacks[4].env_files: must be a list`,
		`13 stacks[4].profiles[0]: must be a plain text`,
		`14 stacks[5].directory: "bare" has no compose file`,
		`15 stacks[6].directory: "/srv" is an absolute path`,
		`20 stacks[7].files[0]: "missing.yaml" does not exist`,
		`20 stacks[7].files[1]: "../bare" is not a regular file`,
		`20 stacks[7].files[2]: "https`,
		`21 stacks[7].depends_on[0]: "Data" is no stack name`,
		`22 stacks[8]: must have keys and values`,
		`23 stacks[9].directory: "davit.yaml" is not a directory`,
		`25 removed[0]: the stack "db" is named in line 18 already`,
		`25 removed[1]: must be a plain text`,
		`26 stack: unknown key`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAListThatCannotBeReadIsNoSearch(t *testing.T) {
	for name, content := range map[string]string{
		"not YAML":      "stacks: [",
		"a text":        "stacks",
		"nothing":       "stacks:\n",
		"a bomb":        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\nstacks: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
		"too much":      "removed: [" + strings.Repeat("a, ", 1001) + "a]",
		"itself":        "stacks: &s [*s]",
		"a merge":       "stacks: [{<<: {name: a}}]",
		"two documents": "stacks: []\n---\nstacks: []\n",
	} {
		root := write(t, map[string]string{"davit.yaml": content, "shop/compose.yaml": ""})
		if stacks, err := Discover(root, ".", "repository"); err == nil || len(stacks) > 0 || !strings.Contains(err.Error(), "davit.yaml") {
			t.Errorf("%s: %v, %v", name, stacks, err)
		}
	}
}

func TestAListThatIsALinkOutsideIsNotRead(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "davit.yaml")
	put(t, outside, "stacks: []")
	root := write(t, map[string]string{"shop/compose.yaml": ""})
	if err := os.Symlink(outside, filepath.Join(root, "davit.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Discover(root, ".", "repository"); err == nil || err.Error() != "davit.yaml: leads out of the repository" {
		t.Errorf("got %v", err)
	}
}

func TestAListedStackIsLoadedWithItsOwnFiles(t *testing.T) {
	root := write(t, map[string]string{
		"davit.yaml":        "stacks: [{name: prod, directory: shop, files: [compose.yaml, prod.yaml], env_files: [a.env, b.env], profiles: [debug], depends_on: [cache, db]}]",
		"shop/compose.yaml": "name: shop\nx-davit: {depends_on: [db]}\nservices: {web: {image: 'web:${TAG}'}, probe: {image: p, profiles: [debug]}, never: {image: n, profiles: [other]}}",
		"shop/prod.yaml":    "services: {web: {environment: {MODE: '${MODE}'}}}",
		"shop/.env":         "TAG=0\nBASE=1\nCOMPOSE_PROFILES=other\n", "shop/a.env": "TAG=${BASE}.2\nMODE=a\n", "shop/b.env": "MODE=b${TAG}\n",
	})
	stacks, err := Discover(root, ".", "repository")
	if err != nil || len(stacks) != 1 {
		t.Fatalf("got %v, %v", stacks, err)
	}
	p, err := Load(t.Context(), stacks[0], options(root))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range p.Services {
		names = append(names, s.Name)
	}
	web, _ := p.Service("web")
	if p.Name != "prod" || !slices.Equal(names, []string{"probe", "web"}) || web.Config.Image != "web:1.2" || *web.Config.Environment["MODE"] != "b1.2" {
		t.Errorf("got %s %v, image %s, MODE %s", p.Name, names, web.Config.Image, *web.Config.Environment["MODE"])
	}
	if want := []string{"cache", "db"}; !slices.Equal(p.Settings.DependsOn, want) {
		t.Errorf("waits for %v, want %v", p.Settings.DependsOn, want)
	}
}

func TestValidateTellsOfStacksThatWaitForEachOther(t *testing.T) {
	root := write(t, map[string]string{
		"a/compose.yaml": "x-davit: {depends_on: [b]}\nservices: {a: {image: a}}", "b/compose.yaml": "x-davit: {depends_on: [a, elsewhere]}\nservices: {b: {image: b}}",
		"c/compose.yaml": "x-davit: {depends_on: [a]}\nservices: {c: {image: c}}",
	})
	err := validateTree(t.Context(), root, ".", validateOptions{LoadOptions: LoadOptions{DataDir: "/data"}})
	const want = "a/compose.yaml: depends_on: stacks wait for each other: a -> b -> a\nb/compose.yaml: depends_on: stacks wait for each other: b -> a -> b"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func FuzzList(f *testing.F) {
	for _, seed := range []string{
		"stacks: [{name: a, directory: ., files: [compose.yaml], env_files: [.env], profiles: [p], depends_on: [b]}]\nremoved: [c]\n",
		"stacks:\n- &a {name: a}\n- *a\n", "removed:\n- x\n- x\n", "stacks: &s [*s]", "? [a]\n: b\n", "stacks: !!binary aGk=", "\xff\xfe",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		root := write(t, map[string]string{"compose.yaml": "", "a/compose.yaml": "", ".env": "", "davit.yaml": content})
		tree, err := ReadTree(root, ".", "fuzz")
		if err != nil {
			if tree.Stacks != nil {
				t.Errorf("stacks beside the error %v: %v", err, tree.Stacks)
			}
			for _, p := range Problems(err) {
				if p.File != "davit.yaml" || p.Err == nil {
					t.Errorf("problem %v", p)
				}
			}
			return
		}
		seen := map[string]bool{}
		for _, name := range tree.Removed {
			seen[name] = true
		}
		for _, s := range tree.Stacks {
			if name, err := stackName(s.Name); err != nil || seen[name] || len(s.Files) == 0 || !filepath.IsLocal(s.Dir) {
				t.Errorf("stack %+v", s)
			}
			seen[s.Name] = true
			for _, file := range slices.Concat(s.Files, s.EnvFiles) {
				if _, err := os.Stat(filepath.Join(root, file)); err != nil || !filepath.IsLocal(file) {
					t.Errorf("file %s: %v", file, err)
				}
			}
		}
	})
}
