package reconcile

import (
	"fmt"
	"net/netip"

	"davit/compose"
)

// MemberOf is a running container as the edge is told of it. It is an error when
// it has no address that the host can reach.
func MemberOf(c Container, p *compose.Project) (Member, error) {
	m := Member{Container: c.ID, Started: c.Started, Name: replicaOf(c).String(), Release: c.Release}
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
