package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"davit/compose"
	"davit/engine"
	"davit/gitsource"
	"davit/reconcile"
	"davit/state"
	"davit/web"
)

// fakeHost is an engine that says what a test wants.
type fakeHost struct {
	host engine.Host
	err  error
	gone map[string]bool
	// tooNew is what it is too old for.
	tooNew []error
}

func (f fakeHost) Host(context.Context) (engine.Host, error) { return f.host, f.err }

func (f fakeHost) LocalImage(_ context.Context, ref string) (reconcile.Image, error) {
	if f.gone[ref] {
		return reconcile.Image{}, fmt.Errorf("inspect %s: %w", ref, reconcile.ErrImageMissing)
	}
	return reconcile.Image{ID: ref}, nil
}

func (f fakeHost) TooNew(context.Context, *compose.Project) ([]error, error) { return f.tooNew, nil }

// healthyDoctor looks at a host on which nothing is wrong.
func healthyDoctor(t *testing.T) *doctor {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "engine.sock")
	write(t, socket, "", 0o660)
	write(t, filepath.Join(dir, "root/proc/meminfo"), "MemTotal:  4194304 kB\nMemAvailable:  2097152 kB\n", 0o644)
	write(t, filepath.Join(dir, "root/proc/sys/net/ipv4/ip_forward"), "1\n", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &doctor{
		config: Config{Data: filepath.Join(dir, "data"), Engine: "unix://" + socket, DockerConfig: dir, Repo: "https://git.example/ops.git", KeepReleases: 3},
		root:   filepath.Join(dir, "root"),
		now:    func() time.Time { return then },
		engine: fakeHost{host: engine.Host{Info: engine.Info{APIVersion: "1.44", Version: "25.0.3"}, StorageDriver: "overlay2", RootDir: dir,
			LiveRestore: true, CgroupVersion: "2", Bridges: 3, Subnets: 31, Clock: then}},
		agent: func(context.Context) (web.Health, error) { return web.Health{Version: programVersion()}, nil },
		reach: func(_ context.Context, o gitsource.Options) (gitsource.Reached, error) {
			return gitsource.Reached{Source: o.URL, Ref: "main", Commit: "9d10e44abcdef"}, nil
		},
		dates:  func(context.Context, string) (time.Time, error) { return then, nil },
		edge:   healthyEdge(),
		holder: func(reconcile.HostPort) string { return "" },
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorFindsNothingOnAHealthyHost(t *testing.T) {
	found := examine(t.Context(), healthyDoctor(t).checks())
	for _, f := range found.Findings {
		if f.Level != levelOK || f.Advice != "" {
			t.Errorf("%+v", f)
		}
	}
	if !found.Well || len(found.Findings) < 12 {
		t.Errorf("well=%t with %d findings", found.Well, len(found.Findings))
	}
}

func TestDoctorSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	type host = engine.Host
	says := func(change func(*host)) func(*testing.T, *doctor) {
		return func(_ *testing.T, d *doctor) {
			f := d.engine.(fakeHost)
			change(&f.host)
			d.engine = f
		}
	}
	file := func(name, text string, mode os.FileMode, set func(*Config, string)) func(*testing.T, *doctor) {
		return func(t *testing.T, d *doctor) {
			path := filepath.Join(t.TempDir(), name)
			write(t, path, text, mode)
			set(&d.config, path)
		}
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *doctor)
		want   finding // Seen and Advice are parts
	}{
		"no engine":           {func(_ *testing.T, d *doctor) { d.engine = fakeHost{err: reconcile.ErrEngineUnavailable} }, finding{"engine", levelFail, "unavailable", "--engine"}},
		"no right to it":      {func(_ *testing.T, d *doctor) { d.engine = fakeHost{err: fmt.Errorf("dial: %w", syscall.EACCES)} }, finding{"engine", levelFail, "permission denied", "as root"}},
		"an old engine":       {says(func(h *host) { h.TooOld, h.APIVersion = true, "1.40" }), finding{"engine", levelFail, "API 1.40", "20.10"}},
		"no live-restore":     {says(func(h *host) { h.LiveRestore = false }), finding{"live-restore", levelWarn, "off", `"live-restore": true`}},
		"live-restore on 20":  {says(func(h *host) { h.Version = "20.10.24" }), finding{"live-restore", levelOK, "health checks stand still", ""}},
		"few networks left":   {says(func(h *host) { h.Bridges = 26 }), finding{"address pools", levelWarn, "26 bridge networks, room for about 31", "default-address-pools"}},
		"no network left":     {says(func(h *host) { h.Bridges = 31 }), finding{"address pools", levelFail, "31 bridge", "default-address-pools"}},
		"layers copied":       {says(func(h *host) { h.StorageDriver = "vfs" }), finding{"storage driver", levelWarn, "vfs", "overlay2"}},
		"an engine's warning": {says(func(h *host) { h.Warnings = []string{"WARNING: No swap limit support"} }), finding{"engine warning", levelWarn, "No swap limit support", "kernel"}},
		"an open socket":      {func(t *testing.T, d *doctor) { write(t, d.config.socket(), "", 0o666) }, finding{"engine socket", levelFail, "by everybody", "chmod 660"}},
		"no socket":           {func(_ *testing.T, d *doctor) { d.config.Engine += "x" }, finding{"engine socket", levelFail, "no such file", "--engine"}},
		"an engine for all":   {func(_ *testing.T, d *doctor) { d.config.Engine = "tcp://10.0.0.1:2375" }, finding{"engine socket", levelWarn, "without DOCKER_TLS_VERIFY", "TLS"}},
		"an engine's clock": {func(t *testing.T, d *doctor) {
			d.config.Engine = "tcp://x"
			says(func(h *host) { h.Clock = then.Add(-time.Hour) })(t, d)
		}, finding{"engine clock", levelFail, "1h0m0s off", "NTP"}},
		"no agent": {func(_ *testing.T, d *doctor) { d.agent = noAgent }, finding{"agent", levelWarn, "none runs", "davit run"}},
		"another agent": {func(_ *testing.T, d *doctor) {
			d.agent = func(context.Context) (web.Health, error) { return web.Health{Version: "v0.0.1"}, nil }
		}, finding{"agent", levelWarn, "version v0.0.1 runs", "restart"}},
		"a mute agent": {func(t *testing.T, d *doctor) { d.agent = noAgent; held(t, d.config.Data) }, finding{"agent", levelFail, "holds the data directory", "log"}},
		"an agent that fails": {func(_ *testing.T, d *doctor) {
			d.agent = func(context.Context) (web.Health, error) { return web.Health{}, errors.New("EOF") }
		}, finding{"agent", levelFail, "EOF", "log"}},
		"data for everybody":  {func(t *testing.T, d *doctor) { chmod(t, d.config.Data, 0o777) }, finding{"data directory", levelFail, "by others", "chmod 700"}},
		"a file for data":     {file("data", "", 0o600, func(c *Config, p string) { c.Data = p }), finding{"data directory", levelFail, "not a directory", "--data"}},
		"a key for everybody": {func(t *testing.T, d *doctor) { write(t, filepath.Join(d.config.Data, "host.key"), "", 0o644) }, finding{"data directory", levelFail, "host's key", "chmod 600"}},
		"a damaged record":    {damaged, finding{"record", levelFail, "read state", ""}},
		"little memory": {func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.root, "proc/meminfo"), "MemTotal: 900000 kB\nMemAvailable: 90000 kB\n", 0o644)
		}, finding{"memory", levelWarn, "87 MiB", "stop-first"}},
		"a wrong policy":     {file("p.yaml", "prset: strict\n", 0o600, func(c *Config, p string) { c.Policy = p }), finding{"policy", levelFail, "prset: is not a key", "nothing is deployed"}},
		"a policy of others": {file("p.yaml", "preset: strict\n", 0o666, func(c *Config, p string) { c.Policy = p }), finding{"policy", levelFail, "by others", "chmod go-w"}},
		"no env_dir":         {func(_ *testing.T, d *doctor) { d.config.EnvDir = "/nowhere" }, finding{"env_dir", levelFail, "no such file", "env_dir"}},
		"an open env file":   {file("shop.env", "A=1", 0o644, func(c *Config, p string) { c.EnvDir = filepath.Dir(p) }), finding{"env_dir", levelWarn, "read by everybody", "600"}},
		"an open token":      {file("token", "x", 0o644, func(c *Config, p string) { c.TokenFile = p }), finding{"credentials", levelWarn, "used by others", "600"}},
		"no token":           {func(_ *testing.T, d *doctor) { d.config.TokenFile = "/nowhere" }, finding{"credentials", levelFail, "/nowhere", "name the right one"}},
		"no helper": {func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.config.DockerConfig, "config.json"), `{"credsStore":"nope"}`, 0o600)
		}, finding{"registry logins", levelFail, "docker-credential-nope", "install"}},
		"no logins": {func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.config.DockerConfig, "config.json"), `{`, 0o600)
		}, finding{"registry logins", levelFail, "config.json", "docker login"}},
		"no known_hosts":    {func(_ *testing.T, d *doctor) { d.config.Repo, d.config.SSHKeyFile = "git@git.example:ops", "/k" }, finding{"known_hosts", levelFail, "needs a known_hosts", "ssh-keyscan"}},
		"an unknown server": {sshWith("other.example"), finding{"known_hosts", levelFail, "no key of git.example:22", "ssh-keyscan"}},
		"a known server":    {sshWith("git.example"), finding{"known_hosts", levelOK, "git.example:22 is in", ""}},
		"no repository":     {func(_ *testing.T, d *doctor) { d.config.Repo = "" }, finding{"repository", levelWarn, "none given", "--repo"}},
		"a repository refused": {func(_ *testing.T, d *doctor) {
			d.reach = func(context.Context, gitsource.Options) (gitsource.Reached, error) {
				return gitsource.Reached{}, reconcile.WithHint(errors.New("access denied"), "a new token")
			}
		}, finding{"repository", levelFail, "access denied", "a new token"}},
		"a clock that is late": {func(_ *testing.T, d *doctor) {
			d.dates = func(context.Context, string) (time.Time, error) { return then.Add(time.Minute), nil }
		}, finding{"clock", levelWarn, "1m0s off the clock of git.example", "NTP"}},
		"a clock far off": {func(_ *testing.T, d *doctor) {
			d.dates = func(context.Context, string) (time.Time, error) { return then.Add(-time.Hour), nil }
		}, finding{"clock", levelFail, "1h0m0s off", "certificates"}},
		"ufw": {func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.root, "etc/ufw/ufw.conf"), "ENABLED=yes\n", 0o644)
		}, finding{"firewall", levelWarn, "ufw", "DOCKER-USER"}},
		"no iptables": {func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.root, "etc/docker/daemon.json"), `{"iptables": false}`, 0o644)
		}, finding{"firewall", levelWarn, "no iptables", "rules of your own"}},
		"no forwarding": {func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.root, "proc/sys/net/ipv4/ip_forward"), "0\n", 0o644)
		}, finding{"firewall", levelWarn, "ip_forward", "sysctl"}},
	} {
		t.Run(name, func(t *testing.T) { finds(t, c.change, c.want) })
	}
}

