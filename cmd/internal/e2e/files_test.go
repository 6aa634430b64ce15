package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// brief keeps a replacement from taking longer than the test needs.
const brief = "x-davit: {monitor: 0s}"

// mounting is a service that mounts volumes.
func mounting(name string, image testbed.Image, volumes ...string) string {
	return service(name, image, brief, "volumes: ['"+strings.Join(volumes, "', '")+"']")
}

// release writes files, a compose file among them, and waits until they run.
func (r *rig) release(files map[string]string) string {
	r.Helper()
	commit := r.repo.Release("", files)
	if !r.agent.Running() {
		r.agent.Start()
	} else {
		r.poll()
	}
	r.waitCommit(commit)
	r.waitSucceeded(commit)
	return commit
}

func (r *rig) compose(services ...string) string {
	return "name: " + r.stack.Name + "\nservices:\n" + strings.Join(services, "")
}

func (r *rig) revert(commits int) {
	r.Helper()
	commit := r.repo.Revert(commits)
	r.repo.Push()
	r.poll()
	r.waitCommit(commit)
	r.waitSucceeded(commit)
}

func TestAnEditedFileRollsExactlyTheServicesThatMountIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "edited")
	// The time to become healthy leaves some to look at both.
	image := r.image("web", "1.0", testbed.App{HealthyAfter: 5 * time.Second})
	file := r.compose(
		mounting("proxy", image, "./nginx.conf:/etc/nginx.conf:ro")+"    user: '1234:1234'\n",
		mounting("cache", image, "./nginx.conf:/conf:ro", "./cache.conf:/cache.conf:ro"),
		mounting("app", image, "./app.conf:/app.conf:ro"),
		service("plain", image, brief))
	r.release(map[string]string{"compose.yaml": file, "nginx.conf": "one", "cache.conf": "x", "app.conf": "x"})
	first := map[string]testbed.Container{}
	for _, c := range r.stack.Running() {
		first[c.Service] = c
	}

	// While the old and the new container run side by side, each reads its own.
	commit := r.repo.Release("", map[string]string{"nginx.conf": "two"})
	r.poll()
	r.eventually("a second proxy", func() bool { return len(r.stack.Running("proxy")) == 2 })
	if got := r.stack.File(first["proxy"], "/etc/nginx.conf"); got != "one" {
		t.Errorf("the old proxy reads %q while the new one warms up", got)
	}
	r.waitCommit(commit)
	r.waitSucceeded(commit)
	for _, name := range []string{"proxy", "cache", "app", "plain"} {
		rolled := r.stack.Only(name).ID != first[name].ID
		if want := name == "proxy" || name == "cache"; rolled != want {
			t.Errorf("%s rolled: %v, want %v", name, rolled, want)
		}
	}
	if got := r.stack.File(r.stack.Only("proxy"), "/etc/nginx.conf"); got != "two" {
		t.Errorf("the new proxy reads %q", got)
	}

	t.Run("a revert restores the content and the recorded image", func(t *testing.T) {
		moved := r.bed.Push("web:1.0", testbed.App{Version: "an impostor"})
		r.revert(1)
		now := r.stack.Only("proxy")
		if got := r.stack.File(now, "/etc/nginx.conf"); got != "one" || !image.Is(now.ImageID) || moved.Is(now.ImageID) {
			t.Errorf("%s reads %q and runs %s, want %s", now, got, now.ImageID, image.ID)
		}
		if r.stack.Only("app").ID != first["app"].ID || r.stack.Only("plain").ID != first["plain"].ID {
			t.Error("a service that mounts nothing of it was rolled")
		}
		if newest := r.agent.History(r.stack.Name)[0]; newest.Kind != "rollback" || newest.Restores != 1 {
			t.Errorf("newest release = %s", newest)
		}
	})
	t.Run("a second pass changes nothing", func(t *testing.T) {
		before := ids(r.stack.Containers())
		r.agent.CLI("apply", r.stack.Name)
		if after := ids(r.stack.Containers()); !slices.Equal(before, after) {
			t.Errorf("containers were %v and are %v", before, after)
		}
	})
}

