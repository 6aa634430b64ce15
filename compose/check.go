package compose

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// check reports what is wrong with the stack as a whole: references to nothing,
// cycles, and values that Compose knows and this version does not do.
func (l *loading) check(r *rendering) {
	if !l.survey.broken {
		unsupported(r.tree, func(key string) {
			if !l.reported(key) {
				l.problem(key, errUnsupported)
			}
		})
	}
	all := r.model.AllServices()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := checker{service: all[name], model: r.model, edge: l.options.Edge, imageReported: l.reported("services." + name + ".image")}
		c.report = func(key, format string, args ...any) {
			l.problem(join("services."+name, key), fmt.Errorf(format, args...))
		}
		c.run()
	}
	l.checkObjects(r.model)
	l.checkNames(r)
	l.cycle(r.model.Services)
	if len(r.model.Services) == 0 && l.problems.empty() {
		l.problem("services", errors.New("no service is declared, or none of the active profiles"))
	}
}

func (l *loading) cycle(services types.Services) {
	if cycle := findCycle(services); cycle != nil {
		l.problem("services."+cycle[0]+".depends_on", fmt.Errorf("dependency cycle: %s", strings.Join(cycle, " -> ")))
	}
}

// reported is true for a key that a check of a single file has named already.
func (l *loading) reported(key string) bool {
	bare := func(k string) string { return strings.SplitN(k, "[", 2)[0] }
	return slices.ContainsFunc(l.problems.list, func(p *Problem) bool {
		return p.Key == key || strings.Contains(p.Key, "[") && bare(p.Key) == bare(key)
	})
}

// checkNames refuses a name that is empty, as one from an unset variable is:
// instead of it another network or volume would be used.
func (l *loading) checkNames(r *rendering) {
	for _, kind := range []string{"networks", "volumes"} {
		for _, key := range slices.Sorted(maps.Keys(below(r.tree, kind))) {
			if name, given := below(below(r.tree, kind), key)["name"]; given && text(name) == "" {
				l.problem(kind+"."+key+".name", errors.New("is empty"))
			}
		}
	}
}

// checkObjects looks at the configs and secrets that are used.
func (l *loading) checkObjects(m *types.Project) {
	for _, s := range m.Services {
		used := uses(s)
		for _, name := range used["secrets"] {
			if o, ok := m.Secrets[name]; ok {
				l.checkObject("secrets."+name, types.FileObjectConfig(o))
			}
		}
		for _, name := range used["configs"] {
			if o, ok := m.Configs[name]; ok {
				l.checkObject("configs."+name, types.FileObjectConfig(o))
			}
		}
	}
}

func (l *loading) checkObject(key string, o types.FileObjectConfig) {
	switch {
	case bool(o.External):
		l.problem(key+".external", errors.New("only a swarm keeps such objects: use file, environment or content"))
	case o.Driver != "":
		l.problem(key+".driver", errors.New("only a swarm has drivers of secrets and configs: use file, environment or content"))
	case o.TemplateDriver != "":
		l.problem(key+".template_driver", errors.New("only a swarm fills in templates"))
	case o.File == "" && o.Environment == "" && o.Content == "":
		l.problem(key, errors.New("has neither a file nor a value"))
	case o.Environment != "" && o.Content == "":
		l.problem(key+".environment", fmt.Errorf("variable %s is not set", o.Environment))
	}
}

// checker looks at one service.
type checker struct {
	service types.ServiceConfig
	model   *types.Project
	// edge is true where an edge may own host ports.
	edge bool
	// imageReported is true when a mistake in the image was reported.
	imageReported bool

	report func(key, format string, args ...any)
}

func (c checker) run() {
	switch {
	case c.service.Image != "":
	case c.imageReported:
		// Its variables are missing, which was said.
	case c.service.Build != nil:
		// Whether it can be built is found out when its context is read.
	default:
		c.report("", "has no image")
	}
	c.references()
	c.networks()
	c.mounts()
	c.replicas()
	c.values()
}

// references are to things that the stack declares.
func (c checker) references() {
	s := c.service
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if _, ok := c.model.Services[name]; ok {
			continue
		}
		_, disabled := c.model.DisabledServices[name]
		if s.DependsOn[name].Required || !disabled {
			what := "which is not declared"
			if disabled {
				what = "whose profile is not active"
			}
			if _, enabled := c.model.Services[s.Name]; enabled {
				c.report("depends_on."+name, "depends on %s, %s", name, what)
			}
		}
	}
	for i, use := range s.Configs {
		if _, ok := c.model.Configs[use.Source]; !ok {
			c.report(fmt.Sprintf("configs[%d]", i), "config %s is not declared", use.Source)
		}
	}
	for i, use := range s.Secrets {
		if _, ok := c.model.Secrets[use.Source]; !ok {
			c.report(fmt.Sprintf("secrets[%d]", i), "secret %s is not declared", use.Source)
		}
	}
}

