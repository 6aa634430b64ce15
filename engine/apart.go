package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
)

// apart remembers why this host reaches no container of an engine, for as long as the
// connection is to that engine.
type apart struct {
	mu  sync.Mutex
	of  *client.Client
	why string
}

// apart is why the host reaches no container of this engine, whatever network it is in,
// "" where it can.
func (e *Engine) apart(ctx context.Context) (string, error) {
	e.asked.mu.Lock()
	defer e.asked.mu.Unlock()
	if e.asked.of != nil && e.asked.of == e.connected() {
		return e.asked.why, nil
	}
	err := e.do(ctx, "ask the engine about its host", func(ctx context.Context, c *client.Client) error {
		info, err := c.Info(ctx)
		if err == nil {
			e.asked.of, e.asked.why = c, secluded(info)
		}
		return err
	})
	return e.asked.why, err
}

// secluded is why an engine that says this of itself has its containers where the host
// does not reach them.
func secluded(info system.Info) string {
	switch {
	case slices.Contains(info.SecurityOptions, "name=rootless"):
		return "the engine is rootless, and the host does not reach its containers"
	case info.OperatingSystem == "Docker Desktop":
		return "the engine runs in a virtual machine, and the host does not reach its containers"
	}
	return ""
}
