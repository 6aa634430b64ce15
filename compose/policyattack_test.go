package compose

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// attack is a stack that would be root on the host, and where the strict preset
// stops it.
type attack struct {
	// service is what service a has besides its image, file what stands beside
	// the services.
	service, file string
	key           string
	rule          Rule
	// at is what stands in the line that is reported.
	at string
}

func (a attack) stack() string {
	text := "services:\n  a:\n    image: a\n"
	for _, line := range strings.Split(a.service, "\n") {
		text += "    " + line + "\n"
	}
	return text + a.file + "\n"
}

// attacks are ways to become root on the host, or to get at what another stack
// or the host keeps.
func attacks() map[string]attack {
	const svc = "services.a."
	bind := func(volume string, rule Rule) attack {
		return attack{service: "volumes:\n  - " + volume, key: svc + "volumes[0]", rule: rule, at: strings.SplitN(volume, ":", 2)[0]}
	}
	volume := func(lines string, key string, rule Rule, at string) attack {
		return attack{service: "volumes: ['v:/v']", file: "volumes:\n  v:\n    " + strings.ReplaceAll(lines, "\n", "\n    "), key: "volumes.v." + key, rule: rule, at: at}
	}
	one := func(service, key string, rule Rule) attack {
		return attack{service: service, key: svc + key, rule: rule, at: strings.SplitN(service, ":", 2)[0]}
	}
	return map[string]attack{
		"every right":                                one("privileged: true", "privileged", RulePrivileged),
		"every right by a YAML merge":                {service: "<<: &x {privileged: true}", key: svc + "privileged", rule: RulePrivileged, at: "<<"},
		"all capabilities":                           one("cap_add: [ALL]", "cap_add[0]", RuleCapAdd),
		"mounting, as a capability":                  one("cap_add: [CHOWN, cap_sys_admin]", "cap_add[1]", RuleCapAdd),
		"loading kernel modules":                     one("cap_add: [SYS_MODULE]", "cap_add[0]", RuleCapAdd),
		"reading any file by its inode":              one("cap_add: [DAC_READ_SEARCH]", "cap_add[0]", RuleCapAdd),
		"tracing the host's processes":               {service: "cap_add: [SYS_PTRACE]\npid: host", key: svc + "pid", rule: RulePID, at: "pid"},
		"another container's processes":              one("pid: container:postgres", "pid", RulePID),
		"the host's network":                         one("network_mode: host", "network_mode", RuleNetworkMode),
		"another container's network":                one("network_mode: container:postgres", "network_mode", RuleNetworkMode),
		"a container's network under a name claimed": {service: "container_name: postgres\n<<: {network_mode: 'container:postgres'}", key: svc + "network_mode", rule: RuleNetworkMode, at: "<<"},
		"the host's network by a network's name":     {service: "networks: [n]", file: "networks:\n  n:\n    external: true\n    name: host", key: "networks.n.name", rule: RuleNetworkMode, at: "name: host"},
		"a container's network by a network's name":  {service: "networks: [n]", file: "networks:\n  n:\n    external: true\n    name: container:postgres", key: "networks.n.name", rule: RuleNetworkMode, at: "name: container"},
		"the host's shared memory":                   one("ipc: host", "ipc", RuleIPC),
		"the host's name":                            one("uts: host", "uts", RuleUTS),
		"the host's users":                           one("userns_mode: host", "userns_mode", RuleUserNamespace),
		"the host's control groups":                  one("cgroup: host", "cgroup", RuleCgroup),
		"a control group without limits":             one("cgroup_parent: /", "cgroup_parent", RuleCgroupParent),
		"the disk as a device":                       one("devices: ['/dev/sda:/dev/sda']", "devices[0]", RuleDevices),
		"the memory as a device":                     one("devices: ['/dev/mem']", "devices[0]", RuleDevices),
		"a CDI device":                               one("devices: ['vendor.com/class=all']", "devices[0]", RuleDevices),
		"any block device, made by itself":           one("device_cgroup_rules: ['b *:* rwm']", "device_cgroup_rules[0]", RuleDeviceCgroupRules),
		"the graphics card":                          one("gpus: all", "gpus[0]", RuleGPUs),
		"the graphics card by a reservation":         {service: "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", key: svc + "deploy.resources.reservations.devices[0]", rule: RuleGPUs, at: "deploy"},
		"no seccomp":                                 one("security_opt: [seccomp=unconfined]", "security_opt[0]", RuleSecurityOpt),
		"no AppArmor, the old way":                   one("security_opt: ['apparmor:unconfined']", "security_opt[0]", RuleSecurityOpt),
		"no SELinux":                                 one("security_opt: [label=disable]", "security_opt[0]", RuleSecurityOpt),
		"writable kernel settings":                   one("security_opt: [systempaths=unconfined]", "security_opt[0]", RuleSecurityOpt),
		"new privileges where the engine has none":   one("security_opt: ['no-new-privileges:false']", "security_opt[0]", RuleSecurityOpt),
		"a seccomp profile of its own":               one("security_opt: [seccomp=./all.json]", "security_opt[0]", RuleSecurityOpt),
		"the engine's socket":                        bind("/var/run/docker.sock:/s", RuleEngineSocket),
		"the engine's socket, read-only":             bind("/run/docker.sock:/s:ro", RuleEngineSocket),
		"the engine's socket, some other way round":  bind("/srv/../run/docker.sock:/s", RuleEngineSocket),
		"the directory of the engine's socket":       bind("/run:/r", RuleEngineSocket),
		"the socket of containerd":                   bind("/run/containerd:/r", RuleEngineSocket),
		"a user's engine":                            bind("/run/user/1000/docker.sock:/s", RuleEngineSocket),
		"an engine's socket as its own":              bind("/opt/engine/api:/s", RuleEngineSocket),
		"the engine's socket by Compose's switch":    one("use_api_socket: true", "use_api_socket", RuleEngineSocket),
		"the whole host":                             bind("/:/host", RuleDataDirectory),
		"the whole host, read-only":                  bind("/:/host:ro", RuleEngineSocket),
		"the host's passwords":                       bind("/etc:/e", RuleBind),
		"the local time, to be written":              bind("/etc/localtime:/etc/localtime", RuleBind),
		"root's keys":                                bind("/root/.ssh:/k", RuleBind),
		"everybody's home":                           bind("/home:/h:ro", RuleBind),
		"the kernel's settings":                      bind("/proc/sys/kernel:/k", RuleBind),
		"the hardware":                               bind("/sys:/s", RuleBind),
		"every device":                               bind("/dev:/dev", RuleBind),
		"the boot loader":                            bind("/boot:/b", RuleBind),
		"the engine's own files":                     bind("/var/lib/docker:/d", RuleBind),
		"jobs for cron":                              bind("/var/spool/cron:/c", RuleBind),
		"a bind in the long form":                    {service: "volumes:\n  - {type: bind, source: /etc, target: /e}", key: svc + "volumes[0]", rule: RuleBind, at: "/etc"},
		"a link to the outside":                      bind("/tmp/LINK:/l", RuleBind),
		"a link that leads nowhere yet":              bind("/tmp/DANGLING:/l", RuleBind),
		"mounting on the host":                       {service: "volumes:\n  - {type: bind, source: /etc/localtime, target: /e, read_only: true, bind: {propagation: rshared}}", key: svc + "volumes[0]", rule: RuleBindPropagation, at: "rshared"},
		"davit's data":                               bind("DATA/.:/d:ro", RuleDataDirectory),
		"davit's key":                                bind("DATA/host.key:/k:ro", RuleDataDirectory),
		"another stack's decrypted secret":           bind("SECRETS/x:/s:ro", RuleDataDirectory),
		"another stack's data":                       bind("DATA/stacks/other:/o", RuleDataDirectory),
		"what davit's data is in":                    bind("PARENT:/d", RuleDataDirectory),
		"what davit's data is in, to be read":        bind("PARENT:/d:ro", RuleBind),
		"davit's data behind a link":                 bind("/tmp/DATALINK:/d", RuleDataDirectory),
		"a bind as a volume":                         volume("driver_opts:\n  type: none\n  o: bind\n  device: /etc", "driver_opts.device", RuleBind, "device"),
		"a bind as a volume, among other options":    volume("driver_opts:\n  type: tmpfs\n  o: nosuid,rbind,ro\n  device: /root", "driver_opts.device", RuleBind, "device"),
		"the socket as a volume":                     volume("driver_opts:\n  type: none\n  o: bind\n  device: /run", "driver_opts.device", RuleEngineSocket, "device"),
		"davit's data as a volume":                   volume("driver_opts:\n  type: none\n  o: bind\n  device: DATA", "driver_opts.device", RuleDataDirectory, "device"),
		"the disk as a volume":                       volume("driver_opts:\n  type: ext4\n  device: /dev/sda1", "driver_opts", RuleVolumeMount, "driver_opts"),
		"an overlay of the host as a volume":         volume("driver_opts:\n  type: overlay\n  device: overlay\n  o: lowerdir=/etc,upperdir=/tmp/u,workdir=/tmp/w", "driver_opts", RuleVolumeMount, "driver_opts"),
		"a volume driver's own way":                  volume("driver: local-persist\ndriver_opts:\n  mountpoint: /etc", "driver", RuleVolumeDriver, "driver: local-persist"),
		"a path for a volume's name":                 volume("name: /etc", "name", RuleVolumeName, "name: /etc"),
		"another stack's volume":                     volume("name: shop_database", "name", RuleForeignVolumes, "name: shop_database"),
		"a volume that somebody made":                volume("external: true\nname: everything", "name", RuleForeignVolumes, "name: everything"),
		"another container's mounts":                 one("volumes_from: ['container:postgres:rw']", "volumes_from[0]", RuleVolumesFrom),
		"a secret from the host":                     {service: "secrets: [s]", file: "secrets:\n  s:\n    file: /etc/shadow", key: "secrets.s.file", rule: RuleBind, at: "file: /etc/shadow"},
		"a config from davit's data":                 {service: "configs: [c]", file: "configs:\n  c:\n    file: DATA/host.key", key: "configs.c.file", rule: RuleDataDirectory, at: "file: "},
		"the host's network card":                    {service: "networks: [n]", file: "networks:\n  n:\n    driver: macvlan\n    driver_opts: {parent: eth0}", key: "networks.n.driver", rule: RuleNetworkDriver, at: "driver: macvlan"},
		"building as root":                           one("build: {context: ., dockerfile_inline: FROM scratch}\npull_policy: build", "build", RuleBuild),
		"the port of the host's SSH":                 one("ports: ['22:22']", "ports", RulePorts),
		"a range over the host's ports":              one("ports: ['440-450:440-450']", "ports", RulePorts),
		"a program to run, as an annotation":         one("annotations: {run.oci.hooks.stdout: /x}", "annotations.run.oci.hooks.stdout", RuleAnnotations),
		"another project's label":                    one("labels: {com.docker.compose.project: shop}", "labels.com.docker.compose.project", RuleLabels),
		"another project's label, from a file":       {service: "label_file: labels.env", key: svc + "labels.io.containerd.x", rule: RuleLabels, at: ""},
		"davit's own label on a volume":              volume("labels:\n  davit.instance: x", "labels.davit.instance", RuleLabels, "davit.instance"),
		"where the kernel sends its dumps":           one("sysctls: {kernel.core_pattern: '|/x'}", "sysctls.kernel.core_pattern", RuleSysctls),
		"a kernel setting by the network":            {service: "networks: {default: {driver_opts: {com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.route_localnet=1}}}", key: svc + "networks.default.driver_opts.com.docker.network.endpoint.sysctls", rule: RuleSysctls, at: "networks"},
		"a runtime without walls":                    one("runtime: none-at-all", "runtime", RuleRuntime),
		"never to be killed":                         one("oom_score_adj: -1000", "oom_score_adj", RuleOOMScoreAdj),
		"never to be killed, the old way":            one("oom_kill_disable: true", "oom_kill_disable", RuleOOMKillDisable),
		"the engine's group":                         one("group_add: [docker]", "group_add[0]", RuleGroupAdd),
		"the disk's group by its number":             one("group_add: ['6']", "group_add[0]", RuleGroupAdd),
		"an account of the domain":                   one("credential_spec: {registry: x}", "credential_spec", RuleCredentialSpec),
		"a log driver that opens sockets":            one("logging: {driver: syslog, options: {syslog-address: 'unixgram:///x'}}", "logging.driver", RuleLogging),
		"a command with every right, after start":    one("post_start: [{command: x, privileged: true}]", "post_start[0].privileged", RulePrivileged),
		"a command with every right, before stop":    one("pre_stop: [{command: x, privileged: true}]", "pre_stop[0].privileged", RulePrivileged),
		"a first container with every right":         one("pre_start: [{image: i, privileged: true}]", "pre_start[0].privileged", RulePrivileged),
		"a first container with the host's files":    {service: "pre_start:\n  - image: i\n    volumes: ['/etc:/e']", key: svc + "pre_start[0].volumes[0]", rule: RuleBind, at: "/etc"},
	}
}

