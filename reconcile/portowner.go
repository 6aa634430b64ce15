package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
)

// Handover says when an adopted stack's host ports may move from Docker to the edge.
type Handover int

const (
	// HandoverWhenReplaced: as with every stack of davit's own, when containers are
	// replaced anyway.
	HandoverWhenReplaced Handover = iota
	// HandoverNever: nobody has agreed to it yet.
	HandoverNever
	// HandoverNow: an operator has agreed.
	HandoverNow
)

func (h Handover) String() string { return [...]string{"when-replaced", "never", "now"}[h] }

// Unreachable is why the host cannot reach the containers of a network of this
// driver, "" where it can.
func Unreachable(driver string, options map[string]string) string {
	switch {
	case driver != "" && driver != "default" && driver != "bridge":
		return "is in a network of driver " + driver
	case options["com.docker.network.bridge.inhibit_ipv4"] == "true", options["com.docker.network.bridge.gateway_mode_ipv4"] == "isolated":
		return "is in a bridge in which the host has no address"
	}
	return ""
}

// assign decides which of the host ports of u the edge owns.
func (p *planner) assign(u *unit) error {
	bar, auto, err := p.explicit(u)
	if err != nil || len(auto) == 0 {
		return err
	}
	if of, kept := p.kept(u, auto); kept {
		u.edge = append(u.edge, of...)
		return nil
	}
	rules, err := ReplacementOf(withoutPorts(u.Service, slices.Concat(u.edge, auto)), u.image, p.desired.Returning, p.borrowers(u.Name))
	if err != nil {
		return &Stalled{Reason: fmt.Sprintf("service %s", u.Name), Err: err}
	}
	if bar == "" && p.desired.Handover == HandoverNever {
		bar = "the stack was adopted with it, and davit adopt " + p.project.Name + " would hand it over, with one short gap"
	}
	switch {
	case !rules.StartFirst:
	case bar != "":
		p.note("Docker keeps %s of %s: %s", portList(auto), u.Name, bar)
	default:
		u.edge = append(u.edge, auto...)
	}
	return nil
}

// explicit obeys what is declared about the owner of ports, and returns those about
// which nothing is, and why the edge could have none of them.
func (p *planner) explicit(u *unit) (bar string, auto []compose.PublishedPort, err error) {
	unreached := p.barred(u)
	if bar = unreached; p.edge.edgeless() {
		bar = "no edge is configured"
	}
	for _, port := range u.Ports {
		switch {
		case port.Via == compose.ViaBalancer:
			if err := p.balanced(u, port, unreached); err != nil {
				return bar, nil, err
			}
		case port.Via == compose.ViaEdge && bar != "":
			return bar, nil, &Stalled{Reason: fmt.Sprintf("service %s", u.Name), Err: WithHint(
				fmt.Errorf("host port %s cannot be via: edge: %s", HostPortOf(port), bar), "let via be auto")}
		case port.Via == compose.ViaEdge:
			u.edge = append(u.edge, port)
		case port.Via == compose.ViaAuto && !p.edge.edgeless():
			auto = append(auto, port)
		}
	}
	return bar, auto, nil
}

// barred is why the edge cannot reach the containers of u, "" where it can.
func (p *planner) barred(u *unit) string {
	if p.apart != "" {
		return p.apart
	}
	if u.Config.NetworkMode != "" {
		return "network_mode is " + u.Config.NetworkMode
	}
	why := "it is in no network"
	for _, key := range sortedKeys(u.Config.Networks) {
		if why = p.unreachable(key); why == "" {
			return ""
		}
		why = "it " + why
	}
	return why
}

func (p *planner) unreachable(key string) string {
	n := p.project.Model.Networks[key]
	if i := slices.IndexFunc(p.networks, func(o Network) bool { return o.Name == n.Name }); i >= 0 {
		return p.networks[i].Unreachable
	}
	return Unreachable(n.Driver, n.DriverOpts)
}

// kept are those of the ports that the edge has for the containers that run what is
// desired already. They keep their owners until they are replaced anyway.
func (p *planner) kept(u *unit, auto []compose.PublishedPort) (of []compose.PublishedPort, kept bool) {
	if _, again := p.desired.Restarts[u.Name]; again {
		return nil, false
	}
	var running []Container
	for _, c := range p.owned {
		if c.Service == u.Name && c.Running() && !p.failed(c) && u.made(c) {
			running = append(running, c)
		}
	}
	for _, c := range running {
		// Where they do not agree, a move was cut off.
		if p.desired.Handover == HandoverNow && len(c.Published) > 0 || !slices.Equal(c.Edge, running[0].Edge) {
			return nil, false
		}
		of = slices.DeleteFunc(slices.Clone(auto), func(port compose.PublishedPort) bool { return !slices.Contains(c.Edge, port.Container()) })
	}
	// More of them than there are cannot share a port that Docker publishes.
	return of, len(running) > 0 && (len(running) >= u.Replicas || len(of) == len(auto))
}

// withoutPorts is s as if it did not declare the ports.
func withoutPorts(s compose.Service, ports []compose.PublishedPort) compose.Service {
	s.Config.Ports = slices.DeleteFunc(slices.Clone(s.Config.Ports), func(declared types.ServicePortConfig) bool {
		fixed, ok := compose.FixedPort(declared)
		return ok && slices.ContainsFunc(ports, func(p compose.PublishedPort) bool { return p.Container() == fixed.Container() })
	})
	return s
}

// edgePorts are the container's ports of u that the edge has: what Create.Edge says.
func (u *unit) edgePorts() []string {
	var out []string
	for _, p := range u.edge {
		out = append(out, p.Container())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// dockerPorts are the fixed host ports that Docker publishes for u.
func (u *unit) dockerPorts() []HostPort {
	var out []HostPort
	edge := u.edgePorts()
	for _, p := range u.Ports {
		if !slices.Contains(edge, p.Container()) {
			out = append(out, HostPortOf(p))
		}
	}
	return out
}

// portList names ports for people: "host ports 80 and 53/udp".
func portList(ports []compose.PublishedPort) string {
	var names []string
	for _, p := range ports {
		names = append(names, HostPortOf(p).String())
	}
	if len(names) == 1 {
		return "host port " + names[0]
	}
	return "host ports " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
