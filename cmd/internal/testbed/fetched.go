package testbed

import (
	"regexp"
	"strings"
	"time"
)

// revised is what the agent writes when it has fetched a revision.
var revised = regexp.MustCompile(`(?m)^time=(\S+) .*kind=NewRevision .*$`)

// Fetched is when the agent said that it had fetched a commit.
func (a *Agent) Fetched(commit string) time.Time {
	a.tb.Helper()
	for _, line := range revised.FindAllStringSubmatch(a.Log(), -1) {
		if !strings.Contains(line[0], commit[:7]) {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, line[1])
		if err != nil {
			a.tb.Fatalf("the agent's log: %v", err)
		}
		return at
	}
	a.tb.Fatalf("the agent has not fetched %s", commit)
	return time.Time{}
}
