package testbed

import "time"

// Status is one stack of `davit status -o json`, as docs/json.md has it.
type Status struct {
	Name       string          `json:"name"`
	Version    string          `json:"version"`
	Revision   string          `json:"revision"`
	Sync       string          `json:"sync"`
	Health     string          `json:"health"`
	WaitingFor string          `json:"waiting_for"`
	Since      time.Time       `json:"since"`
	LastFetch  *time.Time      `json:"last_fetch"`
	LastError  string          `json:"last_error"`
	Services   []ServiceStatus `json:"services"`
	Recovery   Recovery        `json:"recovery"`
}

// Recovery is how long a stack takes to be back.
type Recovery struct {
	// MeanSeconds is 0 before the first.
	MeanSeconds   float64 `json:"mean_seconds"`
	Rollbacks     int     `json:"rollbacks"`
	AutoRollbacks int     `json:"auto_rollbacks"`
	Drills        int     `json:"drills"`
}

// ServiceStatus is one service of a Status.
type ServiceStatus struct {
	Name       string   `json:"name"`
	Desired    int      `json:"desired"`
	Ready      int      `json:"ready"`
	Image      string   `json:"image"`
	Containers []string `json:"containers"`
	Standby    int      `json:"standby"`
}
