package compose

import (
	"fmt"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// Docker's own values of a health check that does not say.
const (
	defaultInterval = 30 * time.Second
	defaultRetries  = 3
)

// Doubt says that monitor ends before the health check could tell that a container
// which became ready does not stay so: a release would be called good while it fails.
// It is "" where that is not so, and where nothing is monitored.
func (s Service) Doubt() string {
	proof, monitor := proofOf(s.Config), s.Settings.Update.Monitor
	if proof <= monitor || monitor == 0 || s.OneShot {
		return ""
	}
	return fmt.Sprintf("monitor, %v, ends before the health check can tell a failure: its start_period and interval × retries are %v", monitor, proof)
}

// proofOf is how long the health check that the file declares takes to find out that a
// container is unhealthy; 0 where there is none.
func proofOf(c types.ServiceConfig) time.Duration {
	if !checked(c) {
		return 0
	}
	h, interval, retries := c.HealthCheck, defaultInterval, uint64(defaultRetries)
	if h.Interval != nil && *h.Interval > 0 {
		interval = time.Duration(*h.Interval)
	}
	if h.Retries != nil && *h.Retries > 0 {
		retries = min(*h.Retries, 10_000)
	}
	proof := interval * time.Duration(retries)
	if h.StartPeriod != nil {
		proof += time.Duration(*h.StartPeriod)
	}
	return proof
}

// doubts notes every service whose monitor proves less than it seems to.
func (l *loading) doubts(p *Project) {
	for _, s := range p.Services {
		if doubt := s.Doubt(); doubt != "" {
			l.note("services."+s.Name+"."+monitorKey(s.Config), doubt)
		}
	}
}

// monitorKey is where a service says how long it is monitored, and where its health
// check is when it does not.
func monitorKey(c types.ServiceConfig) string {
	block, _ := c.Extensions[extension].(map[string]any)
	switch {
	case block["monitor"] != nil:
		return extension + ".monitor"
	case c.Deploy != nil && c.Deploy.UpdateConfig != nil && c.Deploy.UpdateConfig.Monitor != 0:
		return "deploy.update_config.monitor"
	}
	return "healthcheck"
}
