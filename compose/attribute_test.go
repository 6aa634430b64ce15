package compose

import (
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
)

// refused are the attributes of a service that Compose knows and this version
// does not do. An attribute that Compose learns is in neither list: then this
// test fails until somebody decides.
var refused = []string{
	"models", "provider", "umask",
}

func TestEveryAttributeOfComposeIsDecided(t *testing.T) {
	table := newAttributes(strings.Fields(supported))
	for _, p := range schema.AttributePaths() {
		parts := p.Parts()
		if len(parts) == 3 && parts[0] == "services" {
			if table.has(parts) == slices.Contains(refused, parts[2]) {
				t.Errorf("%s is supported and refused at once, or neither", p)
			}
		}
	}
}

func TestEverySupportedAttributeIsOneOfCompose(t *testing.T) {
	known := knownAttributes()
	for _, line := range strings.Fields(supported) {
		line = strings.TrimSuffix(line, ".**")
		if !known.has(strings.Split(line, ".")) {
			t.Errorf("%s is not an attribute of Compose", line)
		}
	}
}

func TestUnsupportedAttributesAreRefusedByName(t *testing.T) {
	service := func(attribute string) string { return "services: {a: {image: a, " + attribute + "}}" }
	for name, c := range map[string]struct{ file, key string }{
		"build without image":    {"services: {a: {build: .}}", "services.a.build"},
		"a provider":             {"services: {a: {provider: {type: x}}}", "services.a.provider"},
		"pull_policy build":      {service("pull_policy: build"), "services.a.pull_policy"},
		"an external secret":     {service("secrets: [s]") + "\nsecrets: {s: {external: true}}", "secrets.s.external"},
		"a template driver":      {service("configs: [s]") + "\nconfigs: {s: {file: ./x, template_driver: golang}}", "configs.s.template_driver"},
		"models":                 {service("user: a") + "\nmodels: {m: {model: x}}", "models"},
		"jobs":                   {service("user: a") + "\njobs: {j: {image: x}}", "jobs"},
		"a disabled service's":   {service("profiles: [p], umask: 18") + "\n", "services.a.umask"},
		"an external config":     {service("configs: [c]") + "\nconfigs: {c: {external: true}}", "configs.c.external"},
		"a secret's driver":      {service("secrets: [s]") + "\nsecrets: {s: {file: ./x, driver: vault}}", "secrets.s.driver"},
		"a cluster's volume":     {service("volumes: [{type: cluster, source: x, target: /x}]"), "services.a.volumes[0]"},
		"a missing profile":      {service("security_opt: ['seccomp:./profile.json']"), "services.a.security_opt[0]"},
		"a profile elsewhere":    {service("security_opt: ['seccomp=../../profile.json']"), "services.a.security_opt[0]"},
		"a profile of no JSON":   {service("security_opt: ['seccomp=compose.yaml']"), "services.a.security_opt[0]"},
		"a test of no form":      {service("healthcheck: {test: [curl, x]}"), "services.a.healthcheck.test"},
		"two limits of CPUs":     {service("cpus: 1, deploy: {resources: {limits: {cpus: '2'}}}"), "services.a.cpus"},
		"a limit left out":       {service("cpus: 1, deploy: {resources: {limits: {memory: 1g}}}"), "services.a.cpus"},
		"two limits of memory":   {service("mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}"), "services.a.mem_limit"},
		"two reservations":       {service("mem_reservation: 1g, deploy: {resources: {reservations: {memory: 2g}}}"), "services.a.mem_reservation"},
		"two limits of PIDs":     {service("pids_limit: 1, deploy: {resources: {limits: {pids: 2}}}"), "services.a.pids_limit"},
		"a volume of no name":    {service("volumes: [v:/v]") + "\nvolumes: {v: {external: true, name: '${UNSET}'}}", "volumes.v.name"},
		"a network of no name":   {service("networks: [n]") + "\nnetworks: {n: {name: ''}}", "networks.n.name"},
		"a reserved label":       {service("labels: {davit.instance: mine}"), "services.a.labels.davit.instance"},
		"a tier of no number":    {service("labels: {startup.priority: first}"), "services.a.labels.startup.priority"},
		"a value for read_only":  {service("read_only: true, configs: [c]") + "\nconfigs: {c: {content: x}}", "services.a.configs[0]"},
		"a socket for read_only": {service("read_only: true, use_api_socket: true"), "services.a.use_api_socket"},
		"an unset secret":        {service("secrets: [s]") + "\nsecrets: {s: {environment: NOPE}}", "secrets.s.environment"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, one(c.file))
			_, err := Load(t.Context(), Stack{Name: "a", Dir: ".", Files: []string{"compose.yaml"}}, options(root))
			list := Problems(err)
			if !slices.ContainsFunc(list, func(p *Problem) bool { return p.Key == c.key && p.Line > 0 && p.File == "compose.yaml" }) {
				t.Errorf("no problem at %s: %v", c.key, err)
			}
		})
	}
}