// A certificate is renewed by one service and read by another: neither Git nor
// davit has a say in it.
func TestACertificateThatOneServiceWritesIsReadByAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, "certs")
	image := r.image("web", "1.0", testbed.App{})
	file := func(level string) string {
		return r.compose(
			mounting("acme", image, "./certs:/certs"),
			service("proxy", image, brief, "volumes: ['./certs:/tls:ro', './certs/ca.pem:/ca.pem:ro']", "environment: {LEVEL: "+level+"}"))
	}
	r.release(map[string]string{"compose.yaml": file("one"), "certs/ca.pem": "the authority"})
	acme, proxy := r.stack.Only("acme"), r.stack.Only("proxy")
	r.stack.WriteFile(acme, "/certs/site.pem", "renewed")
	if got := r.stack.File(proxy, "/tls/site.pem"); got != "renewed" {
		t.Errorf("the proxy reads %q", got)
	}
	if got := r.stack.File(proxy, "/ca.pem"); got != "the authority" {
		t.Errorf("the proxy reads %q as the tracked file", got)
	}
	r.release(map[string]string{"compose.yaml": file("two")})
	rolled := r.stack.Only("proxy")
	if rolled.ID == proxy.ID || r.stack.Only("acme").ID != acme.ID {
		t.Errorf("proxy is %s, acme %s: only the proxy was to be rolled", rolled, r.stack.Only("acme"))
	}
	if got := r.stack.File(rolled, "/tls/site.pem"); got != "renewed" {
		t.Errorf("after its replacement the proxy reads %q", got)
	}
}

func TestAWritableFileBelongsToItsContainerUntilGitChangesIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "writable")
	image := r.image("web", "1.0", testbed.App{})
	file := r.compose(mounting("app", image, "./conf:/conf"))
	r.release(map[string]string{"compose.yaml": file, "conf/settings": "git 1", "conf/other": "git 1"})
	r.stack.WriteFile(r.stack.Only("app"), "/conf/settings", "edited by hand")

	r.release(map[string]string{"conf/other": "git 2"})
	app := r.stack.Only("app")
	if a, b := r.stack.File(app, "/conf/settings"), r.stack.File(app, "/conf/other"); a != "edited by hand" || b != "git 2" {
		t.Errorf("after a commit that changes the other file: settings %q, other %q", a, b)
	}
	r.noBackups()

	r.release(map[string]string{"conf/settings": "git 3"})
	app = r.stack.Only("app")
	if got := r.stack.File(app, "/conf/settings"); got != "git 3" {
		t.Errorf("after a commit that changes the same file: %q", got)
	}
	backups, err := filepath.Glob(filepath.Join(r.agent.Data, "stacks", r.stack.Name, "conf/settings.davit-backup-*"))
	if err != nil || len(backups) != 1 {
		t.Fatalf("backups: %v, %v", backups, err)
	}
	if got := r.stack.File(app, "/conf/"+filepath.Base(backups[0])); got != "edited by hand" {
		t.Errorf("the backup holds %q", got)
	}
	if events := r.agent.CLI("events", r.stack.Name, "-o", "json").Stdout; !strings.Contains(events, `"FileBackedUp"`) || !strings.Contains(events, filepath.Base(backups[0])) {
		t.Errorf("no event tells of the backup:\n%s", events)
	}

	r.revert(1)
	if got := r.stack.File(r.stack.Only("app"), "/conf/settings"); got != "edited by hand" {
		t.Errorf("after the revert: %q", got)
	}
	r.noBackups()
	if events := r.agent.CLI("events", r.stack.Name, "-o", "json").Stdout; !strings.Contains(events, `"FileRestored"`) {
		t.Errorf("no event tells of the restored file:\n%s", events)
	}
}

func (r *rig) noBackups() {
	r.Helper()
	backups, err := filepath.Glob(filepath.Join(r.agent.Data, "stacks", r.stack.Name, "*/*.davit-backup-*"))
	if err != nil || len(backups) != 0 {
		r.Errorf("backups: %v, %v", backups, err)
	}
}

// What a container writes to is never looked for somewhere else by surprise.
func TestAPlanThatMovesAWritableMountIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "moved")
	image := r.image("web", "1.0", testbed.App{})
	r.release(map[string]string{"compose.yaml": r.compose(mounting("app", image, "./data:/data"))})
	app := r.stack.Only("app")
	r.stack.WriteFile(app, "/data/precious", "data")

	moved := r.compose(mounting("app", image, "./elsewhere:/data"))
	r.repo.Release("", map[string]string{"compose.yaml": moved})
	r.poll()
	st := r.agent.WaitStatus(r.stack.Name, "the plan to be refused", func(s testbed.Status) bool { return s.Sync == "stalled" })
	if text := st.WaitingFor + st.LastError; !strings.Contains(text, "allow_data_move") {
		t.Errorf("status says %q, which does not name allow_data_move", text)
	}
	if now := r.stack.Only("app"); now.ID != app.ID || r.stack.File(now, "/data/precious") != "data" {
		t.Errorf("%s runs in the place of %s", now, app)
	}

	r.release(map[string]string{"compose.yaml": moved + "x-davit: {allow_data_move: true}\n"})
	if now := r.stack.Only("app"); now.ID == app.ID {
		t.Error("what was allowed was not done")
	}
	left, err := os.ReadFile(filepath.Join(r.agent.Data, "stacks", r.stack.Name, "data/precious"))
	if err != nil || string(left) != "data" {
		t.Errorf("the data left behind is %q, %v", left, err)
	}
}
