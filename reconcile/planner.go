package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"davit/compose"
)

// NewPlan compares what is desired with what is observed and returns the steps
// from one to the other. It is a pure function: no context, client, logger,
// clock or randomness, and equal arguments give equal plans.
//
// The error is a Stalled: the project asks for something that cannot be done
// safely, such as start-first on a volume with one writer. Or it is a Waiting, with ErrBudget
// for the budget; of a correction, what that forbids is left out as long as there is anything
// else to do.
func NewPlan(d Desired, o Observed, now time.Time) (Plan, error) {
	var short, notes []string
	var why error
	for {
		p := newPlanner(d, o, now)
		p.short = short
		plan, err := p.draft(o)
		switch {
		case d.Settled && errors.Is(err, ErrBudget):
			short, notes, why = append(short, p.lacking), append(notes, "not now: "+err.Error()), cmp.Or(why, err)
			continue
		case why != nil && err == nil && plan.Empty():
			return Plan{}, why
		}
		plan.Short, plan.Notes = why, append(plan.Notes, notes...)
		return plan, err
	}
}

func newPlanner(d Desired, o Observed, now time.Time) *planner {
	return &planner{
		desired:  d,
		project:  d.Project,
		now:      now,
		units:    map[string]*unit{},
		stopped:  map[string]int{},
		lain:     map[string]int{},
		removed:  map[string]bool{},
		owned:    o.ownedBy(d.Project.Name, d.Instance),
		others:   o.notOwnedBy(d.Project.Name, d.Instance),
		hooks:    o.hooksOf(d.Project.Name, d.Instance),
		networks: networksOf(o, d.Project.Name),
		apart:    o.Apart,
		edge:     o.Edge, answering: o.Answering,
		plan: Plan{
			Stack: d.Project.Name, From: d.From, To: d.To, Revision: d.Revision,
			Project: d.Project,
		},
	}
}

// draft plans everything but for what is short.
func (p *planner) draft(o Observed) (Plan, error) {
	if err := p.survey(o); err != nil {
		return Plan{}, err
	}
	if err := p.guard(o); err != nil {
		return Plan{}, err
	}
	p.foundation()
	p.awaitLeftovers()
	p.renew()
	p.services()
	p.retireUndeclared()
	p.settleRoutes()
	p.postDeploy()
	p.tidy()
	p.tidyHooks()
	p.pruneNetworks()
	p.plan.Irreversible = p.burnt()
	if p.refusal != nil {
		return Plan{}, p.refusal
	}
	if err := p.fund(); err != nil {
		return Plan{}, err
	}
	p.plan.Changes, p.plan.Gaps = p.changes(), p.gaps()
	if p.away() && slices.ContainsFunc(p.plan.Steps, func(s Step) bool { return s.Kind == StepShift || s.Kind == StepDrain }) {
		return Plan{}, &Waiting{Reason: p.edge.Away, After: 2 * time.Second}
	}
	if w := p.awaited(); w != nil {
		return Plan{}, w
	}
	return p.plan, nil
}

// planner is the work in progress on one plan.
type planner struct {
	desired Desired
	project *compose.Project
	now     time.Time
	owned   []Container
	// others are the stack's containers that somebody else made. They are left
	// alone, but their names are taken.
	others   []Container
	networks []Network
	// hooks are the containers of the hooks of the stack's releases; hooked are the last
	// steps of those that are planned.
	hooks  []Container
	hooked []int
	// leftovers are the steps that wait for hooks of earlier releases.
	leftovers []int
	// apart is Observed.Apart.
	apart string
	// units are the declared services; sequence is the order in which they are
	// planned, dependencies first.
	units    map[string]*unit
	sequence []string
	// base are the steps that every create waits for: all pulls, networks and
	// volumes, so that nothing has changed when one of them fails.
	base []int
	plan Plan
	// stopped is the step that stops a container, by its ID.
	stopped map[string]int
	// lain is the step after which a container is a running standby, by its ID.
	lain map[string]int
	// renewed are the networks that are made anew, by key.
	renewed map[string]Network
	// removed are the IDs of the containers that the plan removes.
	removed map[string]bool
	// edge is what the edge serves, nil where there is none.
	edge *EdgeTable
	// answering is Observed.Answering.
	answering time.Time
	// refusal is why there can be no plan.
	refusal error
	// short are the services that the budget leaves as they are, lacking one more of them.
	short   []string
	lacking string
	// implied are, for each step, all the steps that come before it.
	implied map[int]map[int]bool
}

