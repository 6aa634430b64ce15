package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOrder(t *testing.T) {
	tier := func(n int) string { return fmt.Sprintf("labels: {startup.priority: '%d'}", n) }
	for name, c := range map[string]struct {
		services map[string]string
		want     string
	}{
		"all at once":                        {map[string]string{"a": "", "b": ""}, "[[a b]]"},
		"after what it depends on":           {map[string]string{"a": "depends_on: [b]", "b": "depends_on: [c]", "c": ""}, "[[c] [b] [a]]"},
		"tier after tier":                    {map[string]string{"a": tier(2), "b": tier(1), "c": "", "d": tier(-1)}, "[[d] [c] [b] [a]]"},
		"depends_on before tiers":            {map[string]string{"a": tier(1) + ", depends_on: [b]", "b": tier(2), "c": tier(2)}, "[[b] [a] [c]]"},
		"crossed dependencies of two tiers":  {map[string]string{"a": tier(1) + ", depends_on: [b]", "b": tier(2), "x": tier(1) + ", depends_on: [y]", "y": tier(2)}, "[[b y] [a x]]"},
		"a chain that pulls through a tier":  {map[string]string{"a": tier(1) + ", depends_on: [b]", "b": tier(3) + ", depends_on: [c]", "c": tier(5), "d": tier(2)}, "[[c] [b] [a] [d]]"},
		"a tier and a dependency, unrelated": {map[string]string{"a": tier(1), "b": "depends_on: [c]", "c": ""}, "[[c] [b] [a]]"},
	} {
		t.Run(name, func(t *testing.T) {
			file := "services:\n"
			for name, rest := range c.services {
				file += "  " + name + ": {image: x, " + rest + "}\n"
			}
			if got := fmt.Sprint(load(t, one(file)).Order()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestDependencies(t *testing.T) {
	p := load(t, one(`
services:
  web:
    image: a
    depends_on:
      db: {condition: service_healthy, restart: true}
      job: {condition: service_completed_successfully}
      extra: {condition: service_started, required: false}
      off: {condition: service_started, required: false}
  db: {image: a}
  job: {image: a, labels: {startup.priority: "-2"}}
  extra: {image: a}
  off: {image: a, profiles: [off]}
`))
	web, _ := p.Service("web")
	want := []Dependency{
		{"db", ConditionHealthy, true, true}, {"extra", ConditionStarted, false, false}, {"job", ConditionCompleted, true, false},
	}
	if !slices.Equal(web.DependsOn, want) {
		t.Errorf("got %v, want %v", web.DependsOn, want)
	}
	if job, _ := p.Service("job"); !job.OneShot || job.Tier != -2 {
		t.Errorf("%+v", job)
	}
	if got := p.Prerequisites("db"); !slices.Equal(got, []Dependency{{"job", ConditionReady, true, false}}) {
		t.Errorf("db waits for %v", got)
	}
	if got := p.Prerequisites("nobody"); got != nil {
		t.Errorf("a service that is not there waits for %v", got)
	}
}

func TestACycleIsNamed(t *testing.T) {
	root := write(t, one("services: {a: {image: a, depends_on: [b]}, b: {image: b, depends_on: [c]}, c: {image: c, depends_on: [b]}}"))
	_, err := Load(t.Context(), find(t, root), options(root))
	if err == nil || !strings.Contains(err.Error(), "services.b.depends_on: dependency cycle: b -> c -> b") {
		t.Errorf("got %v", err)
	}
}

// Whatever tiers and dependencies say, every service starts once, after all that
// it depends on, and nobody waits for a later tier.
func TestOrderHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "services")
		p := &Project{}
		for i := range n {
			s := Service{Name: string(rune('a' + i))}
			s.Config.Labels = map[string]string{tierLabel: fmt.Sprint(rapid.IntRange(-2, 2).Draw(t, "tier"))}
			for j := range i {
				if rapid.Bool().Draw(t, "depends") {
					s.DependsOn = append(s.DependsOn, Dependency{Service: string(rune('a' + j)), Required: true})
				}
			}
			p.Services = append(p.Services, s)
		}
		p.setTiers()
		wave := map[string]int{}
		for i, names := range p.Order() {
			for _, name := range names {
				if _, twice := wave[name]; twice {
					t.Fatalf("%s starts twice", name)
				}
				wave[name] = i
			}
		}
		for _, s := range p.Services {
			for _, d := range p.Prerequisites(s.Name) {
				if wave[d.Service] >= wave[s.Name] {
					t.Fatalf("%s does not wait for %s: %v", s.Name, d.Service, p.Order())
				}
			}
			for _, d := range s.DependsOn {
				if dep, _ := p.Service(d.Service); dep.Tier > s.Tier {
					t.Fatalf("%s of tier %d depends on %s of tier %d", s.Name, s.Tier, dep.Name, dep.Tier)
				}
			}
		}
		if len(wave) != n {
			t.Fatalf("%d of %d services start", len(wave), n)
		}
	})
}
