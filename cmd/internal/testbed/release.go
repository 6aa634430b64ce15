package testbed

import (
	"fmt"
	"strings"
	"time"
)

// Release is one entry of `davit history STACK -o json`, as docs/json.md has it.
type Release struct {
	Seq      int64     `json:"seq"`
	Kind     string    `json:"kind"`
	Version  string    `json:"version"`
	Revision string    `json:"revision"`
	Commit   string    `json:"commit"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason"`
	Trigger  string    `json:"trigger"`
	Actor    string    `json:"actor"`
	Restores int64     `json:"restores"`
	Started  time.Time `json:"started"`
	// RollbackOf is the release that this one left.
	RollbackOf int64      `json:"rollback_of"`
	Finished   *time.Time `json:"finished"`
	// RecoverySeconds is 0 for what is no way back.
	RecoverySeconds float64           `json:"recovery_seconds"`
	Services        []ReleasedService `json:"services"`
}

// ReleasedService is what one release ran for one service.
type ReleasedService struct {
	Name       string   `json:"name"`
	Image      string   `json:"image"`
	Digest     string   `json:"digest"`
	ImageID    string   `json:"image_id"`
	Containers []string `json:"containers"`
}

// Service returns what the release ran for a service; zero when it had none.
func (r Release) Service(name string) ReleasedService {
	for _, s := range r.Services {
		if s.Name == name {
			return s
		}
	}
	return ReleasedService{}
}

func (r Release) String() string {
	outcome := r.Outcome
	if outcome == "" {
		outcome = "running"
	}
	s := fmt.Sprintf("#%d %s %s %s", r.Seq, r.Kind, r.Version, outcome)
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	return s
}

func historyText(releases []Release) string {
	lines := make([]string, len(releases))
	for i, r := range releases {
		lines[i] = r.String()
	}
	return strings.Join(lines, "\n")
}
