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
	shown := a.newProgress()
	defer shown.close()
	g := &agent{config: config, edge: edgeHere(ctx, config), logger: slog.New(slog.DiscardHandler), now: a.Now, watch: func(e reconcile.Event) {
		if stack == "" || e.Stack == stack {
			shown.event(e)
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
	if stack != "" && !declares(d, stack) && !slices.Contains(d.Removed, stack) {
		return fmt.Errorf("stack %q is not in %s", stack, r.Dir)
	}
	if err := g.host.declareOthers(ctx, g.config, d.Source, g.store); err != nil {
		return err
	}
	g.host.loop.Declare(d)
	g.host.loop.SourceState(d.Source, r.Fetched, nil)
	// What the directory does not declare is left alone.
	g.host.loop.Confine(reconcile.Scope{Source: d.Source, Stack: stack})
	if a.now {
		if err := g.host.loop.PassWindows(ctx, stack, a.Actor); err != nil {
			return err
		}
	}
	if err := g.host.loop.Settle(ctx); err != nil {
		return err
	}
	return g.outcome(ctx, d, stack)
}

// declares reports whether a stack of that name is among what d declares.
func declares(d reconcile.Declaration, stack string) bool {
	return slices.ContainsFunc(d.Projects, func(p *compose.Project) bool { return p.Name == stack })
}

// outcome is an error unless every project of d, or the one that is meant, has come
// to rest where d wants it.
func (a *agent) outcome(ctx context.Context, d reconcile.Declaration, stack string) error {
	status, err := a.host.loop.Status(ctx)
	if err != nil {
		return err
	}
	var bad error
	for _, k := range status {
		if stack != "" && stack != k.Name || !declares(d, k.Name) {
			continue
		}
		if k.Source != d.Source {
			bad = errors.Join(bad, reconcile.WithHint(fmt.Errorf("the stack name %q is that of source %q, which had it first", k.Name, k.Source),
				"give one of them another `name:`"))
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
