package reconcile

import "time"

// Sync is how a stack stands against its source.
type Sync string

const (
	SyncSynced      Sync = "synced"
	SyncProgressing Sync = "progressing"
	SyncOutOfSync   Sync = "out-of-sync"
	SyncWaiting     Sync = "waiting"
	SyncStalled     Sync = "stalled"
	SyncHeld        Sync = "held"
	SyncPinned      Sync = "pinned"
	SyncSuspended   Sync = "suspended"
	SyncOrphaned    Sync = "orphaned"
	SyncUnadopted   Sync = "unadopted"
)

// Condition is how well a stack runs.
type Condition string

const (
	ConditionHealthy     Condition = "healthy"
	ConditionProgressing Condition = "progressing"
	ConditionDegraded    Condition = "degraded"
	ConditionUnhealthy   Condition = "unhealthy"
	ConditionUnknown     Condition = "unknown"
)

// StackStatus is what `davit status` shows of one stack.
type StackStatus struct {
	Name string `json:"name"`
	// Source is the name of the source that it belongs to; "" where there is only
	// one, and for a stack that no source ever declared.
	Source     string    `json:"source"`
	Version    string    `json:"version"`
	Revision   string    `json:"revision"`
	Sync       Sync      `json:"sync"`
	Health     Condition `json:"health"`
	WaitingFor string    `json:"waiting_for"`
	// Window is there where something new waits for its window.
	Window    *WindowStatus   `json:"window"`
	Since     time.Time       `json:"since"`
	LastFetch *time.Time      `json:"last_fetch"`
	LastError string          `json:"last_error"`
	Services  []ServiceStatus `json:"services"`
	// Recovery is how long the stack takes to be back.
	Recovery RecoveryStatus `json:"recovery"`
	// Drill is there from the order to hold one until the stack is back from it.
	Drill *DrillStatus `json:"drill"`
}

// DrillStatus is where a drill is.
type DrillStatus struct {
	// Phase is "ordered", "going" to the earlier release, or "returning".
	Phase string `json:"phase"`
	// Seq is the release that it visits, Since when it was ordered.
	Seq   int64     `json:"seq"`
	Since time.Time `json:"since"`
}

// ServiceStatus is what `davit status` shows of one service.
type ServiceStatus struct {
	Name       string   `json:"name"`
	Desired    int      `json:"desired"`
	Ready      int      `json:"ready"`
	Image      string   `json:"image"`
	Containers []string `json:"containers"`
	// Standby is how many containers of a release before run on, so as to be returned to
	// at once.
	Standby int `json:"standby"`
	// Stopped is how many of those that are missing an operator stopped.
	Stopped int `json:"stopped"`
	// Ports are its host ports.
	Ports []PortStatus `json:"ports"`
	// Draining are the containers that get nothing new and have not finished.
	Draining []DrainStatus `json:"draining"`
	// Ejected are the containers that the edge passes over for a while, since they fail.
	Ejected []EjectStatus `json:"ejected"`
	// Rollout is there while traffic goes from one release to the next a share at a time.
	Rollout *RolloutStatus `json:"rollout"`
	// Healing is there when the service has failed by itself within the last hour.
	Healing *HealingStatus `json:"healing"`
}

// PortStatus is who serves a host port.
type PortStatus struct {
	// Port is as a compose file has it, "80" or "127.0.0.1:53/udp".
	Port string `json:"port"`
	// Owner is "edge", "docker", the name of a load balancer, or "" while nobody has it.
	Owner string `json:"owner"`
	// Trouble is why nobody answers there, "" where somebody does.
	Trouble string `json:"trouble"`
}

// EjectStatus is why a container is passed over.
type EjectStatus struct {
	Replica   string `json:"replica"`
	Container string `json:"container"`
	Reason    string `json:"reason"`
}

// DrainStatus is what a container has left to do.
type DrainStatus struct {
	Replica   string    `json:"replica"`
	Container string    `json:"container"`
	Since     time.Time `json:"since"`
	// Until is when what is left is cut.
	Until    time.Time `json:"until"`
	Requests int64     `json:"requests"`
	Streams  int64     `json:"streams"`
}

// EdgeStatus is how the edge itself stands.
type EdgeStatus struct {
	// Away is why it does not answer, Blind why it cannot look at the engine; "" where it
	// does.
	Away  string `json:"away"`
	Blind string `json:"blind"`
	// Generation is that of its table.
	Generation int64 `json:"generation"`
}
