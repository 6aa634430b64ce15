package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// outside is what a project needs to be there before it is made, and the names
// that no other project may use meanwhile.
type outside struct {
	images            []string
	networks, volumes []string
	names             []string
}

// provide makes what is external to a project and returns how to take it away.
func (b *bench) provide(ctx context.Context, o outside) (func() error, error) {
	if err := b.stand(ctx, o.images); err != nil {
		return nil, err
	}
	var err error
	for _, name := range o.networks {
		if !b.has(ctx, "/networks/"+name) {
			err = errors.Join(err, b.engine.Tell(ctx, "/networks/create", nil, map[string]any{"Name": name}))
		}
	}
	for _, name := range o.volumes {
		err = errors.Join(err, b.engine.Tell(ctx, "/volumes/create", nil, map[string]any{"Name": name}))
	}
	remove := func() error {
		ctx := context.WithoutCancel(ctx)
		var err error
		for _, name := range o.networks {
			if !slices.Contains([]string{"bridge", "host", "none"}, name) {
				err = errors.Join(err, b.engine.Delete(ctx, "/networks/"+name, nil))
			}
		}
		for _, name := range o.volumes {
			err = errors.Join(err, b.engine.Delete(ctx, "/volumes/"+name, nil))
		}
		return err
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make what is external: %w", err), remove())
	}
	return remove, nil
}

func (b *bench) has(ctx context.Context, path string) bool {
	return b.engine.Ask(ctx, path, nil, nil) == nil
}

// claims keeps projects that use the same names apart.
type claims struct {
	mu    sync.Mutex
	freed *sync.Cond
	held  map[string]bool
}

func newClaims() *claims {
	c := &claims{held: map[string]bool{}}
	c.freed = sync.NewCond(&c.mu)
	return c
}

// take waits until none of names is held, and holds them. It returns how to let go.
func (c *claims) take(names []string) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for slices.ContainsFunc(names, func(n string) bool { return c.held[n] }) {
		c.freed.Wait()
	}
	for _, n := range names {
		c.held[n] = true
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, n := range names {
			delete(c.held, n)
		}
		c.freed.Broadcast()
	}
}