// unit is one declared service and how it stands.
type unit struct {
	compose.Service
	image Image
	rules Replacement
	// edge are the host ports that the edge has.
	edge []compose.PublishedPort
	// waiting are the replicas that the edge is yet to be told of; shifted and freed are
	// true once a step tells it of the service, and to close what Docker is to have.
	waiting        []Replica
	shifted, freed bool
	// back are the steps that take the weight of a canary back which does not go on.
	back  []int
	fleet fleet
	// crew are the replicas of the new release so far, where its batches are judged.
	crew []Replica
	// ready are the steps after which the service is ready; empty when it is
	// ready now or needs no step.
	ready []int
	// started are the steps after which its containers run.
	started []int
	// last are the final steps of the service.
	last []int
	// leaves is the last of the steps that take its name from running standbys.
	leaves []int
	// lingers are the waits before its stops, by the steps that they come after.
	lingers map[string]int
	// carried are the volumes that containers to be created take over.
	carried []string
	// slots are the replicas that are not in service yet, once they are laid out.
	slots []slot
	laid  bool
	// first are the steps that come before any of its starts, before those that come
	// before anything of it changes.
	first, before []int
	// halted says why containers that are what is desired stop and start again, by ID.
	halted map[string]string
	// charged are the containers whose leaving the budget is asked for, by ID.
	charged map[string]bool
	// because is why containers that are what is desired are replaced all the same.
	because string
	// replaced are the containers that others took over from, by ID.
	replaced map[string]bool
	// networks are those in which probes reach its containers, by the engine's names.
	networks []string
}

// survey looks at every service before the first step is written.
func (p *planner) survey(o Observed) error {
	var order []string
	for _, s := range p.project.Services {
		image := p.desired.Images[s.Name]
		u := &unit{Service: s, image: image, halted: map[string]string{}, charged: map[string]bool{}}
		if err := p.assign(u); err != nil {
			return err
		}
		if err := p.reach(u); err != nil {
			return err
		}
		s, err := p.weighable(u)
		if err != nil {
			return err
		}
		rules, err := ReplacementOf(withoutPorts(s, u.edge), image, p.desired.Returning, p.borrowers(s.Name))
		if err != nil {
			return &Stalled{Reason: fmt.Sprintf("service %s", s.Name), Err: err}
		}
		if err := p.uncounted(u); err != nil {
			return err
		}
		if u.rules = rules; rules.StartFirst && len(u.edge) > 0 {
			u.rules.Reason += ", ports owned by " + p.edge.hands(u.edge)
		}
		if err := p.unable(u); err != nil {
			return err
		}
		p.units[s.Name] = u
		p.plan.ProgressTimeout = max(p.plan.ProgressTimeout, s.Settings.ProgressTimeout)
		order = append(order, s.Name)
	}
	p.sequence = p.sorted(order)
	if err := p.renewals(o); err != nil {
		return err
	}
	for _, name := range p.sequence {
		u := p.units[name]
		u.replaced = p.replacedOf(u)
		p.enrol(u)
	}
	return nil
}

// enrol sorts the containers of u, after those of the services that it depends on.
func (p *planner) enrol(u *unit) {
	if slices.Contains(p.short, u.Name) {
		p.leaveAlone(u)
		return
	}
	u.fleet = p.muster(u)
	for _, c := range p.others {
		if c.Service == u.Name {
			u.fleet.taken[c.Number] = true
		}
	}
	p.spareSurplus(u)
	// What serves worst goes first.
	slices.SortStableFunc(u.fleet.old, func(a, b Container) int { return cmp.Compare(p.worth(u, a), p.worth(u, b)) })
	for _, c := range u.fleet.current {
		if why := p.halt(u, c); why != "" {
			u.halted[c.ID] = why
		}
	}
}

// guard refuses what would lose data, before the first step is written.
func (p *planner) guard(o Observed) error {
	for _, name := range p.sequence {
		if err := p.guardHooks(p.units[name]); err != nil {
			return err
		}
		if err := p.guardData(p.units[name]); err != nil {
			return err
		}
	}
	if err := p.claim(o); err != nil {
		return err
	}
	return p.guardVolumes(o)
}

// sorted orders services so that each comes after what it waits for, and by tier
// and name where that leaves a choice.
func (p *planner) sorted(names []string) []string {
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(p.units[a].Tier, p.units[b].Tier), cmp.Compare(a, b))
	})
	var out []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if seen[name] || p.units[name] == nil {
			return
		}
		seen[name] = true
		for _, d := range p.units[name].DependsOn {
			visit(d.Service)
		}
		out = append(out, name)
	}
	for _, name := range names {
		visit(name)
	}
	return out
}

// add appends a step and returns its ID. Prerequisites that others imply are
// left out, for whoever reads the plan.
func (p *planner) add(s Step, after ...int) int {
	s.ID = len(p.plan.Steps) + 1
	implied := map[int]bool{}
	for _, id := range after {
		for before := range p.implied[id] {
			implied[before] = true
		}
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(after))) {
		if !implied[id] {
			s.After = append(s.After, id)
		}
		implied[id] = true
	}
	if p.implied == nil {
		p.implied = map[int]map[int]bool{}
	}
	p.implied[s.ID] = implied
	p.plan.Steps = append(p.plan.Steps, s)
	return s.ID
}

