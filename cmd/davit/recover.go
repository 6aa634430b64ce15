package main

import (
	"context"
	"fmt"
	"time"

	"davit/reconcile"
)

// engineAgain is the pause between two looks for an engine that is down.
const engineAgain = 2 * time.Second

// recover settles what an earlier life left: releases that were under way are
// over, and a record that was lost is filled again from the containers' labels
// before anything is decided. Everything else comes from the first pass.
func (a *agent) recover(ctx context.Context) error {
	if a.repair.Happened() {
		a.stream.emit(reconcile.Event{At: a.now(), Kind: reconcile.EventStateRecovered, Severity: reconcile.SeverityError, Message: a.repair.String()})
	}
	interrupted, err := a.store.Interrupt(ctx)
	if err != nil {
		return err
	}
	for _, r := range interrupted {
		a.stream.emit(reconcile.Event{At: a.now(), Stack: r.Stack, Kind: reconcile.EventReleaseEnded, Severity: reconcile.SeverityWarning,
			Seq: r.Seq, Version: r.Version, Commit: r.Commit, Message: fmt.Sprintf("release #%d was interrupted: the agent ended during it", r.Seq)})
	}
	if !a.lost {
		return nil
	}
	observed, err := a.observe(ctx)
	if err != nil {
		return err
	}
	rebuilt, err := a.store.Rebuild(ctx, observed, a.id.instance)
	for _, r := range rebuilt {
		a.stream.emit(reconcile.Event{At: a.now(), Stack: r.Stack, Kind: reconcile.EventStateRecovered, Severity: reconcile.SeverityWarning,
			Seq: r.Seq, Version: r.Version, Message: fmt.Sprintf("release #%d was rebuilt from container labels", r.Seq)})
	}
	return err
}

// observe waits for the engine: without it an empty record cannot be told from a
// lost one.
func (a *agent) observe(ctx context.Context) (reconcile.Observed, error) {
	for said := false; ; said = true {
		observed, err := a.host.engine.Observe(ctx)
		if err == nil || ctx.Err() != nil {
			return observed, err
		}
		if !said {
			a.stream.emit(reconcile.Event{At: a.now(), Kind: reconcile.EventEngineLost, Severity: reconcile.SeverityError, Message: err.Error()})
		}
		select {
		case <-ctx.Done():
		case <-time.After(engineAgain):
		}
	}
}
