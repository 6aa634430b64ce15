package reconcile

import (
	"fmt"
	"strings"
	"time"

	"davit/compose"
)

// Plan is a directed acyclic graph of single actions towards one Desired. It is
// disposable: after a crash the next pass observes and plans anew.
type Plan struct {
	Stack              string
	From, To, Revision string
	Project            *compose.Project
	Steps              []Step
	// Opens are the host ports that nobody of the stack has yet. Whoever else has one
	// keeps the plan from being begun.
	Opens []HostPort
	// Blocked is why there is no plan at the moment, though something is declared
	// that does not run: an image is missing, say.
	Blocked string
	// Waits is what the plan waits for before it is carried out: its window. "" for
	// nothing.
	Waits string
	// Short is why some services are left as they are for now, though there is something to
	// do about them: the budget. nil for none.
	Short error
	// Notes say what the plan leaves alone and why.
	Notes []string
	// Changes is how many replicas of each service the rollout changes, those that it has
	// changed already included.
	Changes map[string]int
	// Gaps are the services that serve nobody for a moment while it is carried out, with why.
	Gaps map[string]string
	// ProgressTimeout is how long the execution may go without a step ending.
	ProgressTimeout time.Duration
	// Ailments are what is wrong of itself with replicas in service.
	Ailments []Ailment
	// Irreversible is true when an irreversible hook has been run since the last good
	// release: there is no way back.
	Irreversible bool
	// Next is the moment at which planning again would give another plan though
	// nothing else changed, such as the end of a standby; zero for never.
	Next time.Time
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Step is one action, which is one call to the engine or one wait. Its ID is its
// place in the plan, from 1.
type Step struct {
	ID int
	// After are the IDs of the steps that must have succeeded.
	After  []int
	Kind   StepKind
	Reason string

	// Service is the service that the step is for; "" for networks and volumes.
	Service string
	// Replica is the container that the step acts on.
	Replica Replica
	// Resource is the key of a network or volume, the name of a network to
	// remove or to leave, or the new name of a container.
	Resource string
	// Network is the ID of the network that StepPrune and StepUnmake remove, and of the
	// one that StepNetwork makes anew.
	Network string
	// Image is what StepPull fetches, StepBuild makes and StepCreate runs.
	Image Image
	// Create, Gate and Restart belong to the kinds that they are named for.
	Create  Create
	Gate    Gate
	Restart string
	// Hook is what StepHook runs.
	Hook Hook
	// Wait is the pause of StepDelay.
	Wait time.Duration
	// Clears is true where the step only ends what serves nobody.
	Clears bool
	// Budget is asked before the step begins.
	Budget Budget
	// Shift, Drain and Hold belong to the kinds that they are named for.
	Shift Shift
	Drain compose.Drain
	Hold  CanaryHold
}

// Replica is one container of a service. ID is empty for a container that an
// earlier step of the plan creates.
type Replica struct {
	Service string
	Number  int
	ID      string
}

func (r Replica) String() string { return fmt.Sprintf("%s/%d", r.Service, r.Number) }

// Create says what StepCreate makes beyond what the service declares.
type Create struct {
	// Name is the container's name at creation; Final is the one it ends with,
	// which differs while a fixed container_name is lent.
	Name, Final string
	// Alias is true when the container is known by its service's name at once.
	Alias bool
	// Carry are the volumes taken over from a predecessor, by path: anonymous
	// ones and those of the image's VOLUME instructions.
	Carry map[string]string
	// Ports is false when host ports are left out. Edge are the container's ports,
	// "8080/tcp", whose host ports are left out because the edge has them.
	Ports bool
	Edge  []string
	// Hook is the hook of a release that the container is for; zero for a replica.
	Hook HookMark
	// Peers are the containers, by service, that the new one refers to.
	Peers map[string][]PeerReplica
}

// PeerReplica is a container of another service, made or yet to be made.
type PeerReplica struct {
	Replica Replica
	// Name is the one it has, or will end with.
	Name string
}

// Gate says what StepGate and StepMonitor wait for.
type Gate struct {
	Kind GateKind
	// StableFor is how long readiness must last without interruption; for
	// GateMonitor, how long the watch lasts.
	StableFor time.Duration
	// Timeout counts from the container's start.
	Timeout time.Duration
	// Progress is how long the service may go without any replica becoming ready; 0 for
	// ever. It is a gate's of a service whose replicas are changed.
	Progress time.Duration
	// MayComplete accepts an exit with code 0 as success.
	MayComplete bool
	// Probes are made besides, in the first of Networks, by the engine's names, that the
	// container is in.
	Probes   compose.Probes
	Networks []string
	// Bystander is true for a container that the plan does not change and that others
	// wait for: that it does not become ready is no fault of what is deployed.
	Bystander bool
}

// GateKind is the condition of a gate.
type GateKind int

const (
	// GateReady: healthy where there is a health check, ready where there are probes,
	// running where there is neither, for StableFor.
	GateReady GateKind = iota
	// GateCompleted: exited with code 0.
	GateCompleted
	// GateMonitor: nothing bad happened for StableFor.
	GateMonitor
)

// StepKind is what a step does.
type StepKind int

const (
	StepPull StepKind = iota
	StepNetwork
	StepVolume
	StepCreate
	StepStart
	StepGate
	// StepJoin gives the container its service's name in every network.
	StepJoin
	// StepLeave takes that name from a container that nobody is to find: one that is to
	// start again, or a running standby.
	StepLeave
	// StepPolicy sets the container's restart policy and verifies it.
	StepPolicy
	StepStop
	StepRename
	StepRemove
	// StepDelay waits between batches.
	StepDelay
	// StepMonitor watches what is already in service.
	StepMonitor
	// StepPrune removes a network that is no longer declared.
	StepPrune
	// StepBuild makes a service's image. What an image declares, such as its volumes,
	// decides how it is deployed: after the builds a plan is made anew.
	StepBuild
	// StepUnplug takes a container out of a network.
	StepUnplug
	// StepUnmake removes a network that is made anew because its definition changed.
	StepUnmake
	// StepHook runs a command in a container.
	StepHook
	// StepShift makes the edge hand what is new to other containers. It has succeeded
	// once that holds for every connection and request that begins.
	StepShift
	// StepDrain has the edge hand nothing new to a container, and waits until nothing
	// is left there or the limits are over.
	StepDrain
	// StepHold leaves a canary at its weight until it may go on.
	StepHold
)

func (k StepKind) String() string {
	return [...]string{"pull", "network", "volume", "create", "start", "gate", "join", "leave", "policy",
		"stop", "rename", "remove", "delay", "monitor", "prune", "build", "unplug", "unmake", "hook", "shift", "drain", "hold"}[k]
}

// Mutates reports whether the step changes the engine or the edge, and does not
// merely wait.
func (k StepKind) Mutates() bool {
	return k != StepGate && k != StepDelay && k != StepMonitor && k != StepDrain && k != StepHold
}

// Target is what the step acts on, as the plan prints it.
func (s Step) Target() string {
	switch s.Kind {
	case StepHook, StepRemove:
		if s.Hook.Phase.OfRelease() {
			return s.Service
		}
	case StepPull:
		return s.Image.Short()
	case StepNetwork, StepVolume, StepPrune, StepUnmake:
		return s.Resource
	case StepDelay, StepBuild, StepShift, StepHold:
		return s.Service
	}
	return s.Replica.String()
}

// prerequisites is After as the plan prints it: "<-2,3".
func (s Step) prerequisites() string {
	if len(s.After) == 0 {
		return ""
	}
	return "<-" + strings.Trim(strings.ReplaceAll(fmt.Sprint(s.After), " ", ","), "[]")
}

// String is the plan in its golden form, without a trailing newline.
func (p Plan) String() string {
	var b strings.Builder
	b.WriteString(p.Heading())
	before, target := 0, 0
	for _, s := range p.Steps {
		before, target = max(before, len(s.prerequisites())), max(target, len(s.Target()))
	}
	for _, s := range p.Steps {
		line := fmt.Sprintf("  %-2d %-*s %-7s %-*s  %s", s.ID, before, s.prerequisites(), s.Kind, target, s.Target(), s.Reason)
		b.WriteString("\n" + strings.TrimRight(line, " "))
	}
	switch {
	case p.Blocked != "":
		b.WriteString("\n  not possible now: " + p.Blocked)
	case p.Waits != "":
		b.WriteString("\n  waits: " + p.Waits)
	case p.Empty():
		b.WriteString("\n  nothing to do")
	}
	for _, n := range p.Notes {
		b.WriteString("\n  note: " + n)
	}
	return b.String()
}

// Heading is the plan's first line.
func (p Plan) Heading() string {
	parts := []string{p.Stack}
	switch {
	case p.From != "" && p.To != "" && p.From != p.To:
		parts = append(parts, p.From+" -> "+p.To)
	case p.To != "":
		parts = append(parts, p.To)
	}
	if p.Revision != "" {
		parts = append(parts, p.Revision)
	}
	return strings.Join(parts, "  ")
}
