package reconcile

import (
	"slices"
	"time"

	"davit/compose"
)

// Attendant makes the lasting probes of containers, readiness and liveness, for as long as
// they serve, and examines those whose health the engine does not know yet.
type Attendant interface {
	// Attend says whom a snapshot of that moment has in service, which ends the probes of
	// all others, and returns what is known of them by ID. It does not wait for anything.
	// A snapshot older than the last one only asks.
	Attend(at time.Time, all []Attended) map[string]Probed
}

// Attended is a container in service with the probes that are made of it.
type Attended struct {
	Container Container
	Probes    compose.Probes
	// Networks are those in which it is reached, by the engine's names.
	Networks []string
}

// Probed is what the lasting probes have found of the present run of a container. The
// zero value says nothing against it.
type Probed struct {
	// Pending is true until its readiness is known.
	Pending bool
	// Unready is why it is to get nothing new: "readiness failed 3 times: …".
	Unready string
	// Doomed is why it has to be replaced: "liveness failed 3 times: …".
	Doomed string
}

// fit reports whether c can be handed something, as far as anybody knows. Docker's own
// health check is one more readiness probe.
func (c Container) fit() bool {
	return readyByItself(c) && c.Probed.Unready == "" && !c.Probed.Pending
}

// unfit reports whether c is known not to be ready, though it runs.
func (c Container) unfit() bool {
	return c.State == Running && (c.Health == Unhealthy || c.Probed.Unready != "")
}

// attended are the containers that the records have in service and that have lasting
// probes, or a health check that nobody has run since they started: after a start of the
// engine they would wait for its first look, and those who ask for them too. The caller
// holds l.mu.
func (l *Loop) attended(o Observed) []Attended {
	var out []Attended
	for _, name := range sortedKeys(l.stacks) {
		s := l.stacks[name]
		project := s.declaredBy(current(s.history))
		mine := o.ownedBy(name, l.Instance)
		lasting := func(service compose.Service) bool { return service.Settings.Probes.Lasting() && !service.OneShot }
		starting := func(c Container) bool { return c.Health == HealthStarting }
		if project == nil || !slices.ContainsFunc(project.Services, lasting) && !slices.ContainsFunc(mine, starting) {
			continue
		}
		p := recorded(s, project)
		p.networks, p.apart = networksOf(o, name), o.Apart
		for _, declared := range project.Services {
			u := &unit{Service: declared}
			if !lasting(declared) || p.reach(u) != nil {
				u.Settings.Probes = compose.Probes{}
			}
			for _, c := range mine {
				if c.Service == u.Name && (lasting(u.Service) || starting(c)) && p.reliedOn(u, c) {
					out = append(out, Attended{Container: c, Probes: u.Settings.Probes, Networks: u.networks})
				}
			}
		}
	}
	return out
}
