package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// balanced is a rig whose stack is served by a load balancer of the host's own, which
// is set up as docs/balancers.md says.
type balanced struct {
	*rig
	url, dir string
	// command is how the load balancer is run, in the foreground.
	command []string
	running *exec.Cmd
}

// example is what the document has in its blocks of a kind, with other names in the
// place of those that are the host's.
func (b *balanced) example(kind string, n int, names ...string) string {
	b.Helper()
	text, err := os.ReadFile("../../../docs/balancers.md")
	if err != nil {
		b.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) <= n {
		b.Fatalf("docs/balancers.md has %d blocks of %s", len(blocks), kind)
	}
	block := blocks[n][1]
	for i := 0; i < len(names); i += 2 {
		if !strings.Contains(block, names[i]) {
			b.Fatalf("the example says nothing of %s:\n%s", names[i], block)
		}
		block = strings.ReplaceAll(block, names[i], names[i+1])
	}
	return block
}

func newBalanced(t *testing.T) *balanced {
	t.Helper()
	bed := testbed.New(t)
	b := &balanced{rig: &rig{T: t, bed: bed, stack: bed.Stack("balanced"), repo: bed.Repo("balanced"), versions: map[string]string{}}, dir: t.TempDir()}
	b.url = fmt.Sprintf("127.0.0.1:%d", bed.UnusedPort())
	t.Cleanup(b.stop)
	return b
}

// configured makes the agent, with a configuration as the document has it.
func (b *balanced) configured(text string) {
	b.Helper()
	b.write("davit.yaml", text)
	b.agent = b.bed.NewAgent(testbed.Run{Repo: b.repo.URL, Args: []string{"--branch", "main", "--edge", "off", "--config", filepath.Join(b.dir, "davit.yaml")}})
}

