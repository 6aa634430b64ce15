package enginetest

import (
	"context"
	"slices"
	"time"

	"davit/reconcile"
)

// Disconnect takes the container out of the network. One that is not in it is a
// success.
func (e *Engine) Disconnect(ctx context.Context, id, network string) error {
	in := false
	err := e.read(ctx, "disconnect from "+network, func(time.Time) error {
		c, err := e.get(id)
		if err == nil {
			_, in = c.face.Endpoints[network]
		}
		return err
	})
	if err != nil || !in {
		return err
	}
	return e.disconnect(ctx, id, network)
}

// borrows are the containers that the request refers to.
func borrows(r reconcile.CreateRequest) []string {
	var ids []string
	for _, peers := range r.Peers {
		for _, peer := range peers {
			ids = append(ids, peer.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
