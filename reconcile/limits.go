package reconcile

import (
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
)

// Limits are what `docker update` can change of a container while it runs, as far
// as Compose declares it. 0 is no limit.
type Limits struct {
	// Memory is in bytes, NanoCPUs in billionths of a core.
	Memory, NanoCPUs int64
}

// LimitsOf are the limits that a service declares, those under deploy over the
// others.
func LimitsOf(s types.ServiceConfig) Limits {
	l := Limits{Memory: int64(s.MemLimit), NanoCPUs: int64(s.CPUS * 1e9)}
	if s.Deploy == nil || s.Deploy.Resources.Limits == nil {
		return l
	}
	if m := s.Deploy.Resources.Limits.MemoryBytes; m != 0 {
		l.Memory = int64(m)
	}
	if n := s.Deploy.Resources.Limits.NanoCPUs; n != 0 {
		l.NanoCPUs = int64(n.Value() * 1e9)
	}
	return l
}

// updated says which limit of c somebody has changed, "" for none. An engine whose
// kernel cannot limit says 0, which `docker update` never sets, so that 0 is no
// sign of anything.
func updated(s types.ServiceConfig, c Container) string {
	want := LimitsOf(s)
	switch has := c.Limits; {
	case has.Memory != 0 && has.Memory != want.Memory:
		return fmt.Sprintf("memory limit %s -> %s", bytes(has.Memory), bytes(want.Memory))
	case has.NanoCPUs != 0 && !near(has.NanoCPUs, want.NanoCPUs):
		return fmt.Sprintf("cpus %.2f -> %.2f", float64(has.NanoCPUs)/1e9, float64(want.NanoCPUs)/1e9)
	}
	return ""
}

// near allows for what is lost in a float.
func near(a, b int64) bool { return max(a, b)-min(a, b) <= max(a, b)/100 }

func bytes(n int64) string {
	switch {
	case n == 0:
		return "none"
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dB", n)
}