func (b *balanced) write(name, text string) {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// start runs the load balancer, and returns when it can be reached at network and address.
func (b *balanced) start(network, address string) {
	b.Helper()
	path, err := exec.LookPath("/usr/sbin/" + b.command[0])
	if err != nil {
		b.Fatalf("%v; scripts/ensure-balancers installs it", err)
	}
	b.running = exec.Command(path, b.command[1:]...)
	b.running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	b.running.Stdout, b.running.Stderr = log, log
	if err := b.running.Start(); err != nil {
		b.Fatal(err)
	}
	b.eventually(b.command[0]+" runs", func() bool {
		conn, err := net.Dial(network, address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// stop ends the load balancer at once.
func (b *balanced) stop() {
	if b.running == nil {
		return
	}
	_ = b.running.Process.Signal(syscall.SIGTERM) // it may be gone already
	_ = b.running.Wait()                          // a signal ended it
	b.running = nil
	if b.Failed() {
		text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		b.Logf("the load balancer said:\n%s", text)
	}
}

// declare commits a version whose app dies at once on SIGTERM.
func (b *balanced) declare(version string, app testbed.App, more string) string {
	b.Helper()
	app.Env = map[string]string{"STOP": "exit"}
	image := b.image("web", version, app)
	return b.push("", service("web", image, `expose: ["8080"]`,
		`x-davit: {ports: {"8080": {via: front}}, monitor: 0s, standby: {for: 0s}, drain: {timeout: 5s, streams: 5s}`+more+`}`))
}

// version is what answers, or why nothing does.
func (b *balanced) version() string {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + b.url + "/")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return fmt.Sprint(answer.Status, " ", string(text), " ", err)
}

func (b *balanced) answers(version string) {
	b.Helper()
	b.eventually(version+" to answer", func() bool { return strings.HasPrefix(b.version(), "200") && strings.Contains(b.version(), version) })
}

// failed waits until a release of a commit has failed, and returns why.
func (b *balanced) failed(commit string) string {
	b.Helper()
	return b.agent.WaitRelease(b.stack.Name, "the release of "+commit[:7]+" to fail", func(x testbed.Release) bool {
		return x.Commit == commit && x.Outcome == "failed"
	}).Reason
}

func newHAProxy(t *testing.T) *balanced {
	t.Helper()
	b := newBalanced(t)
	socket := filepath.Join(b.dir, "s")
	b.write("haproxy.cfg", b.example("haproxy", 0, "/run/haproxy/admin.sock", socket, "bind :80", "bind "+b.url, "davit.shop.", "davit."+b.stack.Name+"."))
	b.configured(b.example("yaml", 0, "/run/haproxy/admin.sock", socket))
	b.command = []string{"haproxy", "-f", filepath.Join(b.dir, "haproxy.cfg"), "-db"}
	b.start("unix", socket)
	return b
}

// TestAnHAProxyOfTheHostServesThroughReplacements: an app that dies at once on SIGTERM
// is replaced behind it, its agent killed in between, and no request fails.
func TestAnHAProxyOfTheHostServesThroughReplacements(t *testing.T) {
	t.Parallel()
	b := newHAProxy(t)
	commit := b.declare("1.0", testbed.App{}, "")
	b.agent.Start()
	b.waitCommit(commit)
	callers := call(t, "http://"+b.url+"/", keptOnly())
	callers.wait("1.0")
	for _, version := range []string{"2.0", "3.0"} {
		commit = b.declare(version, testbed.App{}, "")
		b.poll()
		callers.wait(version)
	}
	b.agent.Kill()
	callers.wait("3.0")
	b.agent.Start()
	b.waitCommit(commit)
	commit = b.declare("4.0", testbed.App{HealthyAfter: time.Second}, "")
	b.poll()
	before := ids(b.stack.Containers())
	b.eventually("a container of 4.0", func() bool { return len(ids(b.stack.Containers())) > len(before) })
	b.agent.Kill()
	b.agent.Start()
	callers.wait("4.0")
	b.waitCommit(commit)
	callers.end()

	b.stop() // and all that it was told is lost
	b.start("tcp", b.url)
	b.answers("4.0")
}

func TestNothingIsStoppedForAnHAProxyThatIsDown(t *testing.T) {
	t.Parallel()
	b := newHAProxy(t)
	commit := b.declare("1.0", testbed.App{}, "")
	b.agent.Start()
	b.waitCommit(commit)
	old := ids(b.stack.Containers())
	b.steered()
	// What dies and is started again is another one to the load balancer.
	first := b.process(old[0])
	b.crash(first)
	b.eventually("the dead container to be started again", func() bool { p := b.process(old[0]); return p != 0 && p != first })
	b.answers("1.0")
	b.waitCommit(commit)

	late := b.declare("2.0", testbed.App{HealthyAfter: 2 * time.Second}, ", progress_timeout: 15s")
	b.poll()
	b.eventually("a container of 2.0", func() bool { return len(b.stack.Containers()) > len(old) })
	b.stop()
	want := "web could not be handed over within 15s: haproxy front: it does not run"
	if why := b.failed(late); !strings.Contains(why, want) {
		t.Errorf("the release failed because %s\nwant %s", why, want)
	}
	for _, c := range b.stack.Containers() {
		if c.ID == old[0] && !c.Running {
			t.Error("the container that served was stopped")
		}
	}
	b.start("tcp", b.url)
	b.answers("1.0")
	b.stop()
	commit = b.declare("3.0", testbed.App{}, "")
	b.poll()
	b.agent.WaitStatus(b.stack.Name, "the stack to wait for the load balancer", func(s testbed.Status) bool {
		return strings.Contains(s.WaitingFor, "haproxy front: it does not run") && s.Health == "healthy"
	})
	b.start("tcp", b.url)
	b.waitCommit(commit)
	b.answers("3.0")
}

// process is a container's, 0 while it has none.
func (b *balanced) process(id string) int {
	b.Helper()
	var found struct{ State struct{ Pid int } }
	if err := b.bed.Engine.Ask(b.Context(), "/containers/"+id+"/json", nil, &found); err != nil {
		b.Fatal(err)
	}
	return found.State.Pid
}

// crash ends a container's process, as no operator would.
func (b *balanced) crash(process int) {
	b.Helper()
	if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
}

// steered checks what operators are shown of a service that is served.
func (b *balanced) steered() {
	b.Helper()
	if got := b.agent.CLI("status", b.stack.Name); !strings.Contains(got.Stdout, "8080 front") {
		b.Errorf("status shows %s%s", got.Stdout, got.Stderr)
	}
	got := b.agent.CLI("doctor", "--config", filepath.Join(b.dir, "davit.yaml"))
	if !strings.Contains(got.Stdout, "balancers: haproxy front: can be steered, for 1 ports of stacks") {
		b.Errorf("the doctor says %s%s", got.Stdout, got.Stderr)
	}
}

func newNginx(t *testing.T) *balanced {
	t.Helper()
	b := newBalanced(t)
	b.write("nginx.conf", fmt.Sprintf(`
user root;
worker_processes 2;
pid %[1]s/pid;
error_log %[1]s/log;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
    include %[1]s/conf.d/*.conf;
}
`, b.dir))
	b.write("conf.d/alive.conf", fmt.Sprintf("server { listen unix:%s/alive; return 204; }\n", b.dir))
	b.command = []string{"nginx", "-p", b.dir, "-e", filepath.Join(b.dir, "log"), "-c", filepath.Join(b.dir, "nginx.conf")}
	call := "[/usr/sbin/" + strings.Join(b.command, ", ")
	b.configured(b.example("yaml", 2, "/etc/nginx/conf.d", filepath.Join(b.dir, "conf.d"), "/run/nginx.pid", filepath.Join(b.dir, "pid"),
		"[nginx, -t, -q]", call+", -t, -q]", "[nginx, -s, reload]", call+", -s, reload]"))
	b.command = append(b.command, "-g", "daemon off;")
	b.start("unix", filepath.Join(b.dir, "alive"))
	return b
}

// TestAnNginxOfTheHostServesThroughReplacements: what its clients begin, it finishes;
// what davit writes that it refuses changes nothing.
func TestAnNginxOfTheHostServesThroughReplacements(t *testing.T) {
	t.Parallel()
	b := newNginx(t)
	commit := b.declare("1.0", testbed.App{}, "")
	b.agent.Start()
	b.waitCommit(commit)
	b.write("conf.d/shop.conf", b.example("nginx", 0, "listen 80", "listen "+b.url, "davit.shop.", "davit."+b.stack.Name+"."))
	reload := exec.CommandContext(t.Context(), "/usr/sbin/nginx", append(b.command[1:len(b.command)-2:len(b.command)-2], "-s", "reload")...)
	if out, err := reload.CombinedOutput(); err != nil {
		t.Fatalf("reload nginx: %v\n%s", err, out)
	}
	b.answers("1.0")
	callers := call(t, "http://"+b.url+"/", newOnly())
	callers.wait("1.0")
	commit = b.declare("2.0", testbed.App{}, "")
	b.poll()
	callers.wait("2.0")
	b.agent.Kill()
	callers.wait("2.0")
	b.agent.Start()
	b.waitCommit(commit)

	upstreams := filepath.Join(b.dir, "conf.d", "davit-upstreams.conf")
	before, err := os.ReadFile(upstreams)
	if err != nil {
		t.Fatal(err)
	}
	b.write("conf.d/broken.conf", "nonsense;\n")
	bad := b.declare("3.0", testbed.App{}, "")
	b.poll()
	if why := b.failed(bad); !strings.Contains(why, `web could not be handed over: nginx front: `) || !strings.Contains(why, `[emerg]`) {
		t.Errorf("the release failed because %s", why)
	}
	if after, err := os.ReadFile(upstreams); err != nil || string(after) != string(before) {
		t.Errorf("the file of upstreams is now (%v)\n%s\nand was\n%s", err, after, before)
	}
	callers.wait("2.0")
	if err := os.Remove(filepath.Join(b.dir, "conf.d", "broken.conf")); err != nil {
		t.Fatal(err)
	}
	commit = b.declare("4.0", testbed.App{}, "")
	b.poll()
	callers.wait("4.0")
	b.waitCommit(commit)
	callers.end()
}

// TestAStackThatNamesAStrangeLoadBalancerIsHeldAlone.
func TestAStackThatNamesAStrangeLoadBalancerIsHeldAlone(t *testing.T) {
	t.Parallel()
	b := newHAProxy(t)
	image := b.image("web", "1.0", testbed.App{})
	b.push("", service("web", image, `x-davit: {ports: {"8080": {via: back}}}`))
	b.agent.Start()
	b.agent.WaitStatus(b.stack.Name, "the stack to be stalled", func(s testbed.Status) bool {
		return s.Sync == "stalled" && strings.Contains(s.WaitingFor+s.LastError, "this host has no load balancer of that name")
	})
	b.push("", service("web", image, `x-davit: {ports: {"9090": {via: front}}}`))
	b.poll()
	b.agent.WaitStatus(b.stack.Name, "the stack to wait for its backend", func(s testbed.Status) bool {
		return strings.Contains(s.WaitingFor, "haproxy front has no backend davit."+b.stack.Name+".web.9090")
	})
}
