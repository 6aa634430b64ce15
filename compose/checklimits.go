package compose

import "github.com/compose-spec/compose-go/v2/types"

// limits must not be set to two values, as Compose has it: once below deploy, a
// limit is not set there by leaving it out.
func (c checker) limits() {
	s := c.service
	if s.Deploy == nil {
		return
	}
	report := func(key, below string) {
		c.report(key, "differs from deploy.resources.%s", below)
	}
	if l := s.Deploy.Resources.Limits; l != nil {
		if s.CPUS != 0 && l.NanoCPUs.Value() != s.CPUS {
			report("cpus", "limits.cpus")
		}
		if s.MemLimit != 0 && l.MemoryBytes != s.MemLimit {
			report("mem_limit", "limits.memory")
		}
		if s.PidsLimit != 0 && l.Pids != s.PidsLimit {
			report("pids_limit", "limits.pids")
		}
	}
	if r := s.Deploy.Resources.Reservations; r != nil && s.MemReservation != 0 && r.MemoryBytes != s.MemReservation {
		report("mem_reservation", "reservations.memory")
	}
}

// swarmOnly are the parts of deploy that mean something to a swarm alone.
func swarmOnly(d *types.DeployConfig) []string {
	var keys []string
	if d.Mode != "" && d.Mode != "replicated" {
		keys = append(keys, "mode")
	}
	if d.EndpointMode != "" {
		keys = append(keys, "endpoint_mode")
	}
	if r := d.Resources.Reservations; r != nil {
		if r.NanoCPUs != 0 {
			keys = append(keys, "resources.reservations.cpus")
		}
		if len(r.GenericResources) > 0 {
			keys = append(keys, "resources.reservations.generic_resources")
		}
	}
	return keys
}
