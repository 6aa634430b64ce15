package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// buildable is an image of a service web that is built of files; build is what its
// service says.
func (l lab) buildable(build string, files map[string]string) reconcile.Image {
	l.Helper()
	root := l.TempDir()
	for name, content := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			l.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			l.Fatal(err)
		}
	}
	text := "name: " + l.project + "\nservices: {web: {build: " + build + "}}\n"
	if err := os.WriteFile(filepath.Join(root, "compose.yaml"), []byte(text), 0o644); err != nil {
		l.Fatal(err)
	}
	policy, err := compose.ParsePolicy("policy", []byte("rules: {build: true}"))
	if err != nil {
		l.Fatal(err)
	}
	p, err := compose.Load(l.Context(), compose.Stack{Name: l.project, Dir: ".", Files: []string{"compose.yaml"}},
		compose.LoadOptions{Root: root, DataDir: l.TempDir(), Policy: policy})
	if err != nil {
		l.Fatal(err)
	}
	b := p.Services[0].Build
	return reconcile.Image{Ref: b.Name, Built: b.Tag, Build: b, Platform: b.Platform}
}

// marked is a `build` whose image clean finds.
func (l lab) marked(more string) string {
	return "{context: ., labels: {test: " + l.project + "}" + more + "}"
}

func TestABuiltImageIsWhatItsFilesSay(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	files := map[string]string{
		"Dockerfile":    "FROM scratch AS first\nARG PORT=1\nARG COLOUR\nENV PORT=$PORT COLOUR=$COLOUR\nCOPY . /app/\nVOLUME /data\nHEALTHCHECK CMD [\"/x\"]\nFROM scratch AS later\n",
		".dockerignore": "secret\n", "secret": "s", "file": "content",
	}
	i := l.buildable(l.marked(", target: first, args: {PORT: 8080, COLOUR: blue}, tags: ["+l.project+":extra]"), files)
	got, err := l.engine.Build(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID == "" || !got.Local || got.Ref != l.project+"-web" || got.Built != i.Built || !got.Healthcheck || len(got.Volumes) != 1 {
		t.Errorf("built %+v", got)
	}
	found := must(l.docker.ImageInspect(t.Context(), got.ID))
	if env := strings.Join(found.Config.Env, " "); !strings.Contains(env, "PORT=8080") || !strings.Contains(env, "COLOUR=blue") {
		t.Errorf("environment %s", env)
	}
	for _, ref := range []string{i.Built, l.project + "-web", l.project + ":extra"} {
		if here, err := l.engine.LocalImage(t.Context(), ref); err != nil || here.ID != got.ID {
			t.Errorf("%s means %s (%v)", ref, here.ID, err)
		}
	}
	for name, want := range map[string]bool{"/app/file": true, "/app/secret": false} {
		if there := l.holds(got, name); there != want {
			t.Errorf("%s is in the image: %v", name, there)
		}
	}
}

// holds reports whether the image has a file of that name.
func (l lab) holds(i reconcile.Image, name string) bool {
	l.Helper()
	made, err := l.docker.ContainerCreate(l.Context(), &container.Config{Image: i.ID, Cmd: []string{"/x"}}, nil, nil, nil, l.project+"-look-"+filepath.Base(name))
	if err != nil {
		l.Fatal(err)
	}
	_, err = l.docker.ContainerStatPath(l.Context(), made.ID, name)
	return err == nil
}

func TestTheSameIsNotBuiltAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	files := map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", "a": "1"}
	first := must(l.engine.Build(t.Context(), l.buildable(l.marked(""), files)))
	again := must(newEngine(t, "").Build(t.Context(), l.buildable(l.marked(""), files)))
	files["a"] = "2"
	other := must(l.engine.Build(t.Context(), l.buildable(l.marked(""), files)))
	files["a"] = "1"
	reverted := must(l.engine.Build(t.Context(), l.buildable(l.marked(""), files)))
	if first.ID != again.ID || other.ID == first.ID || reverted.ID != first.ID {
		t.Errorf("%s, again %s, changed %s, reverted %s", first.ID, again.ID, other.ID, reverted.ID)
	}
	if now := must(l.engine.LocalImage(t.Context(), l.project+"-web")); now.ID != first.ID {
		t.Errorf("after the revert %s-web is %s, want %s", l.project, now.ID, first.ID)
	}
}

func TestABuildThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	base := l.image(t, l.project+":base", enginetest.Behaviour{})
	for name, c := range map[string]struct{ dockerfile, want, output string }{
		"a command that fails":        {"FROM " + base.Ref + "\nRUN [\"/app\", \"nonsense\"]\n", "it printed last: unknown command", `unknown command "nonsense"`},
		"a file that is not there":    {"FROM scratch\nCOPY nowhere /\n", "COPY nowhere /", "COPY nowhere"},
		"an instruction that is none": {"FROM scratch\nNONSENSE\n", "NONSENSE", ""},
		"a stage that is not there":   {"FROM scratch AS first\n", "nostage", ""},
		"what needs BuildKit":         {"FROM " + base.Ref + "\nRUN --mount=type=cache,target=/x /app\n", "BuildKit", ""},
	} {
		build := l.marked("")
		if c.want == "nostage" {
			build = l.marked(", target: nostage")
		}
		i := l.buildable(build, map[string]string{"Dockerfile": c.dockerfile})
		_, err := l.engine.Build(t.Context(), i)
		var stalled *reconcile.Stalled
		var failure *reconcile.BuildFailure
		if !errors.As(err, &stalled) || stalled.After == 0 || !errors.As(err, &failure) || failure.Tag != i.Built {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(failure.Output, c.output) {
			t.Errorf("%s: %v, having printed %q", name, err, failure.Output)
		}
	}
}

func TestABaseImageThatIsMissingIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStore(newLab(t), "", "")
	i := s.buildable(s.marked(""), map[string]string{"Dockerfile": "FROM " + s.ref("none") + "\n"})
	if _, err := s.engine.Build(t.Context(), i); !errors.Is(err, reconcile.ErrImageMissing) {
		t.Errorf("Build() = %v", err)
	}
	s.push("none")
	if got, err := s.engine.Build(t.Context(), i); err != nil || len(got.Volumes) != 1 {
		t.Errorf("once it was pushed: %+v, %v", got, err)
	}
}

func TestABaseImagesRegistryIsLoggedInTo(t *testing.T) {
	t.Parallel()
	s := newStore(newLab(t), "ann", "secret")
	s.push("base")
	i := s.buildable(s.marked(""), map[string]string{"Dockerfile": "FROM " + s.ref("base") + "\n"})
	if _, err := s.engine.Build(t.Context(), i); !errors.Is(err, reconcile.ErrRegistryDenied) {
		t.Errorf("without a login: %v", err)
	}
	e := withConfig(t, `{"auths":{"`+s.address+`":{"username":"ann","password":"secret"}}}`)
	if _, err := e.Build(t.Context(), i); err != nil {
		t.Errorf("with a login: %v", err)
	}
}

func TestAContextThatChangedIsNotBuilt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	i := l.buildable(l.marked(""), map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", "a": "1"})
	gone := i.Build.Context
	gone.Digest = strings.Repeat("0", 64)
	i.Build.Context = gone
	_, err := l.engine.Build(t.Context(), i)
	if err == nil || !strings.Contains(err.Error(), "not what it was") {
		t.Errorf("Build() = %v", err)
	}
	if _, err := l.engine.LocalImage(t.Context(), i.Built); !errors.Is(err, reconcile.ErrImageMissing) {
		t.Errorf("there is an image all the same: %v", err)
	}
}
