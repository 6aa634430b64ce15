package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHarmlessStacksPassStrict(t *testing.T) {
	for name, a := range map[string]attack{
		"nothing special":                 {service: "restart: always"},
		"a capability that Docker gives":  {service: "cap_drop: [ALL]\ncap_add: [NET_BIND_SERVICE, cap_chown]"},
		"fewer privileges":                {service: "security_opt: ['no-new-privileges:true', no-new-privileges]"},
		"no network":                      {service: "network_mode: none"},
		"its own directory":               {service: "volumes: ['./data:/d', '.:/all:ro']"},
		"its own file":                    {service: "volumes: ['./labels.env:/l:ro']"},
		"its own volume":                  {service: "volumes: ['v:/v', '/anonymous']", file: "volumes: {v: {}}"},
		"memory as a volume":              {service: "volumes: ['v:/v']", file: "volumes: {v: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}}"},
		"the local time":                  {service: "volumes: ['/etc/localtime:/etc/localtime:ro']"},
		"a certificate below an allowed":  {service: "volumes: ['/etc/ssl/certs/ca.pem:/ca.pem:ro']"},
		"ports of the web":                {service: "ports: ['80:80', '443:443/udp', '127.0.0.1:8080:80', '9000-9010:9000-9010', '80']"},
		"its own labels":                  {service: "labels: {traefik.enable: 'true', com.example.x: y}"},
		"a safe kernel setting":           {service: "sysctls: {net.core.somaxconn: 1024, net.ipv4.tcp_keepalive_time: 60}"},
		"to be killed first":              {service: "oom_score_adj: 500"},
		"a group of its own":              {service: "group_add: [app, '1500']"},
		"an ordinary log":                 {service: "logging: {driver: json-file, options: {max-size: 10m}}"},
		"a network with a name":           {service: "networks: [n]", file: "networks: {n: {external: true, name: proxy}}"},
		"a network of its own":            {service: "networks: [n]", file: "networks: {n: {driver: bridge, internal: true}}"},
		"a secret and a config of itself": {service: "secrets: [s]\nconfigs: [c]", file: "secrets: {s: {file: ./labels.env}}\nconfigs: {c: {content: x}}"},
		"any image, as root":              {service: "user: root"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := newScene(t).load(t, a.stack(), NewPolicy(Strict)); err != nil {
				t.Error(err)
			}
		})
	}
}

// What permissive refuses is refused by every policy.
func TestPermissiveRefusesOnlyWhatNothingAllows(t *testing.T) {
	for name, a := range attacks() {
		_, _, err := newScene(t).load(t, a.stack(), nil)
		p := refusal(err, a.key, a.rule)
		always := a.rule == RuleDataDirectory || a.rule == RuleVolumeName || a.rule == RuleBuild
		if always != (p != nil) {
			t.Errorf("%s: refused=%t, want %t: %v", name, p != nil, always, err)
		}
	}
}

