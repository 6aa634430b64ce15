package main

import (
	"context"
	"errors"

	"davit/reconcile"
	"davit/state"
	"davit/web"
)

// Reading without an agent: the record can be read at any time, by whoever may
// read the data directory.

// read is the history of a stack, from the agent or from the record.
func (h *historyCommand) read(ctx context.Context, config Config, stack string) ([]web.Release, error) {
	client := h.client(config)
	defer client.Close()
	releases, err := client.History(ctx, stack, h.limit)
	if !errors.Is(err, web.ErrNoAgent) {
		return releases, err
	}
	recorded, err := recordedReleases(ctx, config, stack, h.limit)
	return web.NewHistory(recorded), err
}

// read is the rendered project of a stack, from the agent or from the record.
func (k *configCommand) read(ctx context.Context, config Config, stack string) (web.Rendered, error) {
	client := k.client(config)
	defer client.Close()
	rendered, err := client.Config(ctx, stack, k.values)
	if !errors.Is(err, web.ErrNoAgent) {
		return rendered, err
	}
	recorded, err := recordedReleases(ctx, config, stack, 0)
	if err != nil {
		return web.Rendered{}, err
	}
	return web.NewRendered(stack, recorded, k.values)
}

// recorded prints the events of the record.
func (e *eventsCommand) recorded(ctx context.Context, config Config, q web.EventQuery) error {
	r, err := openRecord(config)
	if err != nil {
		return err
	}
	defer r.Close()
	events, err := r.LastEvents(ctx, q.Stack, q.Limit)
	for _, event := range events {
		err = errors.Join(err, e.print(event))
	}
	return err
}

func recordedReleases(ctx context.Context, config Config, stack string, limit int) ([]reconcile.Release, error) {
	r, err := openRecord(config)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	releases, err := r.Releases(ctx, stack, limit)
	if err == nil && len(releases) == 0 {
		err = web.NotFound(stack)
	}
	return releases, err
}

// openRecord opens the record in the data directory for reading.
func openRecord(config Config) (*state.Reader, error) {
	r, err := state.OpenReadOnly(config.Data)
	if err != nil && reconcile.Hint(err) == "" {
		err = reconcile.WithHint(err, "no agent runs on %s; name its data directory with --data", config.Data)
	}
	return r, err
}
