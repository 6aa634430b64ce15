package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// fleet is the containers of one service, sorted by what they are good for.
type fleet struct {
	// current run what is desired, or have completed it.
	current []Container
	// surplus would be current, were there not enough of them.
	surplus []Container
	// idle are stopped, would run what is desired, and are needed: standbys,
	// leftovers of a crash, replicas that exited.
	idle []Container
	// old run something else.
	old []Container
	// resting are running standbys.
	resting []Container
	// spare are stopped and not needed.
	spare []Container
	// parked are stopped because an operator wants it so, or because they failed by
	// themselves and are not to be started again now.
	parked []Container
	// missing is how many replicas have to be created.
	missing int
	// taken are the replica numbers in use.
	taken map[int]bool
}

// muster sorts the service's containers. It never looks at history beyond the
// set of containers that failed.
func (p *planner) muster(u *unit) fleet {
	f := fleet{taken: map[int]bool{}}
	for _, c := range p.owned {
		if c.Service != u.Name {
			continue
		}
		f.taken[c.Number] = true // one that is being removed has its name still
		if c.State == Removing {
			continue
		}
		alive := c.Running() || c.State == Restarting
		matches := !p.failed(c) && u.made(c) && !p.forsaken(u, c) && u.published(c)
		var ill *Ailment
		if matches {
			ill = p.treat(u, c)
		}
		switch {
		case matches && alive && ill != nil && ill.Replaced, matches && p.wornOut(c):
			f.old = append(f.old, c)
		case matches && (alive || u.completed(c)):
			f.current = append(f.current, c)
		case matches && ill != nil && !ill.Healed:
			f.parked = append(f.parked, c)
		case matches && c.State != Dead:
			f.idle = append(f.idle, c)
		case p.rests(u, c):
			f.resting = append(f.resting, c)
		case alive:
			f.old = append(f.old, c)
		default:
			f.spare = append(f.spare, c)
		}
	}
	f.enlist(u, p.desired)
	return f
}

// forsaken reports whether c, made from what is desired, has to be replaced all the
// same, because of a service that it refers to.
func (p *planner) forsaken(u *unit, c Container) bool {
	why := p.adrift(u, c)
	if by := updated(u.Config, c); by != "" && p.desired.Settled && why == "" {
		why = by
	}
	if again, ok := p.desired.Restarts[u.Name]; ok && c.Created.Before(again.before) {
		why = again.reason
	}
	if why == "" && (c.Running() || c.State == Restarting) {
		why = p.outrun(u, c)
	}
	u.because = cmp.Or(u.because, why)
	return why != ""
}

// enlist decides how many idle containers and new ones fill the open places.
func (f *fleet) enlist(u *unit, d Desired) {
	// What ran last is warm and proven: it goes first.
	slices.SortStableFunc(f.idle, func(a, b Container) int {
		return cmp.Or(b.Finished.Compare(a.Finished), cmp.Compare(a.Number, b.Number))
	})
	f.park(u, d)
	open := max(u.Replicas-len(f.current)-len(f.parked), 0)
	if u.OneShot && (len(f.current) > 0 || d.Returning || d.Completed[u.Name]) {
		open = 0
	}
	if d.stops(u.Name, "") {
		open = 0
	}
	use := min(open, len(f.idle))
	f.spare = append(f.spare, f.idle[use:]...)
	f.idle = f.idle[:use]
	f.missing = open - use
	byNumber := func(a, b Container) int { return cmp.Compare(a.Number, b.Number) }
	slices.SortStableFunc(f.current, byNumber)
	slices.SortStableFunc(f.old, byNumber)
}

// park leaves what an operator stopped as it is, in its place.
func (f *fleet) park(u *unit, d Desired) {
	var idle []Container
	for _, c := range f.idle {
		if d.stops(u.Name, c.ID) {
			f.parked = append(f.parked, c)
			continue
		}
		idle = append(idle, c)
	}
	f.idle = idle
}

