package compose

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// hashed is a stack whose every attribute the tests below change in turn.
const hashed = `
name: shop
x-davit: {suspend: false}
services:
  web:
    image: shop:1
    command: [serve]
    environment: {A: "1", B: two}
    volumes: ["./conf:/conf:ro", "data:/data", "./work:/work"]
    networks: [front]
    secrets: [key]
    configs: [motd]
    ports: ["8080:80", "9090:90"]
    mem_reservation: 64m
    cap_add: [NET_ADMIN, SYS_TIME]
    deploy: {resources: {limits: {pids: 10}}, restart_policy: {condition: any}}
    healthcheck: {test: [CMD-SHELL, ok], interval: 60s}
    depends_on: [db]
    x-davit: {max_surge: 2}
  db: {image: db:1}
networks: {front: }
volumes: {data: }
secrets: {key: {file: ./key}}
configs: {motd: {content: hello}}
`

func hashedFiles() map[string]string {
	return map[string]string{"compose.yaml": hashed, "conf/a.conf": "a", "key": "k", "work/seed": "s"}
}

// with is hashedFiles with one text of one file replaced.
func with(t *testing.T, file, old, new string) map[string]string {
	t.Helper()
	files := hashedFiles()
	if !strings.Contains(files[file], old) {
		t.Fatalf("%s does not contain %q", file, old)
	}
	files[file] = strings.Replace(files[file], old, new, 1)
	return files
}

func hashOf(p *Project, service string) string {
	s, _ := p.Service(service)
	return s.Hash
}

func TestWhatMakesAContainerAnew(t *testing.T) {
	before := load(t, hashedFiles())
	for name, files := range map[string]map[string]string{
		"another command":                    with(t, "compose.yaml", "[serve]", "[serve, -v]"),
		"an empty command":                   with(t, "compose.yaml", "[serve]", "[]"),
		"another variable":                   with(t, "compose.yaml", `A: "1"`, `A: "2"`),
		"a variable without a value":         with(t, "compose.yaml", `A: "1"`, `A: `),
		"a mount that may be written to":     with(t, "compose.yaml", "./conf:/conf:ro", "./conf:/conf"),
		"another target":                     with(t, "compose.yaml", "data:/data", "data:/srv"),
		"other content of a tracked file":    with(t, "conf/a.conf", "a", "b"),
		"other content of a written file":    with(t, "work/seed", "s", "t"),
		"another secret file":                with(t, "key", "k", "l"),
		"another config":                     with(t, "compose.yaml", "content: hello", "content: bye"),
		"another name of its network":        with(t, "compose.yaml", "networks: {front: }", "networks: {front: {name: shared}}"),
		"another name of its volume":         with(t, "compose.yaml", "volumes: {data: }", "volumes: {data: {name: other}}"),
		"another port":                       with(t, "compose.yaml", "8080:80", "8081:80"),
		"another limit":                      with(t, "compose.yaml", "mem_reservation: 64m", "mem_reservation: 65m"),
		"another limit in deploy":            with(t, "compose.yaml", "pids: 10", "pids: 11"),
		"another restart policy":             with(t, "compose.yaml", "condition: any", "condition: none"),
		"another capability":                 with(t, "compose.yaml", "SYS_TIME", "SYS_NICE"),
		"another health check":               with(t, "compose.yaml", "interval: 60s", "interval: 61s"),
		"a label":                            with(t, "compose.yaml", "image: shop:1", "image: shop:1\n    labels: {a: b}"),
		"another user":                       with(t, "compose.yaml", "image: shop:1", "image: shop:1\n    user: nobody"),
		"another stop signal":                with(t, "compose.yaml", "image: shop:1", "image: shop:1\n    stop_signal: SIGINT"),
		"a file more in a tracked directory": merge(hashedFiles(), map[string]string{"conf/b.conf": ""}),
	} {
		t.Run(name, func(t *testing.T) {
			after := load(t, files)
			if hashOf(after, "web") == hashOf(before, "web") {
				t.Error("the service's hash did not change")
			}
			if after.Hash == before.Hash {
				t.Error("the project's hash did not change")
			}
			if hashOf(after, "db") != hashOf(before, "db") {
				t.Error("the hash of the other service changed")
			}
		})
	}
}

