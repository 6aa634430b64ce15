package reconcile

import "slices"

// agreed is s as if an operator had agreed that the edge may have its ports.
func (s *stack) agreed() *stack {
	out := *s
	out.history = slices.Clone(s.history)
	if i := slices.IndexFunc(out.history, Release.takesOver); i >= 0 {
		out.history[i].Trigger = TriggerCLI
	}
	return &out
}

// handsOver are the host ports that the plan moves from Docker to the edge.
func (p Plan) handsOver(o Observed) []HostPort {
	var out []HostPort
	for _, s := range p.Steps {
		for _, port := range s.Shift.Ports {
			h := HostPortOf(port)
			docker := slices.ContainsFunc(o.Containers, func(c Container) bool { return c.Stack == p.Stack && publishes(c, h) })
			if docker && h.Balancer == "" && !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	return out
}