// finds changes a host that is well, and wants a doctor to find so.
func finds(t *testing.T, change func(*testing.T, *doctor), want finding) {
	t.Helper()
	d := healthyDoctor(t)
	change(t, d)
	found := examine(t.Context(), d.checks())
	hit := slices.ContainsFunc(found.Findings, func(f finding) bool {
		return f.Check == want.Check && f.Level == want.Level && strings.Contains(f.Seen, want.Seen) && strings.Contains(f.Advice, want.Advice)
	})
	if !hit || found.Well && want.Level == levelFail {
		t.Errorf("well=%t; want %+v among\n%+v", found.Well, want, found.Findings)
	}
}

func noAgent(context.Context) (web.Health, error) { return web.Health{}, web.ErrNoAgent }

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// held makes this process the one that works on a data directory.
func held(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, _, err := state.Open(state.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func damaged(t *testing.T, d *doctor) {
	if err := held(t, d.config.Data).Close(); err != nil {
		t.Fatal(err)
	}
	databases, err := filepath.Glob(filepath.Join(d.config.Data, "*.db*"))
	if err != nil || len(databases) == 0 {
		t.Fatalf("no database: %v", err)
	}
	for _, path := range databases {
		write(t, path, strings.Repeat("not a database ", 1000), 0o600)
	}
}

func sshWith(host string) func(*testing.T, *doctor) {
	return func(t *testing.T, d *doctor) {
		path := filepath.Join(t.TempDir(), "known_hosts")
		write(t, path, host+" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n", 0o600)
		d.config.Repo, d.config.SSHKeyFile, d.config.KnownHostsFile = "git@git.example:ops", "/k", path
	}
}

func TestDoctorNamesReleasesThatCannotBeReturnedTo(t *testing.T) {
	d := healthyDoctor(t)
	s := held(t, d.config.Data)
	for i, id := range []string{"sha256:old", "sha256:gone", "sha256:there"} {
		r, err := s.Begin(t.Context(), reconcile.Release{Stack: "shop", Version: fmt.Sprintf("v1.%d.0", i), Kind: reconcile.KindDeploy, Started: then, Hash: id,
			Services: []reconcile.ServiceRecord{{Name: "web", Image: reconcile.Image{Ref: "shop:1", ID: id}}}})
		if err != nil {
			t.Fatal(err)
		}
		r.Outcome, r.Finished = reconcile.Succeeded, then
		if err := s.Finish(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	f := d.engine.(fakeHost)
	f.gone = map[string]bool{"sha256:gone": true, "sha256:old": true}
	d.engine, d.config.KeepReleases = f, 2
	found := d.releaseCheck(t.Context())
	if len(found) != 1 || found[0].Level != levelWarn || !strings.Contains(found[0].Seen, "shop release #2 v1.1.0: image shop:1 of web is gone") {
		t.Errorf("%+v", found)
	}
}

func TestACheckThatHangsIsAFailureAndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		found := examine(t.Context(), []check{
			{"fine", time.Second, func(context.Context) []finding { return one("fine", levelOK, "", "") }},
			{"stuck", 10 * time.Second, func(context.Context) []finding { <-end; return nil }},
			{"patient", 10 * time.Second, func(ctx context.Context) []finding { <-ctx.Done(); return failed("patient", ctx.Err(), "") }},
		})
		if found.Well || len(found.Findings) != 3 || !strings.Contains(found.Findings[1].Seen, "no answer within 10s") || found.Findings[2].Advice != "it did not answer in time" {
			t.Errorf("%+v", found)
		}
	})
}

func TestDoctorWorksWithoutAnythingAndSaysSoInJSON(t *testing.T) {
	address, _ := countingEngine(t)
	got := ask(t, nil, "doctor", "-o", "json", "--engine", address, "--repo", filepath.Join(t.TempDir(), "none.git"))
	var d diagnosis
	if err := json.Unmarshal([]byte(got.out), &d); err != nil || got.code != exitError || d.Well {
		t.Fatalf("exit code %d, %v\n%s%s", got.code, err, got.out, got.err)
	}
	for _, name := range []string{"engine", "repository"} {
		if !slices.ContainsFunc(d.Findings, func(f finding) bool { return f.Check == name && f.Level == levelFail }) {
			t.Errorf("%s did not fail: %s", name, got.out)
		}
	}
	if text := ask(t, nil, "doctor", "--engine", address); text.code != exitError || !strings.Contains(text.out, "fail  engine: ") {
		t.Errorf("exit code %d\n%s", text.code, text.out)
	}
}

func TestTheTimeOfAServerIsAsked(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", then.UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
	}))
	defer s.Close()
	if got, err := dateOf(t.Context(), s.URL); err != nil || !got.Equal(then.Truncate(time.Second)) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestDoctorLooksAtEverySource(t *testing.T) {
	d := healthyDoctor(t)
	d.config.Repo = ""
	d.config.Sources = []Source{
		{Name: "a", Config: Config{Repo: "https://a.example/x"}},
		{Name: "b", Config: Config{Repo: "https://b.example/x", TokenFile: "/nowhere"}},
	}
	d.reach = func(_ context.Context, o gitsource.Options) (gitsource.Reached, error) {
		if o.Name == "b" {
			return gitsource.Reached{}, errors.New("no such host")
		}
		return gitsource.Reached{Source: o.URL, Ref: "main"}, nil
	}
	d.dates = func(_ context.Context, address string) (time.Time, error) {
		if address == "https://a.example/" {
			return then.Add(time.Hour), nil
		}
		return then, nil
	}
	var got []string
	for _, f := range examine(t.Context(), d.checks()).Findings {
		if slices.Contains([]string{"repository", "clock", "credentials"}, f.Check) {
			got = append(got, f.Check+" "+f.Level.String())
		}
	}
	if want := "credentials fail|repository ok|repository fail|clock fail|clock ok"; strings.Join(got, "|") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "|"), want)
	}
}
