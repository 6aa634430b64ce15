package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// quay is a host on which Docker Compose runs several projects, each from a
// directory of its own, and a repository with the same files.
type quay struct {
	*testing.T
	bed      *testbed.Bed
	composer *testbed.Composer
	repo     *testbed.Repo
	proxy    *testbed.EngineProxy
	agent    *testbed.Agent
	// host is where the projects' directories are.
	host   string
	stacks map[string]*testbed.Stack
	files  map[string]string
}

func newQuay(t *testing.T) *quay {
	t.Helper()
	bed := testbed.New(t)
	h := &quay{
		T: t, bed: bed, composer: bed.Composer(), repo: bed.Repo("quay"), proxy: bed.Proxy(),
		host: filepath.Join(bed.Dir, "host"), stacks: map[string]*testbed.Stack{}, files: map[string]string{},
	}
	h.agent = bed.NewAgent(testbed.Run{Repo: h.repo.URL, Engine: h.proxy.Host, Args: []string{"--branch", "main", "--adopt", "none"}})
	return h
}

// project adds a project of these files; NAME stands for its name.
func (h *quay) project(name string, files map[string]string) {
	h.Helper()
	h.stacks[name] = h.bed.Stack(name)
	for file, text := range files {
		h.files[name+"/"+file] = "" // known
		h.edit(name, file, text)
	}
}

// edit changes a file, in the repository to be and on the host.
func (h *quay) edit(name, file, text string) {
	h.Helper()
	text = strings.ReplaceAll(text, "NAME", h.stacks[name].Name)
	h.files[name+"/"+file] = text
	path := filepath.Join(h.host, name, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.Fatal(err)
	}
}

func (h *quay) dir(name string) string { return filepath.Join(h.host, name) }

// lives tells the lives of all containers apart: a restart is another life.
func (h *quay) lives() map[string]string {
	h.Helper()
	out := map[string]string{}
	for _, stack := range h.stacks {
		for _, c := range stack.Containers() {
			out[c.Name] = fmt.Sprintf("%s %s since %s", c.ID, c.State, c.Started)
		}
	}
	return out
}

func (h *quay) same(what string, before, after map[string]string) {
	h.Helper()
	if !maps.Equal(before, after) {
		h.Errorf("%s changed what runs:\n%s\nnow\n%s", what, listed(before), listed(after))
	}
}

