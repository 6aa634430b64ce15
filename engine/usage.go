package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"davit/reconcile"
)

// maxStats is far more than what an engine says of one container.
const maxStats = 1 << 20

// Usage is what a container uses, the zero value for one that does not run.
// reconcile.ErrContainerMissing when it is gone.
func (e *Engine) Usage(ctx context.Context, id string) (u reconcile.Usage, err error) {
	err = e.do(ctx, "read usage of container "+id, func(ctx context.Context, c *client.Client) error {
		// Once only: without that, the engine waits a second for a second look.
		answer, err := c.ContainerStatsOneShot(ctx, id)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		var stats container.StatsResponse
		if err := json.NewDecoder(io.LimitReader(answer.Body, maxStats)).Decode(&stats); err != nil {
			return fmt.Errorf("read the engine's answer: %w", err)
		}
		u = spent(stats)
		return nil
	})
	return u, err
}

// spent turns the engine's answer into the hub's noun.
func spent(s container.StatsResponse) reconcile.Usage {
	if s.Read.IsZero() || s.CPUStats.CPUUsage.TotalUsage == 0 && s.MemoryStats.Usage == 0 {
		return reconcile.Usage{}
	}
	return reconcile.Usage{
		At:     s.Read,
		CPU:    time.Duration(s.CPUStats.CPUUsage.TotalUsage),
		Memory: int64(s.MemoryStats.Usage - min(droppable(s.MemoryStats), s.MemoryStats.Usage)),
	}
}

// droppable is the page cache that the kernel would give up first, under the names of
// both versions of control groups.
func droppable(m container.MemoryStats) uint64 {
	if cache, v1 := m.Stats["total_inactive_file"]; v1 {
		return cache
	}
	return m.Stats["inactive_file"]
}
