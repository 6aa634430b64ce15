package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
)

// Hook is a command that StepHook runs in a container.
type Hook struct {
	Phase HookPhase
	// First is the container of HookPreStart; Index is its place in the file.
	First types.PreStartHook
	Index int
	// ServiceHook is the command of every other phase.
	types.ServiceHook
	// Timeout is how long it may take.
	Timeout time.Duration

	// What follows is for the phases of a release.

	// Count is how many hooks there are of the service and phase.
	Count int
	// Irreversible is true when what it does cannot be undone.
	Irreversible bool
	// Lost says what is known of a run that nobody can ask any more; "" for a hook that
	// is to be run, or whose run goes on.
	Lost string
	// Leftover is true for a run that an earlier release began: it is only waited for.
	Leftover bool
}

// HookPhase is when a hook is run.
type HookPhase int

const (
	// HookPostStart: after each start, before the gate. Its failure is the gate's.
	HookPostStart HookPhase = iota
	// HookPreStop: before each stop. Its failure does not keep the container running.
	HookPreStop
	// HookPreStart: a container of its own, before the first start of a service.
	HookPreStart
	// HookProbe: a probe's command, whose failure is an answer.
	HookProbe
	// HookPreDeploy: before anything of the service changes, once per release.
	HookPreDeploy
	// HookPostDeploy: once all services of a release are in service.
	HookPostDeploy
	// HookOnFailure: after a release that failed. Its own failure means nothing.
	HookOnFailure
)

func (p HookPhase) String() string {
	return [...]string{"post_start", "pre_stop", "pre_start", "probe", "pre_deploy", "post_deploy", "on_failure"}[p]
}

// OfRelease reports whether the hook belongs to a release, not to a start or stop of
// a container: it has a container of its own, which says whether it ran.
func (p HookPhase) OfRelease() bool {
	return p == HookPreDeploy || p == HookPostDeploy || p == HookOnFailure
}

// defaultGrace is Compose's stop_grace_period where none is declared.
const defaultGrace = 10 * time.Second

// preStart plans the containers that run to their end before the first container of
// u starts, once: s is that container, which has their volumes. Later starts of u
// wait for them, too.
func (p *planner) preStart(u *unit, s slot, after []int) []int {
	if !s.start || len(u.Config.PreStart) == 0 {
		return after
	}
	if len(u.first) > 0 {
		return slices.Concat(after, u.first)
	}
	for i, h := range u.Config.PreStart {
		after = []int{p.add(Step{Kind: StepHook, Service: u.Name, Replica: s.replica, Image: u.image, Create: Create{Peers: p.peers(u)},
			Hook:   Hook{Phase: HookPreStart, First: h, Index: i, Timeout: u.Settings.StartTimeout},
			Reason: hookText(HookPreStart, types.ServiceHook{Command: slices.Concat(h.Entrypoint, h.Command)})}, after...)}
	}
	u.first = after
	return after
}

// postStart plans the commands that come after the start of s, one after another.
// They are run again where an agent ended between the start and the gate: nobody
// knows how far they came.
func (p *planner) postStart(u *unit, s slot, after []int) []int {
	if !s.start && !p.unfinished(u, s) {
		return after
	}
	for _, h := range u.Config.PostStart {
		after = []int{p.add(Step{Kind: StepHook, Service: u.Name, Replica: s.replica,
			Hook:   Hook{Phase: HookPostStart, ServiceHook: h, Timeout: u.Settings.StartTimeout},
			Reason: hookText(HookPostStart, h)}, after...)}
	}
	return after
}

// unfinished reports whether the container of s runs and was not put into service
// yet, since it started: it gets its restart policy only then. A running standby was.
func (p *planner) unfinished(u *unit, s slot) bool {
	if s.from != nil && !p.desired.Ran[s.from.ID].Before(s.from.Started) {
		return false
	}
	return s.from != nil && s.from.Running() && s.from.Restart == "no" && (declaredRestart(u.Config) != "no" || !p.desired.Settled)
}

// preStop plans the commands that come before the stop of c, as they were declared
// when it was made.
func (p *planner) preStop(c Container, after []int) []int {
	if !c.Running() {
		return after
	}
	s, ok := p.madeFrom(c)
	if !ok {
		return after
	}
	grace := defaultGrace
	if s.StopGracePeriod != nil {
		grace = time.Duration(*s.StopGracePeriod)
	}
	for _, h := range s.PreStop {
		after = []int{p.add(Step{Kind: StepHook, Service: c.Service, Replica: replicaOf(c),
			Hook:   Hook{Phase: HookPreStop, ServiceHook: h, Timeout: max(grace, time.Second)},
			Reason: hookText(HookPreStop, h)}, after...)}
	}
	return after
}

// madeFrom is the service that c was made from, as far as anybody knows: of the
// project before, or of the one that is planned for.
func (p *planner) madeFrom(c Container) (types.ServiceConfig, bool) {
	var last types.ServiceConfig
	found := false
	for _, project := range []*compose.Project{p.desired.PreviousProject, p.project} {
		if project == nil {
			continue
		}
		s, ok := project.Service(c.Service)
		if ok && s.Hash == c.Spec {
			return s.Config, true
		}
		if ok {
			last, found = s.Config, true
		}
	}
	return last, found
}

// hookText names a command without what may be secret in it.
func hookText(phase HookPhase, h types.ServiceHook) string {
	words := slices.Clone([]string(h.Command))
	if len(words) > 1 {
		words = append(words[:1], "…")
	}
	return fmt.Sprintf("%s: %s", phase, strings.Join(words, " "))
}
