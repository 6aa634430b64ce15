package compose

import (
	"math"
	"time"
)

// Settings is the project's x-davit block.
type Settings struct {
	// Suspend stops every action on the stack, from within Git.
	Suspend bool
	// Prune removes services and networks that are no longer declared. Volumes
	// and whole stacks are never removed. Default true.
	Prune bool
	// Rollback is how far a failed release goes back. Default RollbackStack.
	Rollback RollbackScope
	// AllowDataMove is ServiceSettings.AllowDataMove for every service.
	AllowDataMove bool
	// Drift is what is done about what runs otherwise than the current release.
	Drift Drift
	// ImageWait is how long a missing image is merely waited for before the
	// stack is reported as stalled. Default 30 minutes.
	ImageWait time.Duration
	// DependsOn are other stacks, by name: a new content of this one is not begun
	// before each of them is synced and healthy. The list of stacks may add to it.
	DependsOn []string
	// Windows are when new content of the stack may go in. Default: always.
	Windows Windows
	// Drill is when the stack rehearses its rollback, and what that may risk. Default:
	// when an operator says so, and nothing.
	Drill Drill `json:",omitzero"`
}

// ServiceSettings is a service's x-davit block.
type ServiceSettings struct {
	Strategy Strategy
	// Canary belongs to StrategyCanary, and is nil for any other.
	Canary *Canary
	// Analysis judges each batch of an update, of any strategy but StrategyCanary, for
	// Update.Monitor before the next one. Default nil: only the containers are watched.
	Analysis *Analysis `json:",omitempty"`
	// ConcurrentWriters says that two containers may write this service's
	// volumes at once.
	ConcurrentWriters bool
	// AllowDataMove says that a writable mount may get another source: the service
	// will find other data than before.
	AllowDataMove bool
	// StableFor is how long a container must stay ready without interruption.
	// Default 0 with a health check or a probe, 5 s without one.
	StableFor time.Duration
	// StableForSet is false when StableFor is only the default, worked out from
	// the file alone: a health check that the image declares is not known here,
	// and whoever knows of one may take 0.
	StableForSet bool
	// StartTimeout is how long one container may take from its start to ready.
	// Default 2 minutes.
	StartTimeout time.Duration
	// ProgressTimeout is how long a rollout may go without any replica becoming
	// ready. Default 10 minutes.
	ProgressTimeout time.Duration
	// StandbyFor is how long the replaced containers are kept for an instant return.
	// Default 30 minutes.
	StandbyFor time.Duration
	// Standby is how they are kept. Default StandbyRunning with StrategyBlueGreen,
	// StandbyStopped with any other.
	Standby StandbyMode `json:",omitzero"`
	// MinAvailable is how many replicas stay ready whatever davit does to the others
	// of its own accord; percentages round up. Default 1, or what MaxUnavailable
	// leaves where that is less.
	MinAvailable Amount
	// MinAvailableSet is false when MinAvailable is only the default, which gives way
	// to what the file asks for.
	MinAvailableSet bool
	// Update rolls a new release out, Rollback rolls an earlier one back in.
	Update, Rollback Rolling
	// Probes are davit's own looks at a container. Default none.
	Probes Probes
	// Healing is what is done about containers that fail by themselves. Default: they are
	// replaced, or started again, up to 5 times an hour.
	Healing Healing `json:",omitzero"`
	// Hooks are commands of the service for the phases of a release. Default none.
	Hooks Hooks `json:",omitzero"`
}

// Rolling says how the replicas of one service are replaced. With OrderAuto the
// amounts are those of start-first.
type Rolling struct {
	Order Order
	// MaxSurge is how many replicas more than declared may run; percentages
	// round up.
	MaxSurge Amount
	// MaxUnavailable is how many declared replicas may be missing; percentages
	// round down.
	MaxUnavailable Amount
	// Parallel is how many are replaced together in either order, where just that is said:
	// with OrderAuto nobody knows yet which of the amounts it is. 0 where it is not said.
	Parallel Amount `json:",omitzero"`
	// Delay is waited between batches.
	Delay time.Duration
	// Monitor is how long new containers are watched after they joined before
	// the release counts as good. Default 10 s.
	Monitor time.Duration
	// OnFailure is what happens when more of the new containers fail than
	// MaxFailureRatio tolerates.
	OnFailure FailureAction
	// MaxFailureRatio is which part of the replicas that a rollout changes may fail,
	// from 0 to 1: what fails within it is replaced by another container. Default 0.
	MaxFailureRatio float32
}

// Amount is a number of replicas or a percentage of them.
type Amount struct {
	Value   int
	Percent bool
}

// Up resolves the amount against replicas, rounding a percentage up.
func (a Amount) Up(replicas int) int { return a.of(replicas, math.Ceil) }

// Down resolves the amount against replicas, rounding a percentage down.
func (a Amount) Down(replicas int) int { return a.of(replicas, math.Floor) }

func (a Amount) of(replicas int, round func(float64) float64) int {
	if !a.Percent {
		return a.Value
	}
	return int(round(float64(replicas) * float64(a.Value) / 100))
}

// Strategy is how a service goes from one release to the next.
type Strategy int

const (
	// StrategyRolling replaces replicas batch by batch.
	StrategyRolling Strategy = iota
	// StrategyRecreate stops every replica before the first new one starts.
	StrategyRecreate
	// StrategyCanary hands traffic over a share at a time.
	StrategyCanary
	// StrategyBlueGreen starts a whole second set of replicas and hands everything over
	// to it at once.
	StrategyBlueGreen
)

func (s Strategy) String() string {
	return [...]string{"rolling", "recreate", "canary", "blue-green"}[s]
}

// Order says whether a replica's successor starts before or after it stops.
type Order int

const (
	// OrderAuto lets the planner decide from what the service mounts and
	// publishes.
	OrderAuto Order = iota
	OrderStartFirst
	OrderStopFirst
)

func (o Order) String() string {
	return [...]string{"auto", "start-first", "stop-first"}[o]
}

// FailureAction is what happens when a release fails on a service.
type FailureAction int

const (
	// FailureRollback returns to the last good release and holds the content.
	FailureRollback FailureAction = iota
	// FailurePause holds the content and leaves everything where it is.
	FailurePause
	// FailureContinue replaces what fails by another container, however many fail,
	// and pauses when no replica has become ready for ProgressTimeout.
	FailureContinue
)

func (a FailureAction) String() string {
	return [...]string{"rollback", "pause", "continue"}[a]
}

// Drift is what is done about containers that are not what the current release
// made: removed, stopped, renamed, updated or disconnected by somebody else.
type Drift int

const (
	// DriftCorrect puts them right.
	DriftCorrect Drift = iota
	// DriftWarn reports them once.
	DriftWarn
	// DriftOff leaves them alone.
	DriftOff
)

func (d Drift) String() string {
	return [...]string{"correct", "warn", "off"}[d]
}

// RollbackScope is how much of a stack returns when one service fails.
type RollbackScope int

const (
	// RollbackStack returns every service that moved, those with writable data
	// that passed their own gate excepted.
	RollbackStack RollbackScope = iota
	// RollbackService returns only the service that failed.
	RollbackService
	// RollbackNone returns nothing.
	RollbackNone
)

func (s RollbackScope) String() string {
	return [...]string{"stack", "service", "none"}[s]
}
