package compose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
)

// tierLabel orders starts inside a stack.
const tierLabel = "startup.priority"

// Dependency is a service that another one waits for.
type Dependency struct {
	Service   string
	Condition Condition
	// Required is false where a dependency that does not come up is no reason to
	// give up.
	Required bool
	// Restart says that the dependent is restarted whenever davit replaces the
	// dependency.
	Restart bool
}

// Condition is what a dependent waits for.
type Condition int

const (
	// ConditionStarted: its container runs.
	ConditionStarted Condition = iota
	// ConditionHealthy: its health check passed.
	ConditionHealthy
	// ConditionCompleted: it ended with exit code 0.
	ConditionCompleted
	// ConditionReady: whatever counts as ready for it. A tier waits for this.
	ConditionReady
)

var conditions = [...]string{"service_started", "service_healthy", "service_completed_successfully", "ready"}

func (c Condition) String() string { return conditions[c] }

func parseCondition(s string) (Condition, error) {
	if i := slices.Index(conditions[:ConditionReady], s); i >= 0 {
		return Condition(i), nil
	}
	return 0, fmt.Errorf("must be one of the conditions of Compose, not %q", s)
}

// dependencies are the enabled services that s depends on, by name.
func dependencies(s types.ServiceConfig, enabled types.Services) ([]Dependency, error) {
	var list []Dependency
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if _, ok := enabled[name]; !ok {
			continue
		}
		d := s.DependsOn[name]
		condition, err := parseCondition(d.Condition)
		if err != nil {
			return nil, err
		}
		list = append(list, Dependency{Service: name, Condition: condition, Required: d.Required, Restart: d.Restart})
	}
	return list, nil
}

// findCycle is a cycle of depends_on, its first service repeated at its end, or
// nil.
func findCycle(services types.Services) []string {
	done := map[string]bool{}
	var path []string
	var visit func(name string) []string
	visit = func(name string) []string {
		if i := slices.Index(path, name); i >= 0 {
			return append(slices.Clone(path[i:]), name)
		}
		if done[name] {
			return nil
		}
		path = append(path, name)
		for _, next := range slices.Sorted(maps.Keys(services[name].DependsOn)) {
			if cycle := visit(next); cycle != nil {
				return cycle
			}
		}
		path = path[:len(path)-1]
		done[name] = true
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if cycle := visit(name); cycle != nil {
			return cycle
		}
	}
	return nil
}

// Prerequisites are all the services that the one called name waits for: those
// it depends on and, with ConditionReady, every service of an earlier tier.
func (p *Project) Prerequisites(name string) []Dependency {
	service, ok := p.Service(name)
	if !ok {
		return nil
	}
	list := slices.Clone(service.DependsOn)
	for _, other := range p.Services {
		known := slices.ContainsFunc(list, func(d Dependency) bool { return d.Service == other.Name })
		if !known && other.Tier < service.Tier {
			list = append(list, Dependency{Service: other.Name, Condition: ConditionReady, Required: true})
		}
	}
	slices.SortFunc(list, func(a, b Dependency) int { return cmp.Compare(a.Service, b.Service) })
	return list
}

// Order is the services in waves: each waits for services of earlier waves only.
func (p *Project) Order() [][]string {
	waiting := map[string][]Dependency{}
	for _, s := range p.Services {
		waiting[s.Name] = p.Prerequisites(s.Name)
	}
	var waves [][]string
	for len(waiting) > 0 {
		var wave []string
		for name, needs := range waiting {
			ready := !slices.ContainsFunc(needs, func(d Dependency) bool { _, open := waiting[d.Service]; return open })
			if ready {
				wave = append(wave, name)
			}
		}
		if len(wave) == 0 {
			// A cycle, which Load refuses. What is left goes last.
			wave = slices.Collect(maps.Keys(waiting))
		}
		slices.Sort(wave)
		for _, name := range wave {
			delete(waiting, name)
		}
		waves = append(waves, wave)
	}
	return waves
}

// setTiers gives each service its tier.
func (p *Project) setTiers() {
	at := map[string]*int{}
	for i := range p.Services {
		s := &p.Services[i]
		s.Tier, _ = strconv.Atoi(s.Config.Labels[tierLabel])
		at[s.Name] = &s.Tier
	}
	for changed := true; changed; {
		changed = false
		for _, s := range p.Services {
			for _, d := range s.DependsOn {
				if tier, ok := at[d.Service]; ok && *tier > *at[s.Name] {
					*tier, changed = *at[s.Name], true
				}
			}
		}
	}
}

// setOneShots marks the services whose completion others wait for.
func (p *Project) setOneShots() {
	for i := range p.Services {
		name := p.Services[i].Name
		p.Services[i].OneShot = slices.ContainsFunc(p.Services, func(s Service) bool {
			return slices.ContainsFunc(s.DependsOn, func(d Dependency) bool {
				return d.Service == name && d.Condition == ConditionCompleted
			})
		})
	}
}