func TestPolicyAllowsWhatItListsForAStack(t *testing.T) {
	for name, c := range map[string]struct {
		service, rules string
		refused        Rule // "" for none
	}{
		"a capability":                      {"cap_add: [SYS_ADMIN]", "cap_add: [CAP_sys_admin]", ""},
		"another capability":                {"cap_add: [SYS_ADMIN, SYS_PTRACE]", "cap_add: [SYS_ADMIN]", RuleCapAdd},
		"a list replaces the preset's":      {"cap_add: [CHOWN]", "cap_add: [SYS_ADMIN]", RuleCapAdd},
		"everything of a rule":              {"cap_add: [ALL]", "cap_add: true", ""},
		"nothing of a rule":                 {"cap_add: [CHOWN]", "cap_add: false", RuleCapAdd},
		"a path and what is in it":          {"volumes: ['/srv/a/b:/b']", "bind: [/srv/a]", ""},
		"a path with the same beginning":    {"volumes: ['/srv/ab:/b']", "bind: [/srv/a]", RuleBind},
		"a path above an allowed one":       {"volumes: ['/srv:/b']", "bind: [/srv/a]", RuleBind},
		"a path to be read":                 {"volumes: ['/srv/a:/b:ro']", "bind: ['/srv/a:ro']", ""},
		"a path to be read that is written": {"volumes: ['/srv/a:/b']", "bind: ['/srv/a:ro']", RuleBind},
		"every path but the socket":         {"volumes: ['/run/docker.sock:/s']", "bind: true", RuleEngineSocket},
		"the socket as a path too":          {"volumes: ['/run/docker.sock:/s']", "engine_socket: true", RuleBind},
		"the socket":                        {"volumes: ['/run/docker.sock:/s']", "{engine_socket: true, bind: [/run/docker.sock]}", ""},
		"a path that is a link in the list": {"volumes: ['/var/run/x:/s']", "bind: [/var/run/x]", ""},
		"one port":                          {"ports: ['25:25']", "ports: [25]", ""},
		"a port on one address":             {"ports: ['127.0.0.1:53:53/udp']", "ports: ['127.0.0.1:1-100']", ""},
		"a port on every address":           {"ports: ['53:53']", "ports: ['127.0.0.1:1-100']", RulePorts},
		"a port on the address in six":      {"ports: ['[::1]:53:53']", "ports: ['::1:53']", ""},
		"a beginning":                       {"labels: {com.docker.extension.x: y}", "labels: ['com.docker.extension.*']", ""},
		"another beginning":                 {"labels: {com.docker.compose.x: y}", "labels: ['com.docker.extension.*']", RuleLabels},
		"an image":                          {"image: acme/web:1", "images: [ghcr.io/acme/, acme/web]", ""},
		"an image of a registry":            {"image: 'ghcr.io/acme/web@sha256:0000000000000000000000000000000000000000000000000000000000000000'", "images: [ghcr.io/]", ""},
		"an image of another registry":      {"image: ghcr.io.evil.example/acme/web", "images: [ghcr.io/]", RuleImages},
		"an image of another namespace":     {"image: ghcr.io/acmeville/web", "images: [ghcr.io/acme/]", RuleImages},
		"an image of a registry's port":     {"image: 'localhost:5000/web:1'", "images: ['localhost:5000/']", ""},
		"an official image":                 {"image: nginx:1", "images: [docker.io/library/]", ""},
		"a short name for a registry":       {"image: ghcr.io/nginx", "images: [nginx]", RuleImages},
		"no root":                           {"user: '0:0'", "root_user: false", RuleRootUser},
		"no root by default":                {"tty: true", "root_user: false", RuleRootUser},
		"another user":                      {"user: '1000'", "root_user: false", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePolicy("/p.yaml", []byte("preset: strict\nstacks:\n  other: {preset: permissive}\n  app: {rules: {"+strings.Trim(c.rules, "{}")+"}}\n"))
			if err != nil {
				t.Fatal(err)
			}
			service := c.service
			if !strings.HasPrefix(service, "image:") {
				service = "image: a\n" + service
			}
			file := "services:\n  a:\n    " + strings.ReplaceAll(service, "\n", "\n    ")
			_, _, err = newScene(t).load(t, file, p)
			var v *Violation
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (len(Problems(err)) != 1 || !errors.As(Problems(err)[0], &v) || v.Rule != c.refused):
				t.Errorf("got %v, want only %s", err, c.refused)
			case c.refused != "" && !strings.Contains(v.Allow, "below stacks.app.rules in /p.yaml"):
				t.Errorf("%v does not say what allows it", v)
			}
		})
	}
}

