package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"davit/traffic/socket"
)

// elderSockets match the names of the sockets of edges that have handed over, each
// beside that of its successor for as long as it has something left to do.
const elderSockets = "elder-*.sock"

// elders are the edges that handed over and have not ended. They have connections
// and requests of their own, and so a replica drains in all of them, and is idle when
// it is so in all. They are found by their sockets, so that a successor that was
// killed and came back knows them too.
type elders struct{ dir string }

// each calls f for every elder that lives.
func (e elders) each(ctx context.Context, f func(*Client) error) error {
	paths, err := filepath.Glob(filepath.Join(e.dir, elderSockets))
	if err != nil {
		return fmt.Errorf("look for edges that end: %w", err)
	}
	for _, path := range paths {
		err := e.ask(path, f)
		if errors.Is(err, socket.ErrNobody) {
			_ = os.Remove(path) // it was killed: what it had is gone
			continue
		}
		if err != nil {
			return fmt.Errorf("ask the edge that ends at %s: %w", filepath.Base(path), err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (e elders) ask(path string, f func(*Client) error) error {
	c := NewClient(path)
	defer c.Close()
	return f(c)
}

// apply has every elder acknowledge t.
func (e elders) apply(ctx context.Context, t Table) error {
	return e.each(ctx, func(c *Client) error {
		var ignored Acknowledgement
		return c.call(ctx, http.MethodPut, "/elder/table", t, &ignored)
	})
}

// add is state with what the elders still have to do. An elder that does not say is an
// error: what it has must not count as nothing.
func (e elders) add(ctx context.Context, state State) (State, error) {
	state.Replicas = slices.Clone(state.Replicas)
	err := e.each(ctx, func(c *Client) error {
		var theirs State
		if err := c.call(ctx, http.MethodGet, "/elder/state", nil, &theirs); err != nil {
			return err
		}
		state.Elders++
		for _, r := range theirs.Replicas {
			state.Replicas = addReplica(state.Replicas, r)
		}
		for _, p := range theirs.Ports {
			if at, has := slices.BinarySearchFunc(state.Ports, p.Key, PortState.compare); has {
				state.Ports[at].Open += p.Open
			}
		}
		return nil
	})
	return state, err
}

// signals are the reports of the elders. One that is older than this API, or that ends
// just now, has none.
func (e elders) signals(ctx context.Context) ([]SignalReport, error) {
	var out []SignalReport
	err := e.each(ctx, func(c *Client) error {
		var theirs SignalReport
		err := c.call(ctx, http.MethodGet, "/elder/signals", nil, &theirs)
		var refused *Refusal
		if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			return nil
		}
		if err == nil {
			out = append(out, theirs)
		}
		return err
	})
	return out, err
}

// addReplica adds what an elder has of one replica. One that only an elder knows is
// there for what it has left.
func addReplica(all []ReplicaState, r ReplicaState) []ReplicaState {
	at := slices.IndexFunc(all, func(o ReplicaState) bool { return o.Container == r.Container && o.Started.Equal(r.Started) })
	switch {
	case at >= 0:
		all[at].Requests += r.Requests
		all[at].Streams += r.Streams
	case !r.Idle():
		r.Draining = true
		all = append(all, r)
	}
	return all
}
