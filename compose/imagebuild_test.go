package compose

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// builder is a policy that lets images be built.
func builder() *Policy {
	return &Policy{preset: Permissive, rules: map[Rule]grant{RuleBuild: {all: true}}}
}

// tryBuilding loads the only stack of files where images may be built.
func tryBuilding(t *testing.T, files map[string]string) (*Project, error) {
	t.Helper()
	root := write(t, files)
	o := options(root)
	o.Policy = builder()
	return Load(t.Context(), find(t, root), o)
}

func building(t *testing.T, files map[string]string) *Project {
	t.Helper()
	p, err := tryBuilding(t, files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// app is a stack whose one service is built from the directory app.
func app(build string, more map[string]string) map[string]string {
	return merge(map[string]string{
		"compose.yaml":   "name: shop\nservices: {web: {build: " + build + "}}\n",
		"app/Dockerfile": "FROM scratch\nCOPY . /\n", "app/main.go": "package main", "app/sub/data": "1",
	}, more)
}

func webOf(t *testing.T, p *Project) Service {
	t.Helper()
	s, ok := p.Service("web")
	if !ok || s.Build == nil {
		t.Fatalf("no build of web in %+v", p.Services)
	}
	return s
}

// packed is the content of a build context, by name; links and directories say so.
func packed(t *testing.T, c BuildContext) map[string]string {
	t.Helper()
	var archive bytes.Buffer
	n, err := c.WriteTo(&archive)
	if err != nil || n != int64(archive.Len()) {
		t.Fatalf("packed %d bytes of %d: %v", n, archive.Len(), err)
	}
	found := map[string]string{}
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if found[h.Name] = string(content); h.Linkname != "" {
			found[h.Name] = "-> " + h.Linkname
		}
		if h.Uid != 0 || !h.ModTime.IsZero() && h.ModTime.Unix() != 0 {
			t.Errorf("%s belongs to %d and is of %s", h.Name, h.Uid, h.ModTime)
		}
	}
}

func TestABuildIsNamedByAllThatItIsMadeOf(t *testing.T) {
	base := webOf(t, building(t, app("app", nil)))
	if base.Build.Name != "shop-web" || base.ImageRef() != "shop-web" || !base.Build.Required {
		t.Errorf("%+v", base.Build)
	}
	if !strings.HasPrefix(base.Build.Tag, "davit.local/build/shop/web:") {
		t.Errorf("tag %s", base.Build.Tag)
	}
	for name, c := range map[string]struct {
		files map[string]string
		same  bool
	}{
		"nothing at all":              {app("app", nil), true},
		"a file beside the context":   {app("app", map[string]string{"README": "x"}), true},
		"the context in long form":    {app("{context: ./app}", nil), true},
		"what .dockerignore names":    {app("app", map[string]string{"app/.dockerignore": "docs\n", "app/docs/a": "1"}), false},
		"a file":                      {app("app", map[string]string{"app/main.go": "package other"}), false},
		"a file's name":               {app("app", map[string]string{"app/other.go": ""}), false},
		"the Dockerfile":              {app("app", map[string]string{"app/Dockerfile": "FROM scratch\n"}), false},
		"another Dockerfile":          {app("{context: app, dockerfile: Other}", map[string]string{"app/Other": "FROM scratch\nCOPY . /\n"}), false},
		"an inline Dockerfile":        {app("{context: app, dockerfile_inline: FROM scratch}", nil), false},
		"an argument":                 {app("{context: app, args: {A: b}}", nil), false},
		"a target":                    {app("{context: app, target: a}", nil), false},
		"a platform":                  {app("{context: app, platforms: [linux/arm64]}", nil), false},
		"a label":                     {app("{context: app, labels: {a: b}}", nil), false},
		"an argument of the revision": {app("{context: app, args: {V: '${DAVIT_VERSION}'}}", nil), false},
	} {
		s := webOf(t, building(t, c.files))
		if (s.Build.Tag == base.Build.Tag) != c.same || (s.Hash == base.Hash) != c.same {
			t.Errorf("%s: tag %s, hash %s; without it %s, %s", name, s.Build.Tag, s.Hash, base.Build.Tag, base.Hash)
		}
	}
}

func TestWhatDockerignoreNamesBuildsNothingAnew(t *testing.T) {
	ignoring := func(docs string) string {
		return webOf(t, building(t, app("app", map[string]string{"app/.dockerignore": "docs\n**/*.md\n!keep.md\n", "app/docs/a": docs, "app/sub/b.md": docs}))).Build.Tag
	}
	if a, b := ignoring("1"), ignoring("2"); a != b {
		t.Errorf("%s and %s", a, b)
	}
}

func TestANewCommitAloneBuildsNothingAnew(t *testing.T) {
	root := write(t, app("{context: app, args: {V: '${DAVIT_VERSION}', C: '${DAVIT_COMMIT}'}}", nil))
	tags, args := map[string]bool{}, map[string]bool{}
	for _, version := range []string{"1.2.3", "1.2.4"} {
		o := options(root)
		o.Policy, o.Variables.Version = builder(), version
		p, err := Load(t.Context(), find(t, root), o)
		if err != nil {
			t.Fatal(err)
		}
		b := webOf(t, p).Build
		tags[b.Tag], args[*b.Config.Args["V"]] = true, true
	}
	if len(tags) != 1 || len(args) != 2 {
		t.Errorf("tags %v, arguments %v", tags, args)
	}
}

func TestABuildContextIsWhatDockerWouldSend(t *testing.T) {
	for name, c := range map[string]struct {
		build string
		files map[string]string
		want  map[string]string
	}{
		"all of a directory": {"app", nil, map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", "main.go": "package main", "sub/": "", "sub/data": "1"}},
		"without what is ignored": {"app", map[string]string{"app/.dockerignore": "*\n!sub\n"},
			map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": "*\n!sub\n", "sub/": "", "sub/data": "1"}},
		"a Dockerfile in an ignored directory": {"{context: app, dockerfile: build/Dockerfile}",
			map[string]string{"app/.dockerignore": "build\nsub\nmain.go\nDockerfile\n", "app/build/Dockerfile": "FROM a", "app/build/other": ""},
			map[string]string{".dockerignore": "build\nsub\nmain.go\nDockerfile\n", "build/Dockerfile": "FROM a"}},
		"patterns of the Dockerfile's own": {"{context: app, dockerfile: Dockerfile}",
			map[string]string{"app/.dockerignore": "main.go\n", "app/Dockerfile.dockerignore": "sub\n"},
			map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": "main.go\n", "Dockerfile.dockerignore": "sub\n", "main.go": "package main"}},
	} {
		got := packed(t, webOf(t, building(t, app(c.build, c.files))).Build.Context)
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: sent %q, want %q", name, got, c.want)
		}
	}
}

func TestADockerfileThatIsNotInTheContextIsHiddenInIt(t *testing.T) {
	for name, c := range map[string]struct {
		build string
		files map[string]string
	}{
		"inline":        {"{context: app, dockerfile_inline: FROM x}", nil},
		"beside it":     {"{context: app, dockerfile: ../other/Dockerfile}", map[string]string{"other/Dockerfile": "FROM x"}},
		"with patterns": {"{context: app, dockerfile_inline: FROM x}", map[string]string{"app/.dockerignore": "sub"}},
	} {
		b := webOf(t, building(t, app(c.build, c.files))).Build
		got := packed(t, b.Context)
		if got[b.Context.Dockerfile] != "FROM x" {
			t.Errorf("%s: %s is %q", name, b.Context.Dockerfile, got[b.Context.Dockerfile])
		}
		ignored := strings.Split(got[".dockerignore"], "\n")
		if !slices.Contains(ignored, ".dockerignore") || !slices.Contains(ignored, b.Context.Dockerfile) {
			t.Errorf("%s: COPY sees it: %q", name, ignored)
		}
	}
}

func TestLinksInABuildContextStayLinks(t *testing.T) {
	root := write(t, app("app", nil))
	for name, to := range map[string]string{"within": "sub/data", "outside": "/etc/passwd", "above": "../../x"} {
		if err := os.Symlink(to, filepath.Join(root, "app", name)); err != nil {
			t.Fatal(err)
		}
	}
	o := options(root)
	o.Policy = builder()
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	got := packed(t, webOf(t, p).Build.Context)
	if got["within"] != "-> sub/data" || got["outside"] != "-> /etc/passwd" || got["above"] != "-> ../../x" {
		t.Errorf("sent %q", got)
	}
}

func TestAContextThatChangedSinceIsNotSent(t *testing.T) {
	root := write(t, app("app", nil))
	o := options(root)
	o.Policy = builder()
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "app", "main.go"), "package evil")
	if _, err := webOf(t, p).Build.Context.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "not what it was") {
		t.Errorf("WriteTo() = %v", err)
	}
}

