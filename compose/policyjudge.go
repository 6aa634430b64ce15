package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// judge holds one rendered project against the policy.
type judge struct {
	policy *Policy
	stack  string
	model  *types.Project
	host   Host
	// home is the stack's own directory.
	home string
	// own reports whether davit chose the path, so that the rules about the
	// host's paths do not apply.
	own func(source string) bool
	// report is told each violation with the dotted path of its key.
	report func(key string, err error)
}

func newJudge(p *Policy, stack string, model *types.Project, host Host) *judge {
	return &judge{policy: p, stack: stack, model: model, host: host}
}

// ask reports a value that its rule does not allow. why says what it would do.
func (j *judge) ask(r Rule, key, value, why string, args ...any) {
	if !j.policy.grants(j.stack, r).allows(ruleOf(r).matching, value) {
		j.report(key, j.policy.violation(j.stack, r, value, fmt.Sprintf(why, args...)))
	}
}

// forbid reports what no policy can allow.
func (j *judge) forbid(r Rule, key, why string, args ...any) {
	j.report(key, &Violation{Rule: r, What: fmt.Sprintf(why, args...)})
}

// project judges everything that is declared.
func (j *judge) project() {
	for _, name := range slices.Sorted(maps.Keys(j.model.Services)) {
		s, key := j.model.Services[name], "services."+name
		j.container(key, s.ContainerSpec)
		j.workload(key, s.WorkloadSpec)
		j.hooks(key, s)
		if d := s.Deploy; d != nil && d.Resources.Reservations != nil {
			j.deviceRequests(key+".deploy.resources.reservations.devices", d.Resources.Reservations.Devices)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.model.Jobs)) {
		job := j.model.Jobs[name]
		j.container("jobs."+name, job.ContainerSpec)
		j.workload("jobs."+name, job.WorkloadSpec)
	}
	j.networks()
	j.volumes()
	for _, name := range slices.Sorted(maps.Keys(j.model.Configs)) {
		j.mountedFile("configs."+name+".file", j.model.Configs[name].File)
	}
	for _, name := range slices.Sorted(maps.Keys(j.model.Secrets)) {
		j.mountedFile("secrets."+name+".file", j.model.Secrets[name].File)
	}
}

// mountedFile is mounted read-only, so it is judged like such a bind.
func (j *judge) mountedFile(key, file string) {
	if file != "" {
		j.bind(key, file, true)
	}
}

func (j *judge) hooks(key string, s types.ServiceConfig) {
	for i, h := range s.PreStart {
		j.container(fmt.Sprintf("%s.pre_start[%d]", key, i), h.ContainerSpec)
	}
	for kind, hooks := range map[string][]types.ServiceHook{"post_start": s.PostStart, "pre_stop": s.PreStop} {
		for i, h := range hooks {
			if h.Privileged {
				j.ask(RulePrivileged, fmt.Sprintf("%s.%s[%d].privileged", key, kind, i), "true",
					"the command gets every right of the host's root")
			}
		}
	}
}

// container judges what a container is made of.
func (j *judge) container(key string, s types.ContainerSpec) {
	if s.Privileged {
		j.ask(RulePrivileged, key+".privileged", "true", "the container gets every right of the host's root")
	}
	for i, c := range s.CapAdd {
		j.ask(RuleCapAdd, fmt.Sprintf("%s.cap_add[%d]", key, i), capability(c), "capability %s", capability(c))
	}
	j.namespaces(key, s)
	j.devices(key, s)
	j.security(key, s)
	j.mounts(key, s)
	j.kernel(key, s)
	j.marks(key+".labels", s.Labels)
	for _, name := range slices.Sorted(maps.Keys(s.Annotations)) {
		j.ask(RuleAnnotations, key+".annotations."+name, name, "annotation %s: runtimes take orders from annotations, such as programs to run on the host", name)
	}
	if s.Image != "" {
		j.ask(RuleImages, key+".image", s.Image, "image %s is from a place that is not allowed", s.Image)
	}
	if user, _, _ := strings.Cut(s.User, ":"); user == "" || user == "root" || strings.Trim(user, "0") == "" {
		j.ask(RuleRootUser, key+".user", "root", "the container may run as root: name another user")
	}
}

// workload judges what services and jobs have besides their container.
func (j *judge) workload(key string, s types.WorkloadSpec) {
	j.ports(key+".ports", s.Ports)
	if s.Build != nil {
		j.build(key+".build", s.Build)
	}
}

// build judges what a build may do to the host, where building is allowed. That
// it is not is for whoever builds to say: an image that is there needs no build.
func (j *judge) build(key string, b *types.BuildConfig) {
	if !j.policy.AllowsBuild(j.stack) {
		return
	}
	if b.Privileged {
		j.ask(RulePrivileged, key+".privileged", "true", "the build gets every right of the host's root")
	}
	for i, e := range b.Entitlements {
		j.ask(RulePrivileged, fmt.Sprintf("%s.entitlements[%d]", key, i), e, "the build gets %s", e)
	}
	if b.Network != "" && b.Network != "none" && b.Network != "default" {
		j.ask(RuleNetworkMode, key+".network", b.Network, "the build runs in the network %s", b.Network)
	}
	j.marks(key+".labels", b.Labels)
}

func (j *judge) marks(key string, labels types.Labels) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if reservedLabel(name) {
			j.ask(RuleLabels, key+"."+name, name, "label %s is read as an order or a record by the engine, Compose or davit", name)
		}
	}
}

// reservedLabel reports whether engines, Compose or davit read the label as their
// own.
func reservedLabel(name string) bool {
	for _, prefix := range []string{"com.docker.", "io.docker.", "org.dockerproject.", "io.containerd.", "io.podman.", "io.kubernetes.", "davit."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// judge holds what is declared against the policy, in the paths that the files
// give.
func (l *loading) judge(r *rendering) {
	j := l.newJudge(r.model)
	j.own = func(source string) bool { _, inside := l.export.rel(source); return inside }
	j.project()
	for _, name := range slices.Sorted(maps.Keys(r.model.Services)) {
		if s := r.model.Services[name]; len(s.LabelFiles) > 0 {
			labels := types.Labels{}
			for k, v := range l.serviceLabels(s) {
				labels[k] = fmt.Sprint(v)
			}
			j.marks("services."+name+".labels", labels)
		}
	}
}

// judgePlaces holds the places that were chosen for relative paths against the
// policy.
func (l *loading) judgePlaces(p *Project) {
	j := l.newJudge(p.Model)
	j.home = p.WorkingDir
	j.own = j.stays
	j.sources()
}

func (l *loading) newJudge(model *types.Project) *judge {
	j := newJudge(l.options.Policy, l.stack.Name, model, Host{
		DataDir: l.options.DataDir, SecretsDir: l.options.Secrets.Dir, Socket: l.options.Socket, Resolve: ResolvePath,
	})
	j.report = l.problem
	return j
}
