package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"davit/cmd/internal/testbed"
)

// vault is a rig whose agent has every kind of secret.
type vault struct {
	*rig
	identity *age.X25519Identity
	// memory is where decrypted files go.
	memory string
	told   *receiver
	// planted are the values that must not be seen, by where they came from.
	planted map[string]string
	// tracked are those that Git itself holds in clear.
	tracked []string
	answers strings.Builder
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{rig: newRig(t, "vault"), planted: map[string]string{}}
	v.identity, v.memory = newIdentity(t), memoryDir(t)
	v.told = newReceiver(t, v.plant("webhook secret"))
	host := v.directory("host")
	v.host("age.key", v.identity.String()+"\n")
	v.host("webhook.key", v.planted["webhook secret"])
	v.host("token", v.plant("git token"))
	v.host("env/"+v.stack.Name+".env", "HOST_VALUE="+v.plant("host env")+"\nHOST_SECRET="+v.plant("secret environment")+"\n")
	auth := base64.StdEncoding.EncodeToString([]byte("robot:" + v.plant("registry password")))
	v.planted["registry auth"] = auth
	login := filepath.Join(v.bed.Dir, "home", ".docker", "config.json")
	v.write(login, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, v.bed.Registry.Addr, auth))
	v.agent = v.bed.NewAgent(testbed.Run{
		Repo: v.repo.URL, Env: []string{"DAVIT_ENV=SOURCE_VALUE=" + v.plant("source env")},
		Args: []string{"--branch", "main", "--log-level", "debug", "--log-format", "json",
			"--age-key-file", host + "/age.key", "--secrets-dir", v.memory, "--env-dir", host + "/env", "--token-file", host + "/token",
			"--webhook", "url=http://" + v.told.addr + "/" + v.plant("webhook URL") + ",secret_file=" + host + "/webhook.key,events=*"},
	})
	return v
}

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// memoryDir is a directory on a tmpfs.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "davit-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// plant makes up a value that must not be seen.
func (v *vault) plant(where string) string {
	value := "planted-" + strings.ReplaceAll(where, " ", "-") + "-" + v.bed.Name
	v.planted[where] = value
	return value
}

// track plants a value that Git holds in clear.
func (v *vault) track(where string) string {
	v.tracked = append(v.tracked, where)
	return v.plant(where)
}

func (v *vault) directory(name string) string { return filepath.Join(v.bed.Dir, name) }

func (v *vault) host(name, content string) {
	v.write(filepath.Join(v.directory("host"), name), content)
}

func (v *vault) write(name, content string) {
	v.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(content), 0o600)); err != nil {
		v.Fatal(err)
	}
}

func seal(t *testing.T, to age.Recipient, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// files are a stack with a secret in every place that may hold one. What version
// says differs from one to the next, and so do its secrets.
func (v *vault) files(version string, image testbed.Image, more ...string) map[string]string {
	v.Helper()
	sealed := func(where, format string) string {
		return seal(v.T, v.identity.Recipient(), fmt.Sprintf(format, v.plant(where+" "+version)))
	}
	settings := append([]string{
		brief, "user: '1234:1234'", "env_file: [plain.env, prod.env.age]", "secrets: [sealed, plain, env]", "configs: [conf]",
		"command: [serve, '--token=${DOT_VALUE}']",
		"environment: {HOST_VALUE: '${HOST_VALUE}', SOURCE_VALUE: '${SOURCE_VALUE}', URL: 'postgres://app:" + v.track("environment "+version) + "@db/app'}",
	}, more...)
	return map[string]string{
		"compose.yaml": v.compose(service("web", image, settings...)) +
			"secrets: {sealed: {file: ./db.txt.age}, plain: {file: ./plain.txt}, env: {environment: HOST_SECRET}}\n" +
			"configs: {conf: {environment: DOT_VALUE}}\n",
		".env":         "DOT_VALUE=" + v.track("dot env "+version) + "\n",
		"plain.env":    "PLAIN_VALUE=" + v.track("env file "+version) + "\n",
		"plain.txt":    v.track("secret file " + version),
		"prod.env.age": sealed("sealed env file", "SEALED_VALUE=%s\n"),
		"db.txt.age":   sealed("sealed secret", "%s"),
	}
}

// ask runs a command and keeps what it answers.
func (v *vault) ask(args ...string) testbed.Answer {
	v.Helper()
	a := v.agent.CLI(args...)
	fmt.Fprintf(&v.answers, "== davit %s\n%s%s\n", strings.Join(args, " "), a.Stdout, a.Stderr)
	return a
}

// look asks for everything that can be asked.
func (v *vault) look() {
	v.Helper()
	name := v.stack.Name
	for _, args := range [][]string{
		{"status"}, {"status", "-o", "json"}, {"history", name}, {"history", name, "-o", "json"}, {"plan"}, {"plan", "-o", "json"},
		{"config", name}, {"config", name, "-o", "json"}, {"events", name}, {"events", name, "-o", "json"},
		{"validate", "--dir", v.repo.Dir}, {"plan", "--dir", v.repo.Dir, "-o", "json"},
	} {
		v.ask(args...)
	}
	for _, path := range []string{"/v1/status", "/v1/source", "/v1/plan", "/v1/plan/" + name, "/v1/history/" + name, "/v1/config/" + name, "/v1/events", "/v1/events?stack=" + name} {
		fmt.Fprintf(&v.answers, "== GET %s\n%s\n", path, v.get(path))
	}
}

// get asks the agent's own API.
func (v *vault) get(path string) string {
	v.Helper()
	socket := filepath.Join(v.agent.Data, "davit.sock")
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://davit" + path)
	if err != nil {
		v.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.Fatal(err)
	}
	return string(body)
}

// search looks for every planted value in text.
func (v *vault) search(where, text string, but ...string) {
	v.Helper()
	for name, value := range v.planted {
		if at := strings.Index(text, value); at >= 0 && !slices.Contains(but, name) {
			v.Errorf("%s shows the %s: …%s…", where, name, strings.ToValidUTF8(text[max(0, at-120):min(len(text), at+len(value)+20)], "."))
		}
	}
}

// recorded is the database with what is still in its log.
func (v *vault) recorded() string {
	v.Helper()
	files, err := filepath.Glob(filepath.Join(v.agent.Data, "state.db*"))
	if err != nil || len(files) == 0 {
		v.Fatalf("no database: %v", err)
	}
	var all strings.Builder
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			v.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}

// searchData looks into every file of the data directory. What Git holds in clear
// is in its exports as well, and nowhere else.
func (v *vault) searchData() {
	v.Helper()
	err := filepath.WalkDir(v.agent.Data, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		rel, _ := filepath.Rel(v.agent.Data, name)
		top, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		var but []string
		if top == "files" || top == "sources" {
			but = v.tracked
		}
		v.search(rel, string(content), but...)
		return err
	})
	if err != nil {
		v.Fatal(err)
	}
}

