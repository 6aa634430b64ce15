package compose

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// namespaces judges what a container shares with the host or with a container of
// somebody else's.
func (j *judge) namespaces(key string, s types.ContainerSpec) {
	for _, n := range []struct {
		rule  Rule
		value string
		what  string
	}{
		{RuleNetworkMode, s.NetworkMode, "the host's network, or that of a container outside the stack: every local service is within reach, and so is whoever listens there without a password"},
		{RulePID, s.Pid, "processes outside the stack, which can be traced and killed"},
		{RuleIPC, s.Ipc, "shared memory outside the stack"},
		{RuleUTS, s.Uts, "the host's name"},
		{RuleUserNamespace, s.UserNSMode, "the users of the host: root in the container is root on the host"},
		{RuleCgroup, s.Cgroup, "the control groups of the host"},
	} {
		if !apart(n.value) {
			j.ask(n.rule, join(key, n.rule.String()), n.value, "%s: shares %s", n.value, n.what)
		}
	}
	if s.CgroupParent != "" {
		j.ask(RuleCgroupParent, key+".cgroup_parent", s.CgroupParent, "a control group that was not made for it: the limits of its own do not hold there")
	}
	for i, from := range s.VolumesFrom {
		if name, foreign := strings.CutPrefix(from, "container:"); foreign {
			name, _, _ = strings.Cut(name, ":")
			j.ask(RuleVolumesFrom, fmt.Sprintf("%s.volumes_from[%d]", key, i), name, "every mount of container %s, whoever that is: name a service of the stack", name)
		}
	}
}

// apart reports whether a namespace is the container's own or one of its stack.
// A container's name is never taken for the stack's, even if a service claims it:
// somebody else's may have it already, and would be joined.
func apart(mode string) bool {
	return slices.Contains([]string{"", "none", "private", "shareable", "bridge", "default", "disabled"}, mode) ||
		strings.HasPrefix(mode, "service:")
}

func (j *judge) devices(key string, s types.ContainerSpec) {
	for i, d := range s.Devices {
		j.ask(RuleDevices, fmt.Sprintf("%s.devices[%d]", key, i), d.Source, "device %s of the host", d.Source)
	}
	for i, r := range s.DeviceCgroupRules {
		j.ask(RuleDeviceCgroupRules, fmt.Sprintf("%s.device_cgroup_rules[%d]", key, i), r, "devices %s, which the container can make for itself", r)
	}
	j.deviceRequests(key+".gpus", s.Gpus)
}

// deviceRequests ask a device driver for its devices. The driver "cdi" gives
// whatever the host's CDI files describe.
func (j *judge) deviceRequests(key string, requests []types.DeviceRequest) {
	for i, r := range requests {
		at := fmt.Sprintf("%s[%d]", key, i)
		if r.Driver != "cdi" {
			j.ask(RuleGPUs, at, r.Driver, "devices of the host through its device driver")
			continue
		}
		for _, id := range r.IDs {
			j.ask(RuleDevices, at, id, "device %s of the host", id)
		}
	}
}

// security judges what weakens the walls around a container.
func (j *judge) security(key string, s types.ContainerSpec) {
	for i, o := range s.SecurityOpt {
		name, value, given := strings.Cut(strings.Replace(o, ":", "=", 1), "=")
		if !given {
			value = "true"
		}
		option := name + "=" + value
		j.ask(RuleSecurityOpt, fmt.Sprintf("%s.security_opt[%d]", key, i), option, "%s weakens what keeps the container in", o)
	}
	for i, g := range s.GroupAdd {
		if hostGroup(g) {
			j.ask(RuleGroupAdd, fmt.Sprintf("%s.group_add[%d]", key, i), g, "group %s, to which the host gives rights of its own", g)
		}
	}
	if s.UseAPISocket {
		j.ask(RuleEngineSocket, key+".use_api_socket", "", "the engine's socket: whoever can speak to the engine is root on the host")
	}
	if s.CredentialSpec != nil {
		j.ask(RuleCredentialSpec, key+".credential_spec", "", "an account of the host's domain")
	}
}

// hostGroup reports whether a group means something outside of containers: a
// system group by its number, or one of those that are as good as root.
func hostGroup(group string) bool {
	if id, err := strconv.Atoi(group); err == nil {
		return id < 1000
	}
	return slices.Contains([]string{"root", "docker", "disk", "sudo", "wheel", "adm", "shadow", "kmem", "lxd", "kvm", "libvirt", "systemd-journal", "tty"}, group)
}

// kernel judges what changes how the host's kernel and runtime treat a container.
func (j *judge) kernel(key string, s types.ContainerSpec) {
	for _, name := range slices.Sorted(maps.Keys(s.Sysctls)) {
		j.ask(RuleSysctls, key+".sysctls."+name, name, "kernel setting %s is not known to concern this container only", name)
	}
	for _, net := range slices.Sorted(maps.Keys(s.Networks)) {
		if n := s.Networks[net]; n != nil {
			j.endpointSysctls(fmt.Sprintf("%s.networks.%s.driver_opts", key, net), n.DriverOpts)
		}
	}
	if s.Runtime != "" {
		j.ask(RuleRuntime, key+".runtime", s.Runtime, "runtime %s: how strong its walls are is the host's business", s.Runtime)
	}
	if s.OomScoreAdj < 0 {
		j.ask(RuleOOMScoreAdj, key+".oom_score_adj", "", "when memory runs out the kernel kills the host's own services first")
	}
	if s.OomKillDisable {
		j.ask(RuleOOMKillDisable, key+".oom_kill_disable", "", "when memory runs out the kernel kills the host's own services instead")
	}
	if s.Logging != nil && s.Logging.Driver != "" {
		j.ask(RuleLogging, key+".logging.driver", s.Logging.Driver, "log driver %s makes the engine, as root, open sockets and files that its options name", s.Logging.Driver)
	}
}

// endpointSysctls finds the kernel settings in a driver option.
func (j *judge) endpointSysctls(key string, opts types.Options) {
	const option = "com.docker.network.endpoint.sysctls"
	for _, set := range strings.Split(opts[option], ",") {
		if name, _, ok := strings.Cut(set, "="); ok {
			j.ask(RuleSysctls, key+"."+option, strings.TrimSpace(name), "kernel setting %s is not known to concern this container only", name)
		}
	}
}
