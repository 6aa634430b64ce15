package enginetest

import (
	"fmt"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

// borrow finds the containers whose namespaces and volumes the service shares.
func (e *Engine) borrow(c *container, r reconcile.CreateRequest) error {
	s := r.Service.Config
	for _, mode := range []string{s.NetworkMode, s.Ipc, s.Pid} {
		kind, name, _ := strings.Cut(mode, ":")
		service := ""
		switch kind + ":" {
		case types.ServicePrefix:
			service, name = name, ""
		case types.ContainerPrefix:
		default:
			continue
		}
		owner, err := e.lender(r, service, name)
		if err != nil {
			return err
		}
		c.namespaces = append(c.namespaces, owner)
	}
	for _, from := range s.VolumesFrom {
		service, rest, _ := strings.Cut(from, ":")
		name := ""
		if service+":" == types.ContainerPrefix {
			service = ""
			name, _, _ = strings.Cut(rest, ":")
		}
		owner, err := e.lender(r, service, name)
		if err != nil {
			return err
		}
		c.volumesFrom = append(c.volumesFrom, owner)
	}
	return nil
}

// lender is the first peer of the service, or the container of that name or ID.
func (e *Engine) lender(r reconcile.CreateRequest, service, name string) (*container, error) {
	if service != "" {
		peers := r.Peers[service]
		if len(peers) == 0 {
			return nil, fmt.Errorf("there is no container of service %s", service)
		}
		name = peers[0].ID
	}
	for id, c := range e.containers {
		if id == name || c.face.Name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %s: %w", name, reconcile.ErrContainerMissing)
}
