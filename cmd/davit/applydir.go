package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"davit/compose"
	"davit/reconcile"
)

// directory applies the stacks of a directory without an agent. It takes the
// agent's place: the same record, the same lock, the same loop, for one time.
func (a *applyCommand) directory(ctx context.Context, config Config, stack string) error {
	r, err := directoryRevision(a.dir, a.Now())
	if err != nil {
		return err
	}
	g := &agent{config: config, edge: edgeHere(ctx, config), logger: slog.New(slog.DiscardHandler), now: a.Now, watch: func(e reconcile.Event) {
		if stack == "" || e.Stack == stack {
			fmt.Fprintln(a.Out, a.eventLine(e))
		}
	}}
	defer g.close()
	if err := g.openHost(ctx); err != nil {
		return err
	}
	if err := g.recover(ctx); err != nil {
		return err
	}
	source, err := g.config.standIn(a.source)
	if err != nil {
		return err
	}
	d, err := g.host.stacks(source, g.store).Load(ctx, r)
	if err != nil {
		return err
	}
	if err := brokenOnes(d, stack); err != nil {
		return err
	}
	if stack != "" {
		// What is not declared is left alone.
		d.Projects = slices.DeleteFunc(d.Projects, func(p *compose.Project) bool { return p.Name != stack })
		if len(d.Projects) == 0 {
			return fmt.Errorf("stack %q is not in %s", stack, r.Dir)
		}
	}
	g.host.loop.Declare(d)
	g.host.loop.SourceState(d.Source, r.Fetched, nil)
	if err := g.host.loop.Settle(ctx); err != nil {
		return err
	}
	return g.outcome(ctx, d)
}

// outcome is an error unless every project of d has come to rest where d wants
// it.
func (a *agent) outcome(ctx context.Context, d reconcile.Declaration) error {
	status, err := a.host.loop.Status(ctx)
	if err != nil {
		return err
	}
	var bad error
	for _, k := range status {
		if !slices.ContainsFunc(d.Projects, func(p *compose.Project) bool { return p.Name == k.Name }) {
			continue
		}
		done, err := verdict(k)
		if !done && err == nil {
			err = ended(k)
		}
		bad = errors.Join(bad, err)
	}
	return bad
}