func TestPresetOfAStackGoesBeforeRulesOfAll(t *testing.T) {
	p, err := ParsePolicy("/p", []byte("preset: permissive\nrules: {privileged: false, build: true}\nstacks:\n  free: {preset: permissive}\n  built: {rules: {privileged: true}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for stack, want := range map[string][2]bool{"any": {false, true}, "free": {true, false}, "built": {true, true}} {
		if got := [2]bool{p.grants(stack, RulePrivileged).all, p.AllowsBuild(stack)}; got != want {
			t.Errorf("%s: privileged and build are %v, want %v", stack, got, want)
		}
	}
}

func TestBuildingNeedsLeave(t *testing.T) {
	for _, p := range []*Policy{nil, NewPolicy(Permissive), NewPolicy(Strict)} {
		var v *Violation
		if err := p.RefuseBuild("app"); !errors.As(err, &v) || v.Rule != RuleBuild || !strings.Contains(v.Allow, "`build: true` below stacks.app.rules") {
			t.Errorf("%v: %v", p, err)
		}
	}
	p, err := ParsePolicy("/p", []byte("rules: {build: true}"))
	if err != nil || p.RefuseBuild("app") != nil {
		t.Errorf("%v, %v", err, p.RefuseBuild("app"))
	}
}

func TestPolicyFilesAreReadStrictly(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"an unknown key":            {"preset: strict\nprset: x", "/p:2: prset: is not a key of a policy"},
		"an unknown rule":           {"rules:\n  privilege: false", "/p:2: rules.privilege: is not a rule: docs/policy.md"},
		"a rule in the singular":    {"rules: {device: false}", "did you mean devices?"},
		"a rule with dashes":        {"rules: {cap-add: false}", "did you mean cap_add?"},
		"an unknown key of a stack": {"stacks:\n  a:\n    privileged: false", "/p:3: stacks.a.privileged: is not a key of a stack's policy"},
		"an unknown preset":         {"preset: string", "/p:1: preset: must be strict or permissive"},
		"a list for a switch":       {"rules: {privileged: [x]}", "must be true or false"},
		"text for a switch":         {"rules: {privileged: 'no'}", "must be true or false"},
		"text for a list":           {"rules: {cap_add: CHOWN}", "or a list of what is allowed"},
		"an empty item":             {"rules: {cap_add: [~]}", "rules.cap_add[0]: must be plain text"},
		"a relative path":           {"rules: {bind: [srv]}", "is not an absolute, clean path"},
		"a path with dots":          {"rules: {bind: [/srv/../etc]}", "is not an absolute, clean path"},
		"a port of letters":         {"rules: {ports: [ssh]}", "is not PORT"},
		"ports in the wrong order":  {"rules: {ports: [9-1]}", "is not PORT"},
		"a port too high":           {"rules: {ports: [65536]}", "is not PORT"},
		"a star in the middle":      {"rules: {labels: ['a*b']}", "a star can only be the last character"},
		"an image with a tag":       {"rules: {images: ['nginx:1']}", "is neither an image without a tag nor"},
		"a rule twice":              {"rules: {build: true, build: false}", "given twice"},
		"no mapping":                {"[strict]", "must have keys and values"},
		"nothing":                   {"# later\n", "says nothing"},
		"only null":                 {"~", "must have keys and values"},
		"two documents":             {"preset: strict\n---\npreset: permissive", "more than one document"},
		"no YAML":                   {"preset: [", "/p:1: "},
		"an alias":                  {"stacks: {a: &a {rules: {build: true}}, b: *a}", "is an alias"},
		"an alias of itself":        {"stacks: &a {b: *a}", "is an alias"},
		"a merge":                   {"<<: {preset: strict}", "is not a key of a policy"},
		"several mistakes":          {"a: 1\nb: 2", "/p:1: a: is not a key of a policy: preset, rules and stacks are\n/p:2: b: is not"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePolicy("/p", []byte(c.file))
			if err == nil || p != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v\nwant %s", p, err, c.want)
			}
		})
	}
}

