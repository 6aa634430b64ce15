package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
)

// services plans every service. Where hooks come before a deploy, what they need goes
// first, then they, and then the rest: when one fails nothing else has changed.
func (p *planner) services() {
	needed, hooked := map[string]bool{}, false
	for _, name := range p.sequence {
		if u := p.units[name]; p.pending(u, HookPreDeploy) {
			hooked = true
			p.need(u, needed)
		}
	}
	for _, name := range p.sequence {
		if u := p.units[name]; hooked && needed[name] {
			p.preDeploy(u)
			p.service(u)
		}
	}
	for _, name := range p.sequence {
		if u := p.units[name]; hooked && !needed[name] {
			p.preDeploy(u)
		}
	}
	p.base = append(p.base, p.hooked...)
	for _, name := range p.sequence {
		if !needed[name] {
			p.service(p.units[name])
		}
	}
}

// need adds the services that have to be ready before u starts, and what those need.
func (p *planner) need(u *unit, needed map[string]bool) {
	for _, d := range p.project.Prerequisites(u.Name) {
		if dep := p.units[d.Service]; dep != nil && !needed[d.Service] {
			needed[d.Service] = true
			p.need(dep, needed)
		}
	}
}

// preDeploy plans what is run before anything of u changes. Of several services the
// hooks are run one after another: two migrations at once help nobody.
func (p *planner) preDeploy(u *unit) {
	if !p.pending(u, HookPreDeploy) {
		return
	}
	u.before = p.hooksOf(u, HookPreDeploy, slices.Concat(p.barrier(u), p.hooked))
	p.hooked = u.before
}

// postDeploy plans what is run once every service is as it is to be.
func (p *planner) postDeploy() {
	after := p.end()
	for _, name := range p.sequence {
		after = p.hooksOf(p.units[name], HookPostDeploy, after)
	}
}

// hooksOf plans the hooks of u of that phase, one after another, and returns what
// comes last.
func (p *planner) hooksOf(u *unit, phase HookPhase, after []int) []int {
	if !p.deploys(u) {
		return after
	}
	for _, h := range p.declaredHooks(u, phase) {
		step, again := p.hook(u, h)
		if !again {
			continue
		}
		after = []int{p.add(step, slices.Concat(after, p.leftovers)...)}
	}
	return after
}

// pending reports whether a hook of u of that phase has something left to do.
func (p *planner) pending(u *unit, phase HookPhase) bool {
	return p.deploys(u) && slices.ContainsFunc(p.declaredHooks(u, phase), func(h Hook) bool { _, again := p.hook(u, h); return again })
}

// declaredHooks are those of the phase that are run in a plan of this kind.
func (p *planner) declaredHooks(u *unit, phase HookPhase) []Hook {
	var out []Hook
	for _, h := range releaseHooks(u.Service, phase) {
		if !p.desired.Returning || h.onRollback {
			out = append(out, h.Hook)
		}
	}
	return out
}

type declaredHook struct {
	Hook
	onRollback bool
}

// releaseHooks are the hooks of a service of one phase.
func releaseHooks(s compose.Service, phase HookPhase) []declaredHook {
	list := map[HookPhase][]compose.ReleaseHook{
		HookPreDeploy: s.Settings.Hooks.PreDeploy, HookPostDeploy: s.Settings.Hooks.PostDeploy, HookOnFailure: s.Settings.Hooks.OnFailure,
	}[phase]
	var out []declaredHook
	for i, h := range list {
		out = append(out, declaredHook{onRollback: h.OnRollback, Hook: Hook{
			Phase: phase, Index: i, Count: len(list), Timeout: h.Timeout, Irreversible: h.Irreversible,
			ServiceHook: types.ServiceHook{Command: h.Run},
		}})
	}
	return out
}

// deploys reports whether the release changes u: hooks belong to a change, not to the
// correction of drift, to another number of replicas, or to another service's change.
func (p *planner) deploys(u *unit) bool {
	d := p.desired
	switch {
	case d.Settled || u.Replicas == 0:
		return false
	case u.OneShot && (d.Returning || d.Completed[u.Name]):
		return false // it is not run, so nothing of it changes
	case d.Previous == nil:
		return true
	}
	rec, ok := d.Previous.Service(u.Name)
	return !ok || rec.Spec != u.Hash || !rec.Image.Same(u.image) ||
		d.Returning && u.fleet.missing+len(u.fleet.idle)+len(u.fleet.old) > 0
}

