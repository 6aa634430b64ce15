package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each case is a tree that reaches for something outside of it, and what the
// refusal must say.
func TestNothingLeadsOutOfTheRepository(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.yaml")
	put(t, outside, "services: {x: {image: stolen}}\nA: stolen\n")
	service := "services: {a: {image: a}}\n"
	for name, c := range map[string]struct{ file, want string }{
		"an include from the web":         {"include: ['https://example.com/compose.yaml']\n" + service, "include[0].path: \"https://example.com/compose.yaml\" is remote"},
		"an include from Git":             {"include: ['git@example.com:a/b.git']\n" + service, "is remote"},
		"an include from a registry":      {"include: [oci://example.com/a]\n" + service, "is remote"},
		"an absolute include":             {"include: [" + outside + "]\n" + service, "is an absolute path"},
		"an include above":                {"include: [../../outside.yaml]\n" + service, "leads out of the repository"},
		"an include from home":            {"include: ['~/outside.yaml']\n" + service, "begins with ~"},
		"an include behind a variable":    {"include: ['${UP}/outside.yaml']\n" + service, "leads out of the repository"},
		"an include behind a link":        {"include: [link.yaml]\n" + service, "leads out of the repository"},
		"an include's variables":          {"include: [{path: ok.yaml, env_file: " + outside + "}]\n" + service, "include[0].env_file"},
		"an include's directory":          {"include: [{path: ok.yaml, project_directory: ../..}]\n" + service, "include[0].project_directory"},
		"an include's variables, a link":  {"include: [{path: ok.yaml, env_file: link.yaml}]\n" + service, "leads out of the repository"},
		"a remote extends":                {"services: {a: {image: a, extends: {file: 'https://example.com/x', service: x}}}", "services.a.extends.file: \"https://example.com/x\" is remote"},
		"an absolute extends":             {"services: {a: {image: a, extends: {file: " + outside + ", service: x}}}", "is an absolute path"},
		"an extends above":                {"services: {a: {image: a, extends: {file: ../../outside.yaml, service: x}}}", "leads out"},
		"an extends behind a link":        {"services: {a: {image: a, extends: {file: link.yaml, service: x}}}", "leads out"},
		"an absolute env_file":            {"services: {a: {image: a, env_file: " + outside + "}}", "services.a.env_file: "},
		"an env_file above":               {"services: {a: {image: a, env_file: [{path: ../../x}]}}", "services.a.env_file[0].path: \"../../x\" leads out"},
		"an env_file behind a link":       {"services: {a: {image: a, env_file: link.yaml}}", "leads out"},
		"a label_file behind a link":      {"services: {a: {image: a, label_file: link.yaml}}", "leads out"},
		"an env_file from home":           {"services: {a: {image: a, env_file: '~/x'}}", "begins with ~"},
		"a bind from above":               {"services: {a: {image: a, volumes: ['../../x:/x']}}", "services.a.volumes[0]: \"../../x\" leads out"},
		"a bind from home":                {"services: {a: {image: a, volumes: ['~/x:/x']}}", "begins with ~"},
		"a long bind from home":           {"services: {a: {image: a, volumes: [{type: bind, source: '~', target: /x}]}}", "begins with ~"},
		"a bind behind a link":            {"services: {a: {image: a, volumes: ['./link.yaml:/x:ro']}}", "leads out"},
		"a directory with a link outside": {"services: {a: {image: a, volumes: ['./dir:/x:ro']}}", "link to " + outside + ": leads out of the repository"},
		"a secret from above":             {"services: {a: {image: a, secrets: [s]}}\nsecrets: {s: {file: ../../x}}", "secrets.s.file: \"../../x\" leads out"},
		"a config behind a link":          {"services: {a: {image: a, configs: [s]}}\nconfigs: {s: {file: link.yaml}}", "leads out"},
		"a bind inside a volume":          {"services: {a: {image: a}}\nvolumes: {v: {driver_opts: {type: none, o: bind, device: ./x}}}", "volumes.v.driver_opts.device"},
		"a bind of an extended file":      {"services: {a: {image: a, extends: {file: sub/base.yaml, service: base}}}", "sub/base.yaml:1: services.base.volumes[0]"},
		"an include that includes above":  {"include: [sub/include.yaml]\n" + service, "sub/include.yaml:1: include[0].path"},
		"an include of itself":            {"include: [compose.yaml]\n" + service, "include cycle"},
		"an extends of itself":            {"services: {a: {image: a, extends: a}}", "Circular reference"},
		"a nested include with a base":    {"include: [sub/based.yaml]\n" + service, "include[0].project_directory: not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, map[string]string{
				"app/compose.yaml": c.file, "app/.env": "UP=../..\n", "app/ok.yaml": "services: {b: {image: b}}",
				"app/sub/base.yaml":    "services: {base: {volumes: ['../../../x:/x']}}",
				"app/sub/include.yaml": "include: [../../../outside.yaml]",
				"app/sub/based.yaml":   "include: [{path: other.yaml, project_directory: .}]",
				"app/sub/other.yaml":   "services: {o: {image: o}}",
				"app/dir/file":         "",
			})
			for _, link := range []string{"app/link.yaml", "app/dir/link"} {
				if err := os.Symlink(outside, filepath.Join(root, link)); err != nil {
					t.Fatal(err)
				}
			}
			p, err := Load(t.Context(), Stack{Name: "app", Dir: "app", Files: []string{"app/compose.yaml"}}, options(root))
			if err == nil {
				t.Fatalf("it was loaded: %s", p.rendered)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if strings.Contains(err.Error(), "stolen") || strings.Contains(err.Error(), "services.x") {
				t.Error("the error tells what is outside")
			}
		})
	}
}

