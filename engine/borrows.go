package engine

import (
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
)

// borrows are the containers whose namespaces or volumes h uses, as the engine has
// them: by ID where davit or Compose made the container.
func borrows(h *container.HostConfig) []string {
	var ids []string
	for _, mode := range []string{string(h.NetworkMode), string(h.IpcMode), string(h.PidMode)} {
		if id, ok := strings.CutPrefix(mode, types.ContainerPrefix); ok {
			ids = append(ids, id)
		}
	}
	for _, from := range h.VolumesFrom {
		id, _, _ := strings.Cut(from, ":")
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
