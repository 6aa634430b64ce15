package reconcile

import (
	"fmt"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// declaredRestart is the restart policy that Compose gives a service's
// containers, in Compose's words: deploy.restart_policy wins over restart, and
// neither means "no".
func declaredRestart(s types.ServiceConfig) string {
	policy := s.Restart
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		policy = s.Deploy.RestartPolicy.Condition
		if n := s.Deploy.RestartPolicy.MaxAttempts; n != nil && policy == "on-failure" {
			policy = fmt.Sprintf("on-failure:%d", *n)
		}
	}
	switch policy {
	case "", "none":
		return "no"
	case "any":
		return "always"
	case "on-failure:0":
		return "on-failure"
	}
	return policy
}

// splitRestart is "on-failure:3" in its two parts.
func splitRestart(policy string) (name, retries string) {
	name, retries, _ = strings.Cut(policy, ":")
	return name, retries
}
