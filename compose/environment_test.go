package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheProcessEnvironmentIsNoSource(t *testing.T) {
	for name, value := range map[string]string{
		"COMPOSE_PROFILES": "poison", "COMPOSE_FILE": "/poison.yaml", "COMPOSE_PROJECT_NAME": "poison", "COMPOSE_ENV_FILES": "/poison",
		"COMPOSE_DISABLE_ENV_FILE": "1", "HOME": "/poison", "POISON": "poison", "DAVIT_VERSION": "poison", "DOCKER_HOST": "poison",
		"NOT_IN_FILE": "poison",
	} {
		t.Setenv(name, value)
	}
	files := map[string]string{
		"app/compose.yaml": `
include: [sub/compose.yaml]
services:
  a:
    image: a:${POISON-clean}
    environment: {HOME: , POISON: , BOTH: "${POISON:-clean}${DAVIT_VERSION:-}"}
    env_file: [a.env]
    labels: {l: "${HOME:-clean}"}
  b: {image: b, profiles: [poison]}
`,
		"app/a.env":            "FROM_FILE=${POISON:-clean}\nNOT_IN_FILE\n",
		"app/.env":             "SECRET=${POISON:-clean}\n",
		"app/sub/compose.yaml": "services: {c: {image: 'c:${POISON-clean}', extends: {file: base.yaml, service: base}}}",
		"app/sub/base.yaml":    "services: {base: {environment: {X: '${POISON:-clean}'}}}",
	}
	root := write(t, files)
	o := options(root)
	o.Variables = Variables{}
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "poison") {
		t.Errorf("the process's environment leaks into the stack:\n%s", data)
	}
	if p.Name != "app" || len(p.Services) != 2 {
		t.Errorf("stack %s with %d services", p.Name, len(p.Services))
	}
}

func TestTheLaterSourceOfVariablesWins(t *testing.T) {
	root := write(t, map[string]string{
		"compose.yaml": `
services:
  a:
    image: a
    environment:
      ALL: ${A} ${B} ${C} ${D}
      DAVIT_REF: ${DAVIT_REF}
      B:
`,
		".env": "A=env\nB=env\nC=env\nD=${C}+\nDAVIT_REF=env\n",
	})
	host := filepath.Join(t.TempDir(), "a.env")
	put(t, host, "C=host\nDAVIT_REF=host\n")
	o := options(root)
	o.Env = map[string]string{"B": "source", "C": "source", "DAVIT_REF": "source"}
	o.HostEnvFile = host
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	env := p.Services[0].Config.Environment
	if got, want := *env["ALL"]+"/"+*env["DAVIT_REF"]+"/"+*env["B"], "env source host host+/main/source"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	o.HostEnvFile = filepath.Join(t.TempDir(), "missing.env")
	if _, err := Load(t.Context(), find(t, root), o); err != nil {
		t.Errorf("a host file that is not there: %v", err)
	}
	put(t, host, "C='")
	o.HostEnvFile = host
	if _, err := Load(t.Context(), find(t, root), o); err == nil || !strings.Contains(err.Error(), host) {
		t.Errorf("a host file that is damaged: %v", err)
	}
}

func TestVariablesOfComposeItselfThatAreRefused(t *testing.T) {
	files := one("services: {a: {image: a}}")
	files[".env"] = "COMPOSE_FILE=other.yaml\n"
	root := write(t, files)
	_, err := Load(t.Context(), find(t, root), options(root))
	if err == nil || !strings.Contains(err.Error(), ".env: COMPOSE_FILE") {
		t.Errorf("got %v", err)
	}
}

func TestFilesOfVariablesThatMultiplyAreStopped(t *testing.T) {
	for _, file := range []string{".env", "a.env"} {
		files := one("services: {a: {image: a, env_file: [{path: a.env, required: false}]}}")
		files[file] = nested()
		root := write(t, files)
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), file+": variables expand to more than") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// nested is a file whose last variable would be 10^26 bytes long.
func nested() string {
	var b strings.Builder
	b.WriteString("V_a=xxxxxxxxxx\n")
	for c := 'b'; c <= 'z'; c++ {
		b.WriteString("V_" + string(c) + "=" + strings.Repeat("${V_"+string(c-1)+"}", 10) + "\n")
	}
	return b.String()
}

func TestAFileOfVariablesMustBeAFile(t *testing.T) {
	root := write(t, one("services: {a: {image: a}}"))
	if err := os.Mkdir(filepath.Join(root, ".env"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), find(t, root), options(root)); err == nil || !strings.Contains(err.Error(), ".env: is not a regular file") {
		t.Errorf("got %v", err)
	}
}

// Each case is a mistake about a value that nobody may read in a log.
func TestMistakesDoNotTellSecrets(t *testing.T) {
	const secret = "hunter2-hunter2"
	host := filepath.Join(t.TempDir(), "host.env")
	for name, c := range map[string]struct{ file, env, host string }{
		"a value of the wrong kind":        {"services: {a: {image: a, scale: '${S}'}}", "S=" + secret, ""},
		"a setting of the wrong kind":      {"services: {a: {image: a, x-davit: {stable_for: '${S}'}}}", "S=" + secret, ""},
		"a port":                           {"services: {a: {image: a, ports: ['${S}']}}", "S=" + secret, ""},
		"a path":                           {"services: {a: {image: a, volumes: ['../../${S}:/x']}}", "S=" + secret, ""},
		"a limit":                          {"services: {a: {image: a, mem_limit: '${S}'}}", "", "S=" + secret},
		"a quote that does not end":        {"services: {a: {image: a}}", "", "S='" + secret},
		"a line that is no variable":       {"services: {a: {image: a}}", "", secret + "/" + secret},
		"a key with a space":               {"services: {a: {image: a}}", "", "S " + secret + "=1"},
		"a dollar sign too many":           {"services: {a: {image: a}}", "", "S=${" + secret},
		"a required variable's reason":     {"services: {a: {image: a, user: '${NOPE:?${S}}'}}", "S=" + secret, ""},
		"a name that another service uses": {"services: {a: {image: a, network_mode: 'service:${S}'}}", "S=" + secret, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, map[string]string{"compose.yaml": c.file, ".env": c.env})
			put(t, host, c.host)
			o := options(root)
			o.HostEnvFile = host
			_, err := Load(t.Context(), find(t, root), o)
			if err == nil {
				t.Fatal("it was loaded")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error(err)
			}
		})
	}
}