func listed(m map[string]string) string {
	var lines []string
	for k, v := range m {
		lines = append(lines, k+" "+v)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// touched are the calls of davit's that changed something other than an image's
// tags.
func (h *quay) touched() []testbed.Call {
	h.Helper()
	return slices.DeleteFunc(h.proxy.Mutations(), func(c testbed.Call) bool { return strings.HasPrefix(c.Path, "/images/") })
}

const plainProject = `name: NAME
services:
  web:
    image: IMAGE1
    pull_policy: never
    restart: unless-stopped
    env_file: app.env
    environment: {GREETING: hello}
    deploy: {replicas: 2}
    x-davit: {monitor: 1s, standby: {for: 0s}}
`

const databaseProject = `name: NAME
services:
  db:
    image: IMAGE1
    pull_policy: never
    restart: unless-stopped
    environment: {DATA: /data}
    volumes: ["./data:/data"]
    x-davit: {monitor: 1s, standby: {for: 0s}}
`

const filesProject = `name: NAME
services:
  web:
    image: IMAGE1
    pull_policy: never
    volumes: ["./conf:/conf:ro"]
    secrets: [token]
    x-davit: {monitor: 1s, standby: {for: 0s}}
secrets: {token: {file: ./token}}
`

const networksProject = `name: NAME
services:
  front:
    image: IMAGE1
    pull_policy: never
    networks: {edge: {aliases: [www]}, inner: {}}
    depends_on: {back: {condition: service_healthy}}
    x-davit: {monitor: 1s, standby: {for: 0s}}
  back:
    image: IMAGE1
    pull_policy: never
    networks: [inner]
    volumes: ["stuff:/stuff"]
    x-davit: {monitor: 1s, standby: {for: 0s}}
networks: {edge: {}, inner: {internal: true}}
volumes: {stuff: {}}
`

func TestAHostFullOfComposeProjectsIsAdopted(t *testing.T) {
	t.Parallel()
	h := newQuay(t)
	one, two := h.bed.Load("app:1", testbed.App{Version: "1"}), h.bed.Load("app:2", testbed.App{Version: "2"})
	at := func(text string, image testbed.Image) string { return strings.ReplaceAll(text, "IMAGE1", image.Ref) }
	h.project("plain", map[string]string{"compose.yaml": at(plainProject, one), "app.env": "LEVEL=info\n"})
	h.project("database", map[string]string{"compose.yaml": at(databaseProject, one)})
	h.project("files", map[string]string{"compose.yaml": at(filesProject, one), "conf/app.conf": "key: one\n", "token": "not much of a secret\n"})
	h.project("networks", map[string]string{"compose.yaml": at(networksProject, one)})
	h.project("changed", map[string]string{"compose.yaml": at(plainProject, one), "app.env": "LEVEL=info\n"})
	for name := range h.stacks {
		h.composer.Run(h.dir(name), "up", "-d", "--wait", "--pull", "never")
	}
	before := h.lives()
	if len(before) != 8 {
		t.Fatalf("Compose runs\n%s", listed(before))
	}
	files := maps.Clone(h.files)
	files["changed/compose.yaml"] = strings.ReplaceAll(files["changed/compose.yaml"], one.Ref, two.Ref)
	h.repo.Release("v1.0.0", files)

	t.Log("nothing is adopted before anybody says so")
	h.agent.Start()
	for name := range h.stacks {
		h.agent.WaitSync(h.stacks[name].Name, "unadopted")
	}
	said := h.agent.CLI("adopt", "--dry-run")
	for _, name := range []string{"plain", "database", "files", "networks"} {
		if want := h.stacks[name].Name + "  identical\n"; !strings.Contains(said.Stdout, want) {
			t.Errorf("adopt --dry-run does not say %q:\n%s%s", want, said.Stdout, said.Stderr)
		}
	}
	changed := h.stacks["changed"].Name + "  differs\n  web: image " + one.Ref + " -> " + two.Ref + "\n"
	if !strings.Contains(said.Stdout, changed) || said.Code != 2 {
		t.Errorf("adopt --dry-run does not say %q, or not with exit code 2 but %d:\n%s", changed, said.Code, said.Stdout)
	}

	t.Log("what is identical is adopted without a restart")
	h.agent.Stop()
	h.agent.Args = slices.DeleteFunc(h.agent.Args, func(a string) bool { return a == "--adopt" || a == "none" })
	h.agent.Start()
	for _, name := range []string{"plain", "database", "files", "networks"} {
		h.agent.WaitSynced(h.stacks[name].Name, "v1.0.0")
		if r := h.agent.History(h.stacks[name].Name)[0]; r.Kind != "adopt" || r.Outcome != "succeeded" {
			t.Errorf("%s: %s", name, r)
		}
	}
	h.agent.WaitSync(h.stacks["changed"].Name, "unadopted")
	h.same("adopting", before, h.lives())
	if calls := h.touched(); len(calls) > 0 {
		t.Errorf("adopting made these calls: %v", calls)
	}

	t.Log("what differs is rolled once somebody agrees")
	if said := h.agent.CLI("adopt", h.stacks["changed"].Name); said.Code != 0 || !strings.Contains(said.Stdout, "is adopted") {
		t.Fatalf("adopt: exit code %d\n%s%s", said.Code, said.Stdout, said.Stderr)
	}
	h.edit("changed", "compose.yaml", at(plainProject, two))
	h.agent.WaitSynced(h.stacks["changed"].Name, "v1.0.0")
	h.stacks["changed"].RequireReplicas("web", 2)

	h.roll(two)
	h.composesCommands()
}

// roll replaces the database by another image and expects its data where it was.
func (h *quay) roll(image testbed.Image) {
	h.Helper()
	h.Log("the first real roll keeps the data where it is")
	stack, data := h.stacks["database"], filepath.Join(h.dir("database"), "data")
	if err := os.WriteFile(filepath.Join(data, "witness"), []byte("here since Compose"), 0o644); err != nil {
		h.Fatal(err)
	}
	was := stack.Only("db")
	h.edit("database", "compose.yaml", strings.ReplaceAll(databaseProject, "IMAGE1", image.Ref))
	h.edit("files", "conf/app.conf", "key: two\n")
	h.repo.Release("v1.1.0", h.files)
	h.agent.WaitSynced(stack.Name, "v1.1.0")
	h.agent.WaitSynced(h.stacks["files"].Name, "v1.1.0")
	now := stack.Only("db")
	if now.ID == was.ID || !image.Is(now.ImageID) {
		h.Errorf("%s was not replaced: %s", was, now)
	}
	if now.Binds["/data"] != data {
		h.Errorf("the data is at %s, not at %s any more", now.Binds["/data"], data)
	}
	h.eventually("only what runs, and no standby", func() bool {
		return len(stack.Containers()) == 1 && len(h.stacks["files"].Containers()) == 1 && len(h.stacks["changed"].Containers()) == 2
	})
}

// composesCommands expects Compose to find its projects as if it had made them.
func (h *quay) composesCommands() {
	h.Helper()
	h.Log("Compose's own commands find nothing to do, and everything")
	before := h.lives()
	for name := range h.stacks {
		h.composer.Run(h.dir(name), "up", "-d", "--pull", "never")
	}
	h.same("Compose's up", before, h.lives())
	db := h.stacks["database"].Only("db")
	dir := h.dir("database")
	if said := h.composer.Run(dir, "ps", "--format", "{{.Name}} {{.State}}"); strings.TrimSpace(said.Stdout) != db.Name+" running" {
		h.Errorf("ps says %q", said.Stdout)
	}
	if said := h.composer.Run(dir, "logs", "db"); !strings.Contains(said.Stdout, "db-") {
		h.Errorf("logs says %q", said.Stdout)
	}
	if said := h.composer.Try(dir, "exec", "-T", "db", "/app", "healthcheck"); said.Code != 0 {
		h.Errorf("exec ends with %d: %s%s", said.Code, said.Stdout, said.Stderr)
	}
	h.agent.Stop()
	h.composer.Run(dir, "down")
	if left := h.stacks["database"].Containers(); len(left) > 0 {
		h.Errorf("down leaves %v", left)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "data", "witness")); err != nil || string(text) != "here since Compose" {
		h.Errorf("the data is %q, %v", text, err)
	}
}

// eventually waits for ok and returns as soon as it holds.
func (h *quay) eventually(what string, ok func() bool) {
	h.Helper()
	(&rig{T: h.T, agent: h.agent}).eventually(what, ok)
}