// spareSurplus makes surplus of what is current beyond the declared number: first what
// is not in service, then the highest numbers. Nobody waits for those any more.
func (p *planner) spareSurplus(u *unit) {
	f := &u.fleet
	if u.OneShot || len(f.current) <= u.Replicas {
		return
	}
	rank := func(c Container) int {
		switch settled := p.settled(u, c); {
		case settled && (u.completed(c) || readyByItself(c) && c.Probed.Doomed == ""):
			return 0
		case settled:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(f.current, func(a, b Container) int { return cmp.Compare(rank(a), rank(b)) })
	f.surplus = slices.Clone(f.current[u.Replicas:])
	slices.Reverse(f.surplus)
	f.current = f.current[:u.Replicas]
}

// number hands out the lowest free replica number.
func (f *fleet) number() int {
	n := 1
	for f.taken[n] {
		n++
	}
	f.taken[n] = true
	return n
}

// published reports whether the edge has the ports of c that it is to have.
func (u *unit) published(c Container) bool { return slices.Equal(c.Edge, u.edgePorts()) }

// made reports whether c was made from what is desired now.
func (u *unit) made(c Container) bool {
	return c.Spec == u.Hash && u.image.ID != "" && c.ImageID == u.image.ID
}

// completed reports whether c has ended as it should: a one-shot, or a service
// that declares it is not to be restarted, that exited with code 0.
func (u *unit) completed(c Container) bool {
	return c.State == Exited && c.ExitCode == 0 && !c.Started.IsZero() && (u.OneShot || u.mayComplete() && !u.replaced[c.ID])
}

// replacedOf are the containers of a service that were stopped because others took over:
// many a program ends with code 0 when it is told to stop, which is not the end of its work. What
// ended before there was anything else did so by itself.
func (p *planner) replacedOf(u *unit) map[string]bool {
	out := map[string]bool{}
	for _, c := range p.owned {
		if c.Service != u.Name || c.State != Exited || c.ExitCode != 0 {
			continue
		}
		took := func(o Container) bool {
			return o.Service == c.Service && o.Release > c.Release && !o.Created.After(c.Finished) && (o.Spec != c.Spec || o.ImageID != c.ImageID)
		}
		out[c.ID] = c.Restart != declaredRestart(u.Config) || slices.ContainsFunc(p.owned, took) || p.supplanted(c)
	}
	return out
}

// supplanted reports whether c ended in an attempt at other content for its service, or in
// one that was to heal the service and has another container for it.
func (p *planner) supplanted(c Container) bool {
	newer := func(o Container) bool {
		return o.Service == c.Service && o.Release > c.Release && !o.Created.After(c.Finished)
	}
	return slices.ContainsFunc(p.desired.History, func(r Release) bool {
		if r.Kind == KindNoop || !c.endedIn(r) {
			return false
		}
		rec, _ := r.Service(c.Service)
		other := rec.Spec != c.Spec || rec.Image.ID != "" && rec.Image.ID != c.ImageID
		return other || r.Trigger == TriggerHealing && slices.ContainsFunc(p.owned, newer)
	})
}

// mayComplete is true for a service whose exit with code 0 is no fault: its
// restart policy says so explicitly. Compose's default, no policy at all, says
// nothing, and most services with it are meant to stay.
func (u *unit) mayComplete() bool {
	policy, _ := splitRestart(u.Config.Restart)
	return policy == "no" || policy == "on-failure"
}

// settled reports whether c needs nothing to be in service.
func (p *planner) settled(u *unit, c Container) bool {
	if u.completed(c) || slices.Contains(p.short, u.Name) {
		return true
	}
	if u.halted[c.ID] != "" {
		return false
	}
	if u.OneShot || !p.joined(u, c) || !p.serving(u, c) || c.Restart != declaredRestart(u.Config) {
		return false
	}
	return p.desired.Settled || p.untouched(u, c) || p.ready(u, c)
}

// untouched reports whether c belongs to the release before and is none of this
// one's business. Its health is not: what is deployed may well be the fix for it.
func (p *planner) untouched(u *unit, c Container) bool {
	before := p.desired.Previous
	if before == nil || before.Spec == p.project.Hash {
		return false
	}
	rec, ok := before.Service(u.Name)
	return ok && rec.Spec == u.Hash && rec.Image.Same(u.image) && slices.Contains(rec.Containers, c.ID)
}

// ready is the gate's condition, judged from one snapshot.
func (p *planner) ready(u *unit, c Container) bool {
	if c.State != Running {
		return false
	}
	if u.Settings.Probes.Declared() && declaredRestart(u.Config) == "no" {
		return false // no policy, given once the gate was passed, tells that it was
	}
	stable := p.now.Sub(c.Started) >= u.stableFor()
	return c.Health == Healthy || c.Health == HealthNone && stable
}

// worth is how much a running container is good for: 4 when callers reach it and
// it is ready as far as anybody knows.
func (p *planner) worth(u *unit, c Container) int {
	n := 0
	for _, good := range []bool{c.State == Running, c.Health == Healthy || c.Health == HealthNone, c.Probed.Doomed == "", p.joined(u, c)} {
		if good {
			n++
		}
	}
	return n
}

// joined reports whether c is known by its service's name in every network of
// the service.
func (p *planner) joined(u *unit, c Container) bool {
	if u.Config.NetworkMode != "" {
		return true
	}
	for key, n := range u.Config.Networks {
		e, ok := c.Endpoints[p.project.Model.Networks[key].Name]
		if !ok || n.ServiceNameAliasEnabled() && !slices.Contains(e.Aliases, u.Name) {
			return false
		}
	}
	return true
}

// stableFor is how long readiness must last: what is declared, else nothing
// where a health check, the image's own included, or a probe speaks for the container,
// and 5 s where none does.
func (u *unit) stableFor() time.Duration {
	switch {
	case u.Settings.StableForSet:
		return u.Settings.StableFor
	case u.hasHealthcheck(), u.Settings.Probes.Declared():
		return 0
	}
	return 5 * time.Second
}

func (u *unit) hasHealthcheck() bool {
	if h := u.Config.HealthCheck; h != nil && (h.Disable || len(h.Test) > 0) {
		return !h.Disable && h.Test[0] != "NONE"
	}
	return u.image.Healthcheck
}

func (p *planner) gate(u *unit) Gate {
	g := Gate{Kind: GateReady, StableFor: u.stableFor(), Timeout: u.Settings.StartTimeout, Progress: u.Settings.ProgressTimeout, MayComplete: u.mayComplete()}
	if u.OneShot {
		g.Kind, g.StableFor, g.Progress = GateCompleted, 0, 0
		return g
	}
	return u.probed(g)
}

func (p *planner) gateText(u *unit) string {
	within := " within " + brief(u.Settings.StartTimeout)
	switch {
	case u.OneShot:
		return "exits with code 0" + within
	case u.checks() != "" && u.stableFor() > 0:
		return fmt.Sprintf("%s, stable for %s%s", u.checks(), brief(u.stableFor()), within)
	case u.checks() != "":
		return u.checks() + within
	}
	return "running for " + brief(u.stableFor()) + within
}