func TestWhatCannotBeBuiltIsRefusedByName(t *testing.T) {
	for name, c := range map[string]struct {
		build string
		want  string
	}{
		"a context from Git":             {"'https://github.com/a/b.git#main'", "is remote"},
		"a context from Git, short":      {"git@github.com:a/b.git", "is remote"},
		"a context above":                {"../..", "leads out of the repository"},
		"an absolute context":            {"/etc", "is an absolute path"},
		"a context at home":              {"'~/x'", "begins with ~"},
		"a context behind a link":        {"link", "leads out of the repository"},
		"a context that is not there":    {"nowhere", `context "nowhere" does not exist`},
		"a context that is a file":       {"app/main.go", "is not a directory"},
		"a Dockerfile above":             {"{context: app, dockerfile: ../../Dockerfile}", "leads out of the repository"},
		"an absolute Dockerfile":         {"{context: app, dockerfile: /etc/passwd}", "is an absolute path"},
		"a Dockerfile behind a link":     {"{context: app, dockerfile: link}", "leads out of the repository"},
		"a Dockerfile that is not there": {"{context: app, dockerfile: None}", `dockerfile "app/None" does not exist`},
		"patterns that are none":         {"bad", "bad/.dockerignore"},
		"additional contexts":            {"{context: app, additional_contexts: {a: ./app}}", "additional_contexts needs BuildKit"},
		"ssh":                            {"{context: app, ssh: [default]}", "ssh needs BuildKit"},
		"secrets":                        {"{context: app, secrets: [s]}", "secrets needs BuildKit"},
		"entitlements":                   {"{context: app, entitlements: [network.host]}", "entitlements needs BuildKit"},
		"privileged":                     {"{context: app, privileged: true}", "privileged needs BuildKit"},
		"stages that are built anew":     {"{context: app, no_cache_filter: [a]}", "no_cache_filter needs BuildKit"},
		"several platforms":              {"{context: app, platforms: [linux/amd64, linux/arm64]}", "several platforms at once"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, app(c.build, map[string]string{"s": "s", "bad/Dockerfile": "", "bad/.dockerignore": "[\n"}))
			if strings.Contains(c.build, "secrets") {
				put(t, filepath.Join(root, "compose.yaml"), "name: shop\nservices: {web: {build: "+c.build+"}}\nsecrets: {s: {file: ./s}}\n")
			}
			for _, link := range []string{"link", "app/link"} {
				if err := os.Symlink("/etc", filepath.Join(root, link)); err != nil {
					t.Fatal(err)
				}
			}
			o := options(root)
			o.Policy = builder()
			_, err := Load(t.Context(), find(t, root), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "services.web.build") {
				t.Errorf("Load() = %v, want services.web.build… %s", err, c.want)
			}
		})
	}
}