func TestReferencesToNothing(t *testing.T) {
	root := write(t, one(`
services:
  a:
    image: a
    networks: [n]
    volumes: [vol:/v]
    configs: [c]
    secrets: [s]
    depends_on: [nobody, sleeper]
  b: {user: x}
  c: {image: c, network_mode: host, networks: {default: }}
  d: {image: d, tmpfs: [/x], volumes: [{type: tmpfs, target: /x}]}
  sleeper: {image: s, profiles: [p]}
`))
	_, err := Load(t.Context(), find(t, root), options(root))
	want := []string{
		"services.a.networks.n: network n is not declared", "services.a.volumes[0]: volume vol is not declared",
		"services.a.configs[0]: config c is not declared", "services.a.secrets[0]: secret s is not declared",
		"services.a.depends_on.nobody: depends on nobody, which is not declared",
		"services.a.depends_on.sleeper: depends on sleeper, whose profile is not active",
		"services.b: has no image", "services.c.network_mode: cannot stand beside networks",
		"services.d.volumes[0]: mounts /x, as does tmpfs[0]",
	}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("missing %q in\n%v", w, err)
		}
	}
	if n := len(Problems(err)); n != len(want) {
		t.Errorf("%d problems, want %d:\n%v", n, len(want), err)
	}
}

func TestWhatHasNoEffectIsNoted(t *testing.T) {
	p := load(t, merge(one(`
services:
  a:
    image: a
    build: .
    attach: false
    develop: {watch: [{path: ., action: rebuild}]}
    credential_spec: {registry: x}
    environment: {X: "${UNSET}"}
    secrets: [{source: s, mode: 0400}, u]
    depends_on: {b: {condition: service_started, required: false}}
    deploy:
      mode: global
      endpoint_mode: vip
      update_config: {failure_action: continue, max_failure_ratio: 0.5}
      placement: {constraints: [node.role == manager]}
      labels: {a: b}
      restart_policy: {delay: 1s}
      resources: {reservations: {cpus: "1", generic_resources: [{discrete_resource_spec: {kind: x, value: 1}}]}}
  b: {image: b, profiles: [p]}
secrets: {s: {file: ./s, labels: {a: b}, driver_opts: {a: b}}, u: {file: ./untracked}, unused: {environment: NOPE}}
`), map[string]string{"s": "s"}))
	want := []string{
		"services.a.environment.X", "services.a.build", "services.a.attach", "services.a.deploy.labels", "services.a.deploy.placement",
		"services.a.develop", "services.a.credential_spec", "services.a.deploy.mode", "services.a.deploy.endpoint_mode",
		"services.a.deploy.resources.reservations.generic_resources", "secrets.s.labels", "secrets.s.driver_opts",
		"services.a.deploy.restart_policy", "services.a.deploy.resources.reservations.cpus", "services.a.secrets[0]", "secrets.u.file",
	}
	var got []string
	for _, n := range p.Notes {
		got = append(got, n.Key)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("noted %v\nwant %v", got, want)
	}
	if s := p.Services[0]; s.Config.Build != nil || len(s.Config.DependsOn) != 0 || len(p.Services) != 1 {
		t.Errorf("%+v", s)
	}
}