func (c checker) networks() {
	s := c.service
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		if _, ok := c.model.Networks[name]; !ok {
			c.report("networks."+name, "network %s is not declared", name)
		}
	}
	if s.NetworkMode != "" && len(s.Networks) > 0 {
		c.report("network_mode", "cannot stand beside networks")
	}
}

func (c checker) mounts() {
	s := c.service
	targets := map[string]string{}
	claim := func(key, target string) {
		if other, ok := targets[target]; ok {
			c.report(key, "mounts %s, as does %s", target, other)
		}
		targets[target] = key
	}
	for i, t := range s.Tmpfs {
		target, _, _ := strings.Cut(t, ":")
		claim(fmt.Sprintf("tmpfs[%d]", i), target)
	}
	for i, v := range s.Volumes {
		key := fmt.Sprintf("volumes[%d]", i)
		claim(key, v.Target)
		switch v.Type {
		case types.VolumeTypeBind, types.VolumeTypeTmpfs, types.VolumeTypeImage:
		case types.VolumeTypeVolume:
			if _, ok := c.model.Volumes[v.Source]; v.Source != "" && !ok {
				c.report(key, "volume %s is not declared", v.Source)
			}
		default:
			c.report(key, "type %s: %w", v.Type, errUnsupported)
		}
	}
	if s.UseAPISocket && s.ReadOnly {
		c.report("use_api_socket", "credentials cannot be written into a read_only service")
	}
	for i, use := range s.Configs {
		o := c.model.Configs[use.Source]
		c.copied(fmt.Sprintf("configs[%d]", i), types.FileObjectConfig(o))
	}
	for i, use := range s.Secrets {
		o := c.model.Secrets[use.Source]
		c.copied(fmt.Sprintf("secrets[%d]", i), types.FileObjectConfig(o))
	}
}

// copied refuses what would have to be written into a container that cannot be
// written to.
func (c checker) copied(key string, o types.FileObjectConfig) {
	if c.service.ReadOnly && (o.Content != "" || o.Environment != "") {
		c.report(key, "a value cannot be written into a read_only service: use a file")
	}
}

func (c checker) replicas() {
	s := c.service
	n := s.GetScale()
	switch {
	case n < 0:
		c.report("scale", "must not be negative")
	case n > 1000:
		c.report("scale", "must not be more than 1000")
	case s.Scale != nil && s.Deploy != nil && s.Deploy.Replicas != nil && *s.Scale != *s.Deploy.Replicas:
		c.report("scale", "is %d and deploy.replicas is %d", *s.Scale, *s.Deploy.Replicas)
	}
	if n < 2 {
		return
	}
	if s.ContainerName != "" {
		c.report("container_name", "cannot be given to %d replicas: a container's name is unique", n)
	}
	for i, p := range s.Ports {
		width := portRange(p.Published)
		if width > 0 && width < n && !(c.edge && width == 1) && !balanced(s, p) {
			c.report(fmt.Sprintf("ports[%d]", i), "%d replicas cannot share the host port %s", n, p.Published)
		}
	}
}

// balanced reports whether a load balancer serves the port, so that Docker publishes
// it for no replica.
func balanced(s types.ServiceConfig, declared types.ServicePortConfig) bool {
	p, fixed := FixedPort(declared)
	block, _ := decodeServiceBlock(s.Extensions[extension]) // its mistakes are told elsewhere
	b, _ := block.ports.of(p)
	return fixed && b.Via == ViaBalancer
}

// portRange is how many host ports "8000-8010" offers; 0 when Docker chooses.
func portRange(published string) int {
	if published == "" || published == "0" {
		return 0
	}
	from, to, ok := strings.Cut(published, "-")
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if !ok || err1 != nil || err2 != nil {
		return 1
	}
	return high - low + 1
}

// values that Compose knows and this version does not do.
func (c checker) values() {
	s := c.service
	c.limits()
	if h := s.HealthCheck; h != nil && len(h.Test) > 0 && !slices.Contains([]string{"CMD", "CMD-SHELL", "NONE"}, h.Test[0]) {
		c.report("healthcheck.test", "must start with CMD, CMD-SHELL or NONE")
	}
	c.pulling()
	c.hooks()
	for key := range s.Labels {
		if strings.HasPrefix(key, "davit.") {
			c.report("labels."+key, "is reserved")
		}
	}
	if tier, ok := s.Labels[tierLabel]; ok {
		if _, err := strconv.Atoi(tier); err != nil {
			c.report("labels."+tierLabel, "must be a whole number, not %q", tier)
		}
	}
}