func TestBuildIsOffUnlessThePolicyAllowsIt(t *testing.T) {
	root := write(t, app("app", nil))
	_, err := Load(t.Context(), find(t, root), options(root))
	var v *Violation
	if !errors.As(err, &v) || v.Rule != RuleBuild {
		t.Errorf("Load() = %v", err)
	}
	p := load(t, app("app, image: 'shop:1'", nil))
	s, _ := p.Service("web")
	noted := slices.ContainsFunc(p.Notes, func(n Note) bool { return n.Key == "services.web.build" && strings.Contains(n.Text, "policy") })
	if s.Build != nil || s.ImageRef() != "shop:1" || !noted {
		t.Errorf("%+v, noted %v", s.Build, p.Notes)
	}
	_, err = Load(t.Context(), Stack{Name: "shop", Dir: ".", Files: []string{"compose.yaml"}},
		options(write(t, app("app, image: 'shop:1', pull_policy: build", nil))))
	if !errors.As(err, &v) {
		t.Errorf("pull_policy build: %v", err)
	}
}

func TestAnImageThatIsPublishedIsNotMadeOfTheContext(t *testing.T) {
	one := building(t, app("app, image: 'shop:1'", nil))
	other := building(t, app("app, image: 'shop:1'", map[string]string{"app/main.go": "package other"}))
	a, b := webOf(t, one), webOf(t, other)
	if a.Build.Required || a.Build.Name != "shop:1" || a.Build.Tag == b.Build.Tag {
		t.Errorf("%+v, %+v", a.Build, b.Build)
	}
	if a.Hash != b.Hash {
		t.Error("a context that is only there in case the image is missing makes containers anew")
	}
	if one.Hash == other.Hash {
		t.Error("a changed context is no change of the stack")
	}
}

func TestAStoredProjectHasNoBuild(t *testing.T) {
	p := building(t, app("app", nil))
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := back.Service("web"); s.Build != nil || s.Hash != webOf(t, p).Hash || back.Hash != p.Hash {
		t.Errorf("%+v", s)
	}
	if strings.Contains(string(data), p.Services[0].Build.Context.root) {
		t.Error("the exported revision's place is stored")
	}
}

func TestABuiltServicesNameMustBeAnImagesName(t *testing.T) {
	files := map[string]string{"compose.yaml": "name: shop\nservices: {Web: {build: app}}\n", "app/Dockerfile": "FROM scratch\n"}
	if _, err := tryBuilding(t, files); err == nil || !strings.Contains(err.Error(), "write `image`") {
		t.Errorf("Load() = %v", err)
	}
	files["compose.yaml"] = "name: shop\nservices: {Web: {build: app, image: 'shop-web'}}\n"
	if p := building(t, files); !strings.HasPrefix(p.Services[0].Build.Tag, "davit.local/build/shop/x-") {
		t.Errorf("tag %s", p.Services[0].Build.Tag)
	}
}