func TestNoSecretIsSeenAnywhere(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	good := v.image("web", "1.0", testbed.App{})
	sick := v.image("web", "2.0", testbed.App{Env: map[string]string{"HEALTH": "never", "TELL": "/run/secrets/sealed:/run/secrets/plain:/run/secrets/env:/conf"}})

	v.release(v.files("one", good))
	web := v.stack.Only("web")
	for path, want := range map[string]string{
		"/run/secrets/sealed": "sealed secret one", "/run/secrets/plain": "secret file one", "/run/secrets/env": "secret environment", "/conf": "dot env one",
	} {
		if got := v.stack.File(web, path); got != v.planted[want] {
			t.Errorf("%s holds %q, want %q", path, got, v.planted[want])
		}
	}
	for name, want := range map[string]string{
		"SEALED_VALUE": "sealed env file one", "PLAIN_VALUE": "env file one", "HOST_VALUE": "host env", "SOURCE_VALUE": "source env",
	} {
		if !slices.Contains(web.Env, name+"="+v.planted[want]) {
			t.Errorf("%s is not %q in %v", name, v.planted[want], web.Env)
		}
	}
	v.look()

	// A release that fails prints all it knows.
	bad := v.repo.Release("", v.files("two", sick))
	v.poll()
	v.agent.WaitRelease(v.stack.Name, "the failed release", func(r testbed.Release) bool { return r.Commit == bad && r.Outcome == "failed" })
	v.agent.WaitSync(v.stack.Name, "held")
	if logs := v.recorded(); !strings.Contains(logs, "file /run/secrets/sealed holds ***") {
		t.Error("the failed release was recorded without its last lines, masked")
	}
	v.look()

	v.release(v.files("three", good))
	if back := v.ask("rollback", v.stack.Name); back.Code != 0 {
		t.Fatalf("rollback: %s%s", back.Stdout, back.Stderr)
	}
	if got := v.stack.File(v.stack.Only("web"), "/run/secrets/sealed"); got != v.planted["sealed secret one"] {
		t.Errorf("after the rollback the secret is %q", got)
	}
	v.look()
	v.ask("unpin", v.stack.Name)
	v.mistaken("db.txt.age", seal(t, newIdentity(t).Recipient(), "x"), "encrypted for none of the keys")
	v.mistaken(".env", "BROKEN='"+v.track("broken line"), "a quoted value does not end")
	v.agent.Stop()
	v.lookOffline()

	v.search("the log", v.agent.Log())
	v.search("an answer", v.answers.String())
	v.searchData()
	for _, c := range v.stack.Containers() {
		v.search("labels of "+c.Name, fmt.Sprint(c.Labels))
	}
	v.told.mu.Lock()
	defer v.told.mu.Unlock()
	if len(v.told.heard) == 0 {
		t.Error("the webhook told nothing")
	}
	v.search("the webhook", fmt.Sprint(v.told.heard))
}

// mistaken commits a file that cannot be read and waits until that is said.
func (v *vault) mistaken(name, content, want string) {
	v.Helper()
	v.repo.Release("", map[string]string{name: content})
	v.poll()
	v.agent.WaitStatus(v.stack.Name, want, func(s testbed.Status) bool { return strings.Contains(s.LastError+s.WaitingFor, want) })
	v.look()
}

// lookOffline asks what can be asked without an agent.
func (v *vault) lookOffline() {
	v.Helper()
	name := v.stack.Name
	for _, args := range [][]string{{"status", "-o", "json"}, {"history", name, "-o", "json"}, {"plan"}, {"config", name}} {
		v.ask(args...)
	}
}
