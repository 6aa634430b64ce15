package compose

import (
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// PullPolicy says where the image of a service comes from.
type PullPolicy int

const (
	// PullDefault asks the registry, and takes what the engine has where the
	// registry cannot be asked.
	PullDefault PullPolicy = iota
	// PullAlways takes the registry's word alone.
	PullAlways
	// PullMissing asks the registry only for what the engine does not have.
	PullMissing
	// PullNever takes what the engine has.
	PullNever
	// PullBuild builds, even where an image of that name is published.
	PullBuild
)

func (p PullPolicy) String() string {
	return [...]string{"default", "always", "missing", "never", "build"}[p]
}

// PullPolicy is the service's pull_policy. The policies that name a time are
// PullDefault with a Refresh.
func (s Service) PullPolicy() PullPolicy {
	switch s.Config.PullPolicy {
	case types.PullPolicyAlways:
		return PullAlways
	case types.PullPolicyMissing, types.PullPolicyIfNotPresent:
		return PullMissing
	case types.PullPolicyNever:
		return PullNever
	case types.PullPolicyBuild:
		return PullBuild
	}
	return PullDefault
}

// Refresh is how long what the service's image reference means is believed; 0
// for as long as nothing else changes.
func (s Service) Refresh() time.Duration {
	d, err := refresh(s.Config)
	if err != nil {
		return 0 // refused when the stack was loaded
	}
	return d
}

func refresh(s types.ServiceConfig) (time.Duration, error) {
	if s.PullPolicy == types.PullPolicyRefresh && s.PullRefreshAfter != "" {
		s.PullPolicy = "every_" + s.PullRefreshAfter
	}
	_, d, err := s.GetPullPolicy()
	return d, err
}

// pulling checks what the service says of where its image comes from.
func (c checker) pulling() {
	s := c.service
	key := "pull_policy"
	if s.PullPolicy == types.PullPolicyRefresh {
		key = "pull_refresh_after"
	}
	d, err := refresh(s)
	switch {
	case err != nil:
		c.report(key, "%w", err)
	case s.PullPolicy == types.PullPolicyRefresh && s.PullRefreshAfter == "":
		c.report("pull_policy", "refresh says not after how long: write pull_refresh_after, too")
	case d < 0:
		c.report(key, "must not be negative")
	case s.PullPolicy == types.PullPolicyBuild && s.Build == nil:
		c.report("pull_policy", "build: the service has no build")
	}
}
