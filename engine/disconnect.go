package engine

import (
	"context"
	"fmt"

	"github.com/docker/docker/client"
)

// Disconnect takes the container out of the network called name. One that is not in
// it is a success, as is a network that is gone.
func (e *Engine) Disconnect(ctx context.Context, id, name string) error {
	found, err := e.inspect(ctx, id)
	if err != nil {
		return fmt.Errorf("disconnect: %w", err)
	}
	if plugged(found, name) == nil {
		return nil
	}
	defer e.seen.forget(found.ID)
	err = e.do(ctx, "disconnect container "+id+" from network "+name, func(ctx context.Context, c *client.Client) error {
		// A container that is stopped has no endpoint to be told of, only a note that it
		// had one; without force an engine may insist on an endpoint.
		return c.NetworkDisconnect(ctx, name, found.ID, found.State == nil || !found.State.Running)
	})
	if err == nil {
		return nil
	}
	// The reply may be lost and the work done.
	if now, look := e.inspect(ctx, id); look == nil && plugged(now, name) == nil {
		return nil
	}
	return err
}