// scene is a host with links that lead to the wrong places.
type scene struct {
	root, data, socket string
	replace            *strings.Replacer
}

const secretsDir = "/run/davit-secrets"

func newScene(t testing.TB) scene {
	host := t.TempDir()
	s := scene{root: t.TempDir(), data: filepath.Join(host, "davit"), socket: "/opt/engine/api"}
	if err := os.Mkdir(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	for link, to := range map[string]string{"LINK": "/etc", "DANGLING": "/etc/davit-none/of/this", "DATALINK": s.data} {
		if err := os.Symlink(to, filepath.Join(links, link)); err != nil {
			t.Fatal(err)
		}
	}
	s.replace = strings.NewReplacer("SECRETS", secretsDir, "DATA/", s.data+"/", "device: DATA", "device: "+s.data, "PARENT", host,
		"/tmp/LINK", links+"/LINK", "/tmp/DANGLING", links+"/DANGLING", "/tmp/DATALINK", links+"/DATALINK")
	return s
}

func (s scene) load(t testing.TB, file string, p *Policy) (*Project, string, error) {
	file = s.replace.Replace(file)
	put(t, filepath.Join(s.root, "compose.yaml"), file)
	put(t, filepath.Join(s.root, "labels.env"), "io.containerd.x=y\n")
	o := options(s.root)
	o.DataDir, o.Socket, o.Policy, o.Secrets.Dir = s.data, s.socket, p, secretsDir
	loaded, err := Load(t.Context(), Stack{Name: "app", Dir: ".", Files: []string{"compose.yaml"}}, o)
	return loaded, file, err
}

// refusal is the problem of err that breaks the rule at the key.
func refusal(err error, key string, r Rule) *Problem {
	for _, p := range Problems(err) {
		if v := new(Violation); p.Key == key && errors.As(p, &v) && v.Rule == r {
			return p
		}
	}
	return nil
}

func TestWaysToBecomeRootAreRefusedUnderStrict(t *testing.T) {
	for name, a := range attacks() {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			_, file, err := s.load(t, a.stack(), NewPolicy(Strict))
			p := refusal(err, a.key, a.rule)
			if p == nil {
				t.Fatalf("%s is not refused at %s: %v", a.rule, a.key, err)
			}
			if p.File != "compose.yaml" || p.Line == 0 || !strings.Contains(strings.Split(file, "\n")[p.Line-1], s.replace.Replace(a.at)) {
				t.Errorf("%v: want the line of %q", p, a.at)
			}
			if text := p.Error(); !strings.Contains(text, "policy: "+a.rule.String()+": ") ||
				!strings.Contains(text, "to allow it, write `"+a.rule.String()+": ") && !strings.Contains(text, "no policy can allow it") {
				t.Errorf("%s\nsays neither the rule nor what allows it", text)
			}
		})
	}
	if n := len(attacks()); n < 40 {
		t.Errorf("%d attacks", n)
	}
}