// note remarks on something that the plan leaves alone.
func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

// again asks for a new plan at t.
func (p *planner) again(t time.Time) {
	if p.plan.Next.IsZero() || t.Before(p.plan.Next) {
		p.plan.Next = t
	}
}

// foundation fetches and makes what the containers to be created need.
func (p *planner) foundation() {
	pulled := map[string]bool{}
	for _, name := range p.sequence {
		u := p.units[name]
		if u.fleet.missing == 0 || u.image.Local || pulled[u.image.Pinned()+u.image.Ref] {
			continue
		}
		pulled[u.image.Pinned()+u.image.Ref] = true
		step := Step{Kind: StepPull, Service: name, Image: u.image, Reason: p.pullReason(u)}
		if u.image.unbuilt() {
			step.Kind, step.Reason = StepBuild, p.buildReason(u)
		}
		p.base = append(p.base, p.add(step))
	}
	for _, key := range p.missingNetworks() {
		p.base = append(p.base, p.add(Step{Kind: StepNetwork, Resource: key, Reason: "declared, does not exist"}))
	}
	for _, key := range p.missingVolumes() {
		p.base = append(p.base, p.add(Step{Kind: StepVolume, Resource: key, Reason: "declared, not yet mounted by any container"}))
	}
}

func (p *planner) missingNetworks() []string {
	var keys []string
	for _, key := range sortedKeys(p.project.Model.Networks) {
		n := p.project.Model.Networks[key]
		exists := slices.ContainsFunc(p.networks, func(o Network) bool { return o.Name == n.Name })
		if !bool(n.External) && !exists && p.brings(func(s compose.Service) bool { return has(s.Config.Networks, key) }) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (p *planner) missingVolumes() []string {
	mounted := map[string]bool{}
	for _, c := range p.owned {
		for _, name := range c.Volumes {
			mounted[name] = true
		}
	}
	var keys []string
	for _, key := range sortedKeys(p.project.Model.Volumes) {
		v := p.project.Model.Volumes[key]
		if !bool(v.External) && !mounted[v.Name] && p.creates(func(s compose.Service) bool { return mountsVolume(s, key) }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// brings reports whether a service that fits has containers to create or to start.
func (p *planner) brings(fits func(compose.Service) bool) bool {
	for _, name := range p.sequence {
		if u := p.units[name]; u.fleet.missing+len(u.fleet.idle) > 0 && fits(u.Service) {
			return true
		}
	}
	return false
}

// creates reports whether a service that fits has containers to create.
func (p *planner) creates(fits func(compose.Service) bool) bool {
	for _, name := range p.sequence {
		if u := p.units[name]; u.fleet.missing > 0 && fits(u.Service) {
			return true
		}
	}
	return false
}

func mountsVolume(s compose.Service, key string) bool {
	for _, v := range s.Config.Volumes {
		if v.Type == "volume" && v.Source == key {
			return true
		}
	}
	return false
}

// barrier are the steps that must succeed before containers of u start: the
// conditions of depends_on, and readiness of every lower tier.
func (p *planner) barrier(u *unit) []int {
	after := slices.Concat(p.base, u.before)
	for _, d := range u.DependsOn {
		dep := p.units[d.Service]
		switch {
		case dep == nil:
		case !d.Required:
			// It goes first where it has something to do, and is not waited for otherwise.
			after = append(after, dep.ready...)
		case d.Condition == compose.ConditionStarted:
			after = append(after, dep.started...)
		default:
			after = append(after, p.readiness(dep)...)
		}
	}
	for _, name := range p.sequence {
		lower := p.units[name]
		if lower.Tier < u.Tier && !p.dependsOn(lower, u.Name) {
			after = append(after, p.readiness(lower)...)
		}
	}
	return after
}

// readiness are the steps after which u is ready. A service that needs no step
// but is not ready at this moment gets a gate on the container that it has.
func (p *planner) readiness(u *unit) []int {
	if len(u.ready) > 0 || u.OneShot {
		return u.ready
	}
	for _, c := range u.fleet.current {
		if c.Health == HealthStarting || c.Health == Unhealthy {
			gate := p.gate(u)
			gate.Bystander = true
			u.ready = append(u.ready, p.add(Step{
				Kind: StepGate, Service: u.Name, Replica: replicaOf(c), Gate: gate,
				Reason: "others wait for it: " + p.gateText(u),
			}, p.base...))
		}
	}
	return u.ready
}

// dependsOn reports whether u depends on the service called name, directly or
// through others.
func (p *planner) dependsOn(u *unit, name string) bool {
	for _, d := range u.DependsOn {
		if dep := p.units[d.Service]; d.Service == name || dep != nil && p.dependsOn(dep, name) {
			return true
		}
	}
	return false
}

func replicaOf(c Container) Replica {
	return Replica{Service: c.Service, Number: c.Number, ID: c.ID}
}
