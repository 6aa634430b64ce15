package enginetest

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

// hostPort is a published port, or the range that the engine may choose from.
type hostPort struct {
	ip, protocol string
	first, last  int
	taken        int // while the container runs
}

func hostPorts(ports []types.ServicePortConfig) ([]hostPort, error) {
	var list []hostPort
	for _, p := range ports {
		if p.Published == "" {
			continue // any free port: cannot conflict
		}
		from, to, ranged := strings.Cut(p.Published, "-")
		if !ranged {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("published port %q: %w", p.Published, err)
		}
		protocol := p.Protocol
		if protocol == "" {
			protocol = "tcp"
		}
		list = append(list, hostPort{ip: p.HostIP, protocol: protocol, first: first, last: last})
	}
	return list, nil
}

// published are the host ports that the container has while it runs.
func (c *container) published() []reconcile.HostPort {
	if !c.face.Running() {
		return nil
	}
	var out []reconcile.HostPort
	for _, p := range c.ports {
		out = append(out, p.address(p.taken))
	}
	return out
}

// address is one of the ports as everybody else calls it.
func (p hostPort) address(number int) reconcile.HostPort {
	h := reconcile.HostPort{Network: p.protocol, Port: uint16(number)}
	if ip, err := netip.ParseAddr(p.ip); err == nil && !wildcard(p.ip) {
		h.IP = ip
	}
	return h
}

// given are the ports of a container that somebody else made.
func given(published []reconcile.HostPort) []hostPort {
	var out []hostPort
	for _, h := range published {
		p := hostPort{protocol: h.Network, first: int(h.Port), last: int(h.Port), taken: int(h.Port)}
		if h.IP.IsValid() {
			p.ip = h.IP.String()
		}
		out = append(out, p)
	}
	return out
}

// canStart takes the host ports and checks everything else that a start needs.
func (e *Engine) canStart(c *container) error {
	if c.behaviour.StartFails != "" {
		return errors.New(c.behaviour.StartFails)
	}
	for _, owner := range c.namespaces {
		if !owner.face.Running() {
			return fmt.Errorf("cannot join the namespace of a container that is not running: %s", owner.face.ID)
		}
	}
	for name, end := range c.face.Endpoints {
		// Made anew under the same name it is another network.
		if n, ok := e.networks[name]; !ok || end.NetworkID != "" && n.ID != end.NetworkID {
			return fmt.Errorf("network %s not found", name)
		}
	}
	if err := e.portOfEdge(c); err != nil {
		return err
	}
	for i := range c.ports {
		if err := e.bind(c, &c.ports[i]); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) bind(c *container, p *hostPort) error {
	for number := p.first; number <= p.last; number++ {
		if e.portFree(c, p, number) {
			p.taken = number
			return nil
		}
	}
	return fmt.Errorf("bind for %s:%d failed: port is already allocated", p.ip, p.first)
}

func (e *Engine) portFree(c *container, p *hostPort, number int) bool {
	for _, other := range e.containers {
		if other == c || !other.face.Running() {
			continue
		}
		for _, o := range other.ports {
			if o.taken == number && o.protocol == p.protocol && (o.ip == p.ip || wildcard(o.ip) || wildcard(p.ip)) {
				return false
			}
		}
	}
	return true
}

func wildcard(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }

// address gives the container the lowest free address in each network where it
// has none, as the engine does.
func (e *Engine) address(c *container) {
	for name, end := range c.face.Endpoints {
		if end.IP != "" && !e.addressTaken(c, name, end.IP) {
			continue
		}
		for i := 2; ; i++ {
			ip := fmt.Sprintf("10.0.%d.%d", i/250, i%250)
			if !e.addressTaken(c, name, ip) {
				end.IP = ip
				break
			}
		}
		c.face.Endpoints[name] = end
	}
}

func (e *Engine) addressTaken(c *container, network, ip string) bool {
	for _, other := range e.containers {
		if other != c && other.face.State != reconcile.Exited && other.face.Endpoints[network].IP == ip {
			return true
		}
	}
	return false
}
