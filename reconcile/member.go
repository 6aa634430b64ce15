package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"davit/compose"
)

// MemberOf is a running container as the edge is told of it: c was looked up no earlier
// than seen. It is an error when it has no address that the host can reach.
func MemberOf(c Container, p *compose.Project, seen time.Time) (Member, error) {
	m := Member{Container: c.ID, Started: c.Started, Seen: seen, Process: c.Process, Name: replicaOf(c).String(), Release: c.Release}
	s, _ := p.Service(c.Service)
	for _, key := range sortedKeys(s.Config.Networks) {
		n := p.Model.Networks[key]
		if Unreachable(n.Driver, n.DriverOpts) != "" {
			continue
		}
		if ip, err := netip.ParseAddr(c.Endpoints[n.Name].IP); err == nil {
			m.Address = ip
			return m, nil
		}
	}
	return m, fmt.Errorf("%s has no address that the edge could reach", m.Name)
}

// addressIn is that of c where the host can reach it: the one that m has if it has
// it still.
func (m Member) addressIn(o Observed, c Container) netip.Addr {
	var first netip.Addr
	for _, name := range sortedKeys(c.Endpoints) {
		apart := slices.ContainsFunc(o.Networks, func(n Network) bool { return n.Name == name && n.Unreachable != "" })
		ip, err := netip.ParseAddr(c.Endpoints[name].IP)
		switch {
		case err != nil || apart:
		case ip == m.Address:
			return ip
		case !first.IsValid():
			first = ip
		}
	}
	return first
}
