package main

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"davit/traffic"
)

func TestLoadBalancersOfTheConfiguration(t *testing.T) {
	c, err := loadConfig(t, `balancers:
  front: {haproxy: {}}
  back: {haproxy: {socket: sock/admin}}
  inside: {nginx: {file: /n/up.conf, pid: /n/pid, test: [sudo, nginx, -t], reload: [systemctl, reload, nginx]}}
  plain: {nginx: {}}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(filepath.Dir(c.Balancers[1].HAProxy.Socket))
	want := []BalancerConfig{
		{Name: "front", HAProxy: &traffic.HAProxy{Socket: "/run/haproxy/admin.sock"}},
		{Name: "back", HAProxy: &traffic.HAProxy{Socket: filepath.Join(dir, "sock", "admin")}},
		{Name: "inside", Nginx: &traffic.Nginx{File: "/n/up.conf", PID: "/n/pid", Test: []string{"sudo", "nginx", "-t"}, Reload: []string{"systemctl", "reload", "nginx"}}},
		{Name: "plain", Nginx: &traffic.Nginx{File: "/etc/nginx/conf.d/davit-upstreams.conf", PID: "/run/nginx.pid"}},
	}
	if !reflect.DeepEqual(c.Balancers, want) || !filepath.IsAbs(dir) {
		t.Errorf("got  %+v\nwant %+v", c.Balancers, want)
	}
}

func TestMistakesInLoadBalancersAreNamedWithTheirPlace(t *testing.T) {
	for file, want := range map[string]string{
		"balancers: [front]\n":                                 ":1: balancers must have keys and values",
		"balancers: {edge: {haproxy: {}}}\n":                   `:1: balancers: "edge" is no name of a load balancer`,
		"balancers: {Front: {haproxy: {}}}\n":                  `"Front" is no name`,
		"balancers:\n  a: {}\n":                                ":2: balancers.a: say either haproxy or nginx",
		"balancers:\n  a: {haproxy: {}, nginx: {}}\n":          ":2: balancers.a: say either haproxy or nginx",
		"balancers:\n  a: {traefik: {}}\n":                     `:2: unknown key "traefik" in balancers.a: there are haproxy and nginx`,
		"balancers:\n  a:\n    haproxy:\n      sock: /s\n":     `:4: unknown key "sock" in balancers.a.haproxy: there is socket`,
		"balancers: {a: {haproxy: {socket: ''}}}\n":            "balancers.a.haproxy.socket: must name a file",
		"balancers: {a: {haproxy: {socket: [x]}}}\n":           "balancers.a.haproxy.socket: must have one plain value",
		"balancers: {a: {nginx: {test: nginx -t}}}\n":          "balancers.a.nginx.test: must be a list of a program and its arguments",
		"balancers: {a: {nginx: {reload: []}}}\n":              "balancers.a.nginx.reload: must be a list",
		"balancers: {a: {nginx: {conf: /x}}}\n":                `unknown key "conf" in balancers.a.nginx: there are file, pid, test and reload`,
		"balancers: {a: {haproxy: {}}, b: {haproxy: {}}}\n":    "balancers.b: /run/haproxy/admin.sock is that of a, too",
		"balancers: {a: {haproxy: {}}, a: {nginx: {}}}\n":      "a: given twice",
		"sources: [{name: x, repo: /r, balancers: {a: {}}}]\n": `unknown key "balancers"`,
	} {
		if _, err := loadConfig(t, file, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", file, err, want)
		}
	}
}

// stackVia writes a stack whose web is via front.
func stackVia(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "shop")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "services: {web: {image: 'shop:1', x-davit: {ports: {'8080': {via: front}}}}}\n"
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestValidateKnowsTheLoadBalancersOfAConfiguration(t *testing.T) {
	dir := stackVia(t)
	configured := func(text string) string {
		path := filepath.Join(t.TempDir(), "davit.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no configuration is at hand":     {nil, 0, "front is for the host's configuration to name"},
		"the configuration names it":      {[]string{"--config", configured("balancers: {front: {haproxy: {}}}\n")}, 0, "1 stacks are fine"},
		"the configuration names another": {[]string{"--config", configured("balancers: {back: {haproxy: {}}}\n")}, 1, "services.web.x-davit.ports.8080.via: the configuration has no load balancer called front"},
	} {
		got := ask(t, nil, append([]string{"validate", "--dir", dir}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.out, c.says) {
			t.Errorf("%s: exit %d\n%s%s", name, got.code, got.out, got.err)
		}
	}
}

func TestTheDoctorLooksWhetherLoadBalancersCanBeSteered(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go answerAsHAProxy(listener, "Permission denied\n")
	d := &doctor{config: Config{Data: t.TempDir(), Balancers: []BalancerConfig{
		{Name: "front", HAProxy: &traffic.HAProxy{Socket: socket}},
		{Name: "back", HAProxy: &traffic.HAProxy{Socket: socket + "-none"}},
		{Name: "inside", Nginx: &traffic.Nginx{File: "/nowhere/f", PID: "/nowhere/pid"}},
	}}}
	want := []string{
		"haproxy front: its socket lets davit only look: Permission denied",
		"haproxy back: it does not run, or does not let davit in: dial unix",
		"nginx inside: it does not run, or does not let davit in: open /nowhere/pid",
	}
	found := d.balancersCheck(t.Context())
	if len(found) != len(want) {
		t.Fatalf("findings = %+v", found)
	}
	for i, f := range found {
		if f.Level != levelFail || !strings.HasPrefix(f.Seen, want[i]) || f.Advice == "" {
			t.Errorf("got %+v\nwant %s", f, want[i])
		}
	}
}

// answerAsHAProxy shows a backend to who only looks, and refuses everything else.
func answerAsHAProxy(listener net.Listener, refusal string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		command := make([]byte, 256)
		n, _ := conn.Read(command)
		answer := refusal
		if strings.HasPrefix(string(command[:n]), "show stat") {
			answer = "# pxname,svname,qcur,scur,status,weight,addr\ndavit.shop.web.8080,BACKEND,0,0,UP,0,\n"
		}
		conn.Write([]byte(answer)) //nolint:errcheck // who asks reports it
		conn.Close()
	}
}