// hook is the step that runs h, or goes on with a run of it; again is false when it
// has been run. What is on the container says so, and the journal where that is gone.
func (p *planner) hook(u *unit, h Hook) (step Step, again bool) {
	step = Step{Kind: StepHook, Service: u.Name, Replica: Replica{Service: u.Name}, Image: u.image, Hook: h, Reason: h.text(),
		Create: Create{Peers: p.peers(u), Carry: p.lend(u)}}
	for _, c := range p.hooks {
		if !p.runs(u, h, c) {
			continue
		}
		if c.State == Exited && c.ExitCode == 0 && !c.Started.IsZero() && !h.Overran(c) && !c.StopByHand {
			return step, false
		}
		step.Replica.ID = c.ID
		step.Reason += fmt.Sprintf("; begun by release #%d", c.Release)
		return step, true
	}
	run, known := p.journalled(u, h)
	if known && !run.Succeeded {
		step.Hook.Lost = run.lost()
		step.Reason += "; " + step.Hook.Lost
	}
	return step, !known || !run.Succeeded
}

// Overran reports whether the run of h in c took longer than it may. Then it was stopped,
// and many a program answers that with code 0.
func (h Hook) Overran(c Container) bool { return c.Finished.Sub(c.Started) >= h.Timeout }

// runs reports whether c is a run of h by this release.
func (p *planner) runs(u *unit, h Hook, c Container) bool {
	return c.Service == u.Name && p.desired.Attempts[c.Release] && c.Hook.same(h.Mark()) && c.State != Removing &&
		(u.image.ID == "" || c.ImageID == u.image.ID)
}

// journalled is the run of h by this release that the journal knows of. What was run in
// another image, which a tag meant before, is no run of this one's.
func (p *planner) journalled(u *unit, h Hook) (HookRun, bool) {
	for _, run := range p.desired.HookRuns {
		for seq := range p.desired.Attempts {
			if run.Container == HookContainer(p.project.Name, u.Name, h, seq) && !p.ranOther(u, seq) {
				return run, true
			}
		}
	}
	return HookRun{}, false
}

// ranOther reports whether release seq is known to have had another image of u.
func (p *planner) ranOther(u *unit, seq int64) bool {
	r := bySeq(p.desired.History, seq)
	if r == nil {
		return false
	}
	rec, ok := r.Service(u.Name)
	return ok && rec.Image.other(u.image)
}

// lost says what is known of a run that did not succeed and whose container is gone.
func (r HookRun) lost() string {
	if r.Failure != "" {
		return "it failed: " + r.Failure
	}
	return "it was begun, its container is gone, and nobody knows how it ended: it is not run again unasked"
}

// lend are the unnamed volumes of a container of u, by path, which its hook has, too.
func (p *planner) lend(u *unit) map[string]string {
	out := map[string]string{}
	for _, c := range slices.Concat(u.fleet.old, u.fleet.current) {
		for _, path := range p.unnamed(u) {
			if name := c.Volumes[path]; name != "" && out[path] == "" {
				out[path] = name
			}
		}
	}
	return out
}

// guardHooks refuses hooks that would write what a container of their service writes
// at the same time: of new content all, those too that this release does not run, or the
// next one were refused on their account. A way back is kept from nothing by hooks that it
// does not run.
func (p *planner) guardHooks(u *unit) error {
	switch d := p.desired; {
	case !u.Settings.Hooks.Declared() || u.Settings.ConcurrentWriters || u.Replicas == 0 || d.Settled:
		return nil
	case d.Returning && !p.pending(u, HookPreDeploy) && !p.pending(u, HookPostDeploy):
		return nil
	}
	where := writableMount(u.Service, u.image)
	if where == "" {
		return nil
	}
	return &Stalled{Reason: "service " + u.Name, Err: WithHint(
		fmt.Errorf("its hooks would write %s while its own container does", where),
		"set x-davit.concurrent_writers: true if both may write it at once, mount it read_only, or give the command a service of its own without that mount")}
}

