package compose

import "sync"

// Rule names one thing that a policy decides. It is the Compose attribute that
// asks for it, where there is one.
type Rule string

// The rules of a policy's file.
const (
	RulePrivileged        Rule = "privileged"
	RuleCapAdd            Rule = "cap_add"
	RuleNetworkMode       Rule = "network_mode"
	RulePID               Rule = "pid"
	RuleIPC               Rule = "ipc"
	RuleUTS               Rule = "uts"
	RuleUserNamespace     Rule = "userns_mode"
	RuleCgroup            Rule = "cgroup"
	RuleCgroupParent      Rule = "cgroup_parent"
	RuleDevices           Rule = "devices"
	RuleDeviceCgroupRules Rule = "device_cgroup_rules"
	RuleGPUs              Rule = "gpus"
	RuleSecurityOpt       Rule = "security_opt"
	RuleEngineSocket      Rule = "engine_socket"
	RuleBind              Rule = "bind"
	RuleBindPropagation   Rule = "bind_propagation"
	RuleVolumeDriver      Rule = "volume_driver"
	RuleVolumeMount       Rule = "volume_mount"
	RuleForeignVolumes    Rule = "foreign_volumes"
	RuleVolumesFrom       Rule = "volumes_from"
	RuleNetworkDriver     Rule = "network_driver"
	RuleBuild             Rule = "build"
	RulePorts             Rule = "ports"
	RuleLabels            Rule = "labels"
	RuleAnnotations       Rule = "annotations"
	RuleSysctls           Rule = "sysctls"
	RuleRuntime           Rule = "runtime"
	RuleOOMScoreAdj       Rule = "oom_score_adj"
	RuleOOMKillDisable    Rule = "oom_kill_disable"
	RuleGroupAdd          Rule = "group_add"
	RuleCredentialSpec    Rule = "credential_spec"
	RuleLogging           Rule = "logging"
	RuleImages            Rule = "images"
	RuleRootUser          Rule = "root_user"
)

// What no policy can allow has a name too.
const (
	// RuleDataDirectory keeps davit's own directory, its key and its socket from
	// being mounted.
	RuleDataDirectory Rule = "data_directory"
	// RuleVolumeName keeps a path from being passed off as a volume's name: the
	// engine would bind it.
	RuleVolumeName Rule = "volume_name"
)

func (r Rule) String() string { return string(r) }

// ruleEntry is how one rule works.
type ruleEntry struct {
	// strict is what the strict preset allows.
	strict grant
	// matching is how the items of a list are read; without one the rule is a
	// switch.
	matching matching
}

// ruleTable is every rule that a policy's file may name, and the strict preset.
// docs/policy.md gives the reasons.
var ruleTable = sync.OnceValue(func() map[Rule]ruleEntry {
	none, everything := grant{}, grant{all: true}
	some := func(items ...string) grant { return grant{items: items} }
	word, path := words(), paths()
	return map[Rule]ruleEntry{
		RulePrivileged: {none, matching{}},
		RuleCapAdd: {some("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
			"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"), capabilities()},
		RuleNetworkMode:       {none, word},
		RulePID:               {none, word},
		RuleIPC:               {none, word},
		RuleUTS:               {none, word},
		RuleUserNamespace:     {none, word},
		RuleCgroup:            {none, word},
		RuleCgroupParent:      {none, word},
		RuleDevices:           {none, devicePaths()},
		RuleDeviceCgroupRules: {none, exactly()},
		RuleGPUs:              {none, matching{}},
		RuleSecurityOpt:       {some("no-new-privileges=true", "apparmor=docker-default", "seccomp=builtin"), word},
		RuleEngineSocket:      {none, matching{}},
		RuleBind: {some("/etc/localtime:ro", "/etc/timezone:ro", "/usr/share/zoneinfo:ro", "/etc/ssl/certs:ro",
			"/usr/share/ca-certificates:ro"), path},
		RuleBindPropagation: {some("private", "rprivate", "slave", "rslave"), word},
		RuleVolumeDriver:    {some("local"), word},
		RuleVolumeMount:     {some("tmpfs"), word},
		RuleForeignVolumes:  {none, word},
		RuleVolumesFrom:     {none, word},
		RuleNetworkDriver:   {some("bridge"), word},
		RuleBuild:           {none, matching{}},
		RulePorts:           {some("80", "443", "1024-65535"), ports()},
		RuleLabels:          {none, word},
		RuleAnnotations:     {none, word},
		RuleSysctls: {some("kernel.shm_rmid_forced", "net.core.somaxconn", "net.ipv4.ip_local_port_range",
			"net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range",
			"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_*", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies",
			"net.ipv4.tcp_wmem"), word},
		RuleRuntime:        {some("runc"), word},
		RuleOOMScoreAdj:    {none, matching{}},
		RuleOOMKillDisable: {none, matching{}},
		RuleGroupAdd:       {none, word},
		RuleCredentialSpec: {none, matching{}},
		RuleLogging:        {some("json-file", "local", "journald", "none"), word},
		RuleImages:         {everything, images()},
		RuleRootUser:       {everything, matching{}},
	}
})

func ruleOf(r Rule) ruleEntry { return ruleTable()[r] }