func TestPolicyFileIsReadFromTheHost(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	put(t, file, "preset: strict\n")
	if p, err := ReadPolicy(file); err != nil || p.grants("a", RulePrivileged).all {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := ReadPolicy(""); err != nil || !p.grants("a", RulePrivileged).all {
		t.Errorf("%v, %v", p, err)
	}
	pipe := filepath.Join(dir, "pipe")
	special(t, fifo, pipe)
	for _, missing := range []string{filepath.Join(dir, "none"), dir, pipe} {
		if p, err := ReadPolicy(missing); err == nil || p != nil {
			t.Errorf("%s: %v", missing, p)
		}
	}
}

// A container that may write to its stack's directory puts a link there, and the
// next commit mounts it.
func TestALinkInTheStacksOwnDirectoryIsJudgedByWhereItLeads(t *testing.T) {
	for name, c := range map[string]struct {
		to      string
		preset  Preset
		refused Rule
	}{
		"to the host":         {"/etc", Strict, RuleBind},
		"to the socket":       {"/run/docker.sock", Strict, RuleEngineSocket},
		"to davit's key":      {"../../host.key", Permissive, RuleDataDirectory},
		"to another stack":    {"../other", Permissive, RuleDataDirectory},
		"to the host, freely": {"/etc", Permissive, ""},
		"to itself":           {"data", Strict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			home := StackDir(s.data, "app")
			if err := os.MkdirAll(filepath.Join(home, "data"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(c.to, filepath.Join(home, "link")); err != nil {
				t.Fatal(err)
			}
			a := attack{service: "volumes: ['./link:/l']"}
			p, _, err := s.load(t, a.stack(), NewPolicy(c.preset))
			if (c.refused == "") != (err == nil) || c.refused != "" && refusal(err, "services.a.volumes[0]", c.refused) == nil {
				t.Errorf("%v, want %q", err, c.refused)
			}
			if p == nil {
				return
			}
			if err := p.judgedBy(NewPolicy(Strict), s); (c.to == "data") != (err == nil) {
				t.Errorf("as a release to return to: %v", err)
			}
		})
	}
}

func (p *Project) judgedBy(policy *Policy, s scene) error {
	return policy.Judge(p, Host{DataDir: s.data, SecretsDir: secretsDir, Socket: s.socket, Resolve: ResolvePath})
}

func TestARecordedProjectIsJudgedAgain(t *testing.T) {
	a := attack{service: "privileged: true\nvolumes: ['./data:/d', './labels.env:/l:ro', '/etc:/e']\nnetwork_mode: host"}
	s := newScene(t)
	p, _, err := s.load(t, a.stack(), nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	err = p.judgedBy(NewPolicy(Strict), s)
	var got []string
	for _, problem := range Problems(err) {
		var v *Violation
		if errors.As(problem, &v) {
			got = append(got, fmt.Sprintf("%s %s %s", problem.File, problem.Key, v.Rule))
		}
	}
	want := "compose.yaml services.a.network_mode network_mode|compose.yaml services.a.privileged privileged|compose.yaml services.a.volumes[2] bind"
	if strings.Join(got, "|") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, "|"), want)
	}
	if err := p.judgedBy(nil, s); err != nil {
		t.Errorf("permissive: %v", err)
	}
}

func TestDocumentationGivesTheStrictPresetInFull(t *testing.T) {
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ruleNames() {
		line := ""
		for _, l := range strings.Split(string(text), "\n") {
			if name, _, _ := strings.Cut(strings.TrimPrefix(l, "| "), " |"); strings.HasPrefix(l, "| ") && strings.Contains(name, "`"+r.String()+"`") {
				line = l[strings.LastIndex(l[:len(l)-1], "|"):]
			}
		}
		strict, want := Strict.grant(r), []string{"`false`"}
		if strict.all {
			want = []string{"`true`"}
		} else if len(strict.items) > 0 {
			want = nil
			for _, item := range strict.items {
				want = append(want, "`"+item+"`")
			}
		}
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("docs/policy.md does not say that strict has %s: %s", r, w)
			}
		}
		if n := strings.Count(line, "`"); n != 2*len(want) {
			t.Errorf("docs/policy.md gives %s %d items, strict has %d", r, n/2, len(want))
		}
	}
}