func merge(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func TestWhatIsDeclaredAndMakesNoContainerAnew(t *testing.T) {
	before := load(t, hashedFiles())
	for name, files := range map[string]map[string]string{
		"another image":            with(t, "compose.yaml", "shop:1", "shop:2"),
		"more replicas":            with(t, "compose.yaml", "8080:80\", \"9090:90\"]", "80\", \"90\"]\n    scale: 2"),
		"another dependency":       with(t, "compose.yaml", "depends_on: [db]", "depends_on: {db: {condition: service_healthy}}"),
		"another rollout":          with(t, "compose.yaml", "max_surge: 2", "max_surge: 3"),
		"another update_config":    with(t, "compose.yaml", "deploy: {", "deploy: {update_config: {delay: 1s}, "),
		"another setting":          with(t, "compose.yaml", "suspend: false", "suspend: true"),
		"another pull policy":      with(t, "compose.yaml", "image: shop:1", "image: shop:1\n    pull_policy: always"),
		"a label of the volume":    with(t, "compose.yaml", "volumes: {data: }", "volumes: {data: {labels: {a: b}}}"),
		"a driver of the network":  with(t, "compose.yaml", "networks: {front: }", "networks: {front: {internal: true}}"),
		"a service more":           with(t, "compose.yaml", "  db: {image: db:1}", "  db: {image: db:1}\n  new: {image: new}"),
		"an image of the other":    with(t, "compose.yaml", "db:1", "db:2"),
		"a volume that nobody has": with(t, "compose.yaml", "volumes: {data: }", "volumes: {data: , more: }"),
	} {
		t.Run(name, func(t *testing.T) {
			after := load(t, files)
			if name != "more replicas" && hashOf(after, "web") != hashOf(before, "web") {
				t.Error("the service's hash changed")
			}
			if after.Hash == before.Hash {
				t.Error("the project's hash did not change")
			}
		})
	}
}

func TestReplicasAreNoReasonToMakeAContainerAnew(t *testing.T) {
	few := load(t, one("services: {web: {image: web, scale: 2}}"))
	many := load(t, one("services: {web: {image: web, deploy: {replicas: 3}}}"))
	if hashOf(few, "web") != hashOf(many, "web") {
		t.Error("the service's hash changed")
	}
	if few.Hash == many.Hash {
		t.Error("the project's hash did not change")
	}
}

func TestSpellingDoesNotCount(t *testing.T) {
	before := load(t, hashedFiles())
	reordered := `
# a comment
configs:
  motd:
    content: "hello"
secrets: {key: {file: key}}
volumes: {data: {}}
networks: {front: {}}
x-anything: {else: 1}
services:
  db:
    image: db:1
    profiles: []
  web:
    x-davit: {max_surge: 2}
    depends_on: {db: {condition: service_started}}
    healthcheck: {interval: 1m, test: ok}
    deploy: {restart_policy: {condition: any}, resources: {limits: {pids: 10}}}
    cap_add: [SYS_TIME, NET_ADMIN]
    mem_reservation: 65536k
    ports:
      - {target: 90, published: "9090", protocol: tcp, mode: ingress}
      - "8080:80/tcp"
    configs: [{source: motd}]
    secrets: [{source: key, target: /run/secrets/key}]
    networks: {front: }
    volumes:
      - {type: volume, source: data, target: /data/}
      - {type: bind, source: ./work, target: /work}
      - {type: bind, source: conf, target: /conf, read_only: true}
    environment: ["B=two", A=1]
    command: serve
    image: shop:1
x-davit: {suspend: false}
name: shop
`
	files := merge(hashedFiles(), map[string]string{"compose.yaml": reordered})
	after := load(t, files)
	for _, s := range []string{"web", "db"} {
		if hashOf(after, s) != hashOf(before, s) {
			t.Errorf("the hash of %s changed", s)
		}
	}
	if after.Hash != before.Hash {
		for _, k := range slices.Sorted(maps.Keys(after.parts)) {
			if after.parts[k] != before.parts[k] {
				t.Errorf("%s changed", k)
			}
		}
		t.Error("the project's hash changed")
	}
}

func TestPlacesDoNotCount(t *testing.T) {
	here := load(t, hashedFiles())
	files := map[string]string{}
	for name, content := range hashedFiles() {
		files["deep/down/"+name] = content
	}
	root := write(t, files)
	o := options(root)
	o.DataDir = "/elsewhere"
	o.Variables = Variables{Commit: "other", Ref: "v9"}
	there, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	if here.Hash != there.Hash || hashOf(here, "web") != hashOf(there, "web") {
		t.Error("another directory, data directory or revision changed a hash")
	}
}

func TestARevisionCountsInImagesOnly(t *testing.T) {
	file := one(`
services:
  web:
    image: ${DAVIT_TAG:+registry/}web:${DAVIT_VERSION:-none}
    environment: {RELEASE: "${DAVIT_VERSION:-x}", COMMIT: "${DAVIT_COMMIT:?}"}
    labels: {version: "${FROM_ENV}"}
`)
	file[".env"] = "FROM_ENV=${DAVIT_VERSION}-${DAVIT_REF}\n"
	root := write(t, file)
	at := func(v Variables) *Project {
		o := options(root)
		o.Variables = v
		p, err := Load(t.Context(), find(t, root), o)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	tagged := at(Variables{Version: "1.0.0", Tag: "v1.0.0", Commit: "a", Ref: "main"})
	again := at(Variables{Version: "1.0.0", Tag: "v1.0.0", Commit: "b", Ref: "other"})
	bare := at(Variables{Commit: "c"})
	web, _ := tagged.Service("web")
	if got := *web.Config.Environment["RELEASE"] + *web.Config.Environment["COMMIT"] + web.Config.Labels["version"]; got != "1.0.0a1.0.0-main" {
		t.Errorf("the container gets %q", got)
	}
	if tagged.Hash != again.Hash {
		t.Error("a commit by itself changed the project's hash")
	}
	if hashOf(tagged, "web") != hashOf(bare, "web") {
		t.Error("a missing tag changed the service's hash")
	}
	if tagged.Hash == bare.Hash {
		t.Error("another image did not change the project's hash")
	}
	if web, _ := bare.Service("web"); web.Config.Image != "web:none" || bare.Unset != nil {
		t.Errorf("image %q, unset %v", web.Config.Image, bare.Unset)
	}
}

func TestARevisionIsMaskedInHostFilesToo(t *testing.T) {
	root := write(t, one("services: {a: {image: 'a:${TAG}', labels: {version: '${TAG}'}}}"))
	o := options(root)
	o.HostEnvFile = filepath.Join(t.TempDir(), "a.env")
	put(t, o.HostEnvFile, "TAG=${DAVIT_VERSION}\n")
	before, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Variables.Version = "2.0.0"
	after, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	if hashOf(before, "a") != hashOf(after, "a") || before.Hash == after.Hash {
		t.Error("a version changed the service's hash, or an image did not change the project's")
	}
}

func TestAnImageThatNeedsATagWaits(t *testing.T) {
	files := one("services: {a: {image: 'a:${DAVIT_VERSION:?needs a tag}', environment: {V: '[${DAVIT_TAG:?}]'}}, b: {image: 'b:${TAG}'}, c: {image: 'c:${DAVIT_COMMIT}${NOPE}', profiles: [off]}}")
	files[".env"] = "TAG=${DAVIT_TAG}\n"
	root := write(t, files)
	o := options(root)
	o.Variables = Variables{Ref: "main"}
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"DAVIT_TAG", "DAVIT_VERSION"}; !slices.Equal(p.Unset, want) {
		t.Errorf("unset %v, want %v", p.Unset, want)
	}
	a, _ := p.Service("a")
	if a.Config.Image != "a:${DAVIT_VERSION}" || *a.Config.Environment["V"] != "[]" {
		t.Errorf("image %q, environment %q", a.Config.Image, *a.Config.Environment["V"])
	}
	again(t, p)
}

func TestARevisionMustNotMoveData(t *testing.T) {
	for name, file := range map[string]string{
		"a volume's name":   "services: {a: {image: a, volumes: ['v:/v']}}\nvolumes: {v: {name: 'v-${DAVIT_COMMIT}'}}",
		"a network's name":  "services: {a: {image: a, networks: [n]}}\nnetworks: {n: {name: 'n-${DAVIT_REF}'}}",
		"a mount's source":  "services: {a: {image: a, volumes: ['/srv/${DAVIT_VERSION}:/v']}}",
		"an included file":  "include: ['${DAVIT_REF}.yaml']\nservices: {a: {image: a}}",
		"active profiles":   "services: {a: {image: a}, b: {image: b, profiles: [main]}}",
		"a number":          "services: {a: {image: a, scale: '${DAVIT_REF}'}}",
		"a file of secrets": "services: {a: {image: a, secrets: [s]}}\nsecrets: {s: {file: './${DAVIT_REF}.yaml'}}",
	} {
		t.Run(name, func(t *testing.T) {
			files := merge(one(file), map[string]string{"main.yaml": "services: {c: {image: c}}", ".env": "COMPOSE_PROFILES=${DAVIT_REF}\n"})
			root := write(t, files)
			o := options(root)
			if name == "a number" {
				o.Variables.Ref = "2"
			}
			if _, err := Load(t.Context(), find(t, root), o); err == nil {
				t.Fatal("it was accepted")
			}
		})
	}
}

func TestAHashNeedsTheKey(t *testing.T) {
	root := write(t, hashedFiles())
	o := options(root)
	mine, _ := Load(t.Context(), find(t, root), o)
	o.Key = []byte("another host's key")
	theirs, _ := Load(t.Context(), find(t, root), o)
	if mine.Hash == theirs.Hash || hashOf(mine, "web") == hashOf(theirs, "web") {
		t.Error("two hosts have the same hashes: whoever sees one could try passwords out")
	}
	for k, v := range mine.parts {
		if theirs.parts[k] == v {
			t.Errorf("%s is not keyed", k)
		}
	}
}

// The sums are those of Compose's own test of its algorithm, and of its release
// 5.6 on the same services.
func TestConfigHashIsComposes(t *testing.T) {
	replicas, a := 3, "1"
	s := types.ServiceConfig{Name: "web", Restart: "always", Deploy: &types.DeployConfig{Replicas: &replicas}}
	s.Image = "nginx:latest"
	s.Command = types.ShellCommand{"nginx", "-g", "daemon off;"}
	s.User, s.Tty, s.StdinOpen = "nobody", true, true
	s.Environment = types.MappingWithEquals{"A": &a, "B": nil}
	s.Labels = types.Labels{"com.example": "v"}
	s.Annotations = types.Mapping{"note": "x"}
	s.CapAdd = []string{"NET_ADMIN"}
	s.ExtraHosts = types.HostsList{"alpha": {"10.0.0.1"}}
	s.Ports = []types.ServicePortConfig{{Target: 80, Published: "8080", Protocol: "tcp"}}
	s.HealthCheck = &types.HealthCheckConfig{Test: types.HealthCheckTest{"CMD", "true"}}
	s.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Source: "data", Target: "/data"}}
	s.Networks = map[string]*types.ServiceNetworkConfig{"default": nil}
	configHash := func(s types.ServiceConfig) string {
		w, err := writtenAs(s)
		if err != nil {
			t.Fatal(err)
		}
		return w.sum(HashContext{})
	}
	got := configHash(s)
	if want := "75bc312132c71fac4971d123202631b6978ac9d796336621af744d46611b42a2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if s.Deploy.Replicas == nil {
		t.Error("hashing changed the service")
	}
	s.Scale, s.PullPolicy, s.Profiles = &replicas, "always", []string{"p"}
	s.DependsOn = types.DependsOnConfig{"db": {}}
	if more := configHash(s); more != got {
		t.Error("what Compose leaves out changed the hash")
	}
}
