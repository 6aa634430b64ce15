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
	Source     string          `json:"source"`
	Version    string          `json:"version"`
	Revision   string          `json:"revision"`
	Sync       Sync            `json:"sync"`
	Health     Condition       `json:"health"`
	WaitingFor string          `json:"waiting_for"`
	Since      time.Time       `json:"since"`
	LastFetch  *time.Time      `json:"last_fetch"`
	LastError  string          `json:"last_error"`
	Services   []ServiceStatus `json:"services"`
}

// ServiceStatus is what `davit status` shows of one service.
type ServiceStatus struct {
	Name       string   `json:"name"`
	Desired    int      `json:"desired"`
	Ready      int      `json:"ready"`
	Image      string   `json:"image"`
	Containers []string `json:"containers"`
	// Stopped is how many of those that are missing an operator stopped.
	Stopped int `json:"stopped"`
}