// awaitLeftovers waits for hooks that an earlier release began and that still run, so
// that no two releases are at work at once. Nothing that served before waits for them, be
// it on its way back or held up: they are seen to beside it. Only hooks of its own do.
func (p *planner) awaitLeftovers() {
	if p.desired.Settled || p.desired.Returning && !p.hooksAhead() {
		return
	}
	for _, c := range p.hooks {
		if c.Running() && c.Hook.Phase != HookOnFailure && !p.wanted(c) {
			p.leftovers = append(p.leftovers, p.add(leftover(c)))
		}
	}
	if !p.desired.Returning {
		p.base = append(p.base, p.leftovers...)
	}
}

// hooksAhead reports whether hooks of any service are left to be run.
func (p *planner) hooksAhead() bool {
	return slices.ContainsFunc(p.sequence, func(name string) bool {
		u := p.units[name]
		return p.pending(u, HookPreDeploy) || p.pending(u, HookPostDeploy)
	})
}

// wanted reports whether c is a run of a hook that this plan is about.
func (p *planner) wanted(c Container) bool {
	u := p.units[c.Service]
	return u != nil && p.deploys(u) && slices.ContainsFunc(p.declaredHooks(u, c.Hook.Phase), func(h Hook) bool { return p.runs(u, h, c) })
}

// hookKept is how long the container of a hook is kept after a release that was cut
// off: the next attempt may be that release's, and reads there that the hook ran.
const hookKept = time.Hour

// tidyHooks removes the containers of hooks whose release has ended.
func (p *planner) tidyHooks() {
	for _, c := range p.hooks {
		until := c.Finished.Add(hookKept)
		switch {
		case c.Running() || c.State == Removing || c.Hook.Phase == HookOnFailure || p.wanted(c):
			continue
		case p.desired.Attempts[c.Release] && p.now.Before(until):
			p.again(until)
			continue
		}
		p.add(Step{Kind: StepRemove, Service: c.Service, Replica: Replica{Service: c.Service, ID: c.ID}, Hook: Hook{Phase: c.Hook.Phase},
			Reason: fmt.Sprintf("%s %d of release #%d has ended", c.Hook.Phase, c.Hook.Index+1, c.Release)}, p.end()...)
	}
}

// burnt reports whether an irreversible hook was begun since the last good release.
func (p *planner) burnt() bool {
	if p.desired.Settled {
		return false
	}
	since := int64(0)
	if p.desired.Previous != nil {
		since = p.desired.Previous.Seq
	}
	return slices.ContainsFunc(p.hooks, func(c Container) bool {
		return c.Hook.Irreversible && c.Release > since && !c.Started.IsZero()
	}) || slices.ContainsFunc(p.desired.HookRuns, func(r HookRun) bool { return r.Irreversible })
}

// text is the hook as a plan prints it, without what may be secret in it.
func (h Hook) text() string {
	words := []string(h.Command)
	shown := words[0]
	if len(words) > 1 {
		shown += " …"
	}
	text := fmt.Sprintf("%s %d/%d: %s, within %s", h.Phase, h.Index+1, h.Count, shown, brief(h.Timeout))
	if h.Irreversible {
		text += ", " + irreversible
	}
	return text
}

// attempts are the attempts at the content of spec that were cut off, the newest ones
// of the history: to a hook they and the next attempt are one release. Of what is only
// held up no attempt goes on; what the newest left is kept for the next.
func attempts(history []Release, v Verdict, spec string) map[int64]bool {
	out := map[int64]bool{}
	for _, r := range history {
		switch {
		case r.Kind == KindNoop || r.Kind == KindDriftFix:
			continue
		case !r.Running() && !r.cutOff():
			return out
		case v.Act != ActKeep && (r.Kind != v.Kind || r.Spec != spec):
			return out
		}
		out[r.Seq] = true
	}
	return out
}

// since are the releases after the current one that may have run hooks, the newest
// first.
func since(history []Release, current *Release) []int64 {
	var out []int64
	for _, r := range history {
		if current != nil && r.Seq <= current.Seq {
			break
		}
		if r.Kind != KindNoop && r.Kind != KindDriftFix {
			out = append(out, r.Seq)
		}
	}
	return out
}

// hookOutput joins what hooks said, by service.
func hookOutput(before, more string) string {
	switch {
	case before == "":
		return more
	case more == "":
		return before
	}
	return before + "\n" + more
}

// withHooks adds what the hooks of each service said to the record.
func (r *Release) withHooks(said map[string]string) {
	for i := range r.Services {
		rec := &r.Services[i]
		rec.Logs = hookOutput(said[rec.Name], rec.Logs)
	}
}
