package reconcile_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// callers stands for whoever calls services by name inside a stack. An answer of
// Docker's DNS may be as old as a container lingers before it is used: none of that age
// may name nobody but who is gone, as long as there is somebody to name.
type callers struct {
	engine *enginetest.Engine
	// known is when containers got their service's name, or started with it, by ID;
	// those that are not there have had it all along.
	known map[string]time.Time
	// wrongs are the stops that came too early.
	wrongs []string
}

// see takes note of what is done to the engine.
func (c *callers) see(ctx context.Context, op enginetest.Op, at enginetest.Moment) error {
	o, err := c.engine.Observe(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Containers, func(x reconcile.Container) bool { return x.Name == op.Target })
	switch {
	case i < 0 || !answers(o.Containers[i]):
	case at == enginetest.After && (op.Kind == enginetest.OpConnect || op.Kind == enginetest.OpStart):
		c.known[o.Containers[i].ID] = time.Now()
	case at == enginetest.Before && op.Kind == enginetest.OpStop && len(o.Containers[i].Volumes) == 0: // stop-first has its gap
		c.judge(o, o.Containers[i])
	}
	return nil
}

// judge complains where nobody else has been known for long enough when gone stops.
func (c *callers) judge(o reconcile.Observed, gone reconcile.Container) {
	others := false
	for _, x := range o.Containers {
		if x.ID == gone.ID || x.Service != gone.Service || !answers(x) {
			continue
		}
		if since, ok := c.known[x.ID]; !ok || time.Since(since) >= reconcile.Linger {
			return
		}
		others = true
	}
	if others {
		c.wrongs = append(c.wrongs, fmt.Sprintf("%s is stopped while callers may know of nobody else", gone.Name))
	}
}

// answers reports whether c runs and is found by its service's name.
func answers(c reconcile.Container) bool {
	named := func(e reconcile.Endpoint) bool { return slices.Contains(e.Aliases, c.Service) }
	return c.State == reconcile.Running && slices.ContainsFunc(slices.Collect(maps.Values(c.Endpoints)), named)
}
