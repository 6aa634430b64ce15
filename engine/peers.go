package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

// borrowing is what a container has from others: namespaces, volumes and names.
type borrowing struct {
	NetworkMode, Ipc, Pid string
	VolumesFrom, Links    []string
}

// borrowed resolves the service's references to other services as Compose does,
// to the containers that the request gives for them.
func borrowed(r reconcile.CreateRequest) (borrowing, error) {
	s := r.Service.Config
	var b borrowing
	for _, mode := range []struct {
		attribute, value string
		to               *string
	}{{"network_mode", s.NetworkMode, &b.NetworkMode}, {"ipc", s.Ipc, &b.Ipc}, {"pid", s.Pid, &b.Pid}} {
		*mode.to = mode.value
		owner, ok := strings.CutPrefix(mode.value, types.ServicePrefix)
		if !ok {
			continue
		}
		peer, err := peerOf(r, mode.attribute, owner)
		if err != nil {
			return b, err
		}
		*mode.to = types.ContainerPrefix + peer.ID
	}
	for _, from := range s.VolumesFrom {
		// Compose drops an access mode such as :ro, and so the volumes come as the
		// other container has them.
		name, rest, _ := strings.Cut(from, ":")
		if name+":" == types.ContainerPrefix {
			foreign, _, _ := strings.Cut(rest, ":")
			if foreign == "" {
				return b, fmt.Errorf("service %s: volumes_from %q names no container", s.Name, from)
			}
			b.VolumesFrom = append(b.VolumesFrom, foreign)
			continue
		}
		peer, err := peerOf(r, "volumes_from", name)
		if err != nil {
			return b, err
		}
		b.VolumesFrom = append(b.VolumesFrom, peer.ID)
	}
	b.Links = links(r)
	return b, nil
}

func peerOf(r reconcile.CreateRequest, attribute, service string) (reconcile.Peer, error) {
	peers := r.Peers[service]
	if len(peers) == 0 {
		return reconcile.Peer{}, fmt.Errorf("service %s: %s: there is no container of service %s", r.Service.Name, attribute, service)
	}
	return peers[0], nil
}

// links gives every container of a linked service three names, and those of
// external_links the one that is asked for.
func links(r reconcile.CreateRequest) []string {
	var list []string
	number := strconv.Itoa(r.Number)
	for _, raw := range r.Service.Config.Links {
		service, alias, ok := strings.Cut(raw, ":")
		if !ok {
			alias = service
		}
		for _, peer := range r.Peers[service] {
			list = append(list,
				peer.Name+":"+alias,
				peer.Name+":"+service+"-"+number,
				peer.Name+":"+r.Project.Name+"-"+service+"-"+number)
		}
	}
	for _, raw := range r.Service.Config.ExternalLinks {
		name, alias, ok := strings.Cut(raw, ":")
		if !ok {
			alias = name
		}
		list = append(list, name+":"+alias)
	}
	return list
}