func TestLinksInsideTheRepositoryAreFollowed(t *testing.T) {
	root := write(t, map[string]string{
		"app/compose.yaml": "services: {a: {image: a, env_file: e, volumes: ['./dir:/d:ro', './file:/f:ro']}}",
		"app/dir/real":     "real", "shared/env": "A=1\n", "shared/x": "x",
	})
	for link, to := range map[string]string{"app/e": "../shared/env", "app/dir/alias": "real", "app/dir/copy": "../../shared/x", "app/file": "../shared/x"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	o := options(root)
	o.DataDir = t.TempDir()
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Files{}).Write(p); err != nil {
		t.Fatal(err)
	}
	for _, v := range p.Services[0].Config.Volumes {
		info, err := os.Lstat(v.Source)
		if err != nil || v.Target == "/f" && !info.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", v.Target, info, err)
		}
		if v.Target == "/d" {
			copied, _ := os.Lstat(filepath.Join(v.Source, "copy"))
			alias, _ := os.Readlink(filepath.Join(v.Source, "alias"))
			if !copied.Mode().IsRegular() || alias != "real" {
				t.Errorf("copy is %v, alias leads to %q", copied.Mode(), alias)
			}
		}
	}
}

// bombs are small files that want to become large.
func bombs() map[string]string {
	var aliases strings.Builder
	aliases.WriteString("a: &a [x,x,x,x,x,x,x,x,x]\n")
	for c := 'b'; c <= 'z'; c++ {
		aliases.WriteString(string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") + "]\n")
	}
	return map[string]string{
		"aliases of aliases":   aliases.String(),
		"an alias of itself":   "x-a: &a [*a]\nservices: {a: {image: a}}",
		"a merge of itself":    "services: {a: &a {image: a, <<: *a}}",
		"deep nesting":         "x-a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"deep flow mapping":    "x-a: " + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000),
		"a long text, often":   "x-a: &a " + strings.Repeat("y", 500_000) + "\nx-b: [" + strings.Repeat("*a, ", 1000) + "]\nservices: {a: {image: a}}",
		"a file too large":     "services: {a: {image: a}}\n#" + strings.Repeat("z", 2<<20),
		"documents of nothing": strings.Repeat("---\n", 1000),
		"only null":            "null",
		"a list":               "[a, b]",
		"no YAML":              "\x00\x01\x02",
		"a key twice":          "services: {a: {image: a}, a: {image: b}}",
		"a key of no text":     "services: {1.5: {image: a}, ? [x] : {image: b}}",
		"not a number":         "services: {a: {image: a, cpus: .nan}}",
		"infinity":             "services: {a: {image: a, x-davit: {stable_for: .inf}}}",
		"an immense number":    "services: {a: {image: a, x-davit: {stable_for: 1e300, max_surge: 999999999999999999999}}}",
		"negative seconds":     "services: {a: {image: a, x-davit: {start_timeout: -1s}}}",
	}
}

func TestBombsAreRefusedQuickly(t *testing.T) {
	for name, file := range bombs() {
		t.Run(name, func(t *testing.T) {
			root := write(t, one(file))
			start := time.Now()
			_, err := Load(t.Context(), Stack{Name: "a", Dir: ".", Files: []string{"compose.yaml"}}, options(root))
			if err == nil {
				t.Fatal("it was loaded")
			}
			if len(Problems(err)) == 0 || len(err.Error()) > 2000 {
				t.Errorf("the error is no list of problems, or %d bytes long: %.300v", len(err.Error()), err)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

func TestManyAliasesAreNoBomb(t *testing.T) {
	file := "x-a: &a {restart: always, logging: {driver: none}}\nservices:\n"
	for i := range 500 {
		file += "  s" + strings.Repeat("x", i) + ": {<<: *a, image: s}\n"
	}
	if p := load(t, one(file)); len(p.Services) != 500 {
		t.Errorf("%d services", len(p.Services))
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(hashed, "A=1\n", "services: {b: {image: b}}")
	f.Add("include: [other.yaml]\nservices: {a: {extends: {file: other.yaml, service: b}}}", "", "services: {b: {image: b, volumes: [.:/x]}}")
	for _, file := range bombs() {
		if len(file) < 10_000 {
			f.Add(file, "", "")
		}
	}
	f.Fuzz(func(t *testing.T, file, env, other string) {
		root := write(t, map[string]string{"compose.yaml": file, ".env": env, "other.yaml": other})
		stacks, err := Discover(root, ".", "fuzz")
		if err != nil {
			return
		}
		for _, s := range stacks {
			p, err := Load(t.Context(), s, options(root))
			if err != nil {
				if len(Problems(err)) == 0 {
					t.Fatalf("an error that is no list of problems: %v", err)
				}
				continue
			}
			again(t, p)
			if len(p.Order()) == 0 {
				t.Fatal("a stack without services was loaded")
			}
		}
	})
}
