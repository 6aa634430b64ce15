package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"davit/reconcile"
	"davit/state"
	"davit/web"
)

// without is a host that is only looked at: the record read, nothing written, no
// agent needed.
type without struct {
	*host
	record readOnly
	// noRecord is why there is none.
	noRecord error
	loader   loader
}

// lookAt opens the host of a data directory for reading.
func lookAt(config Config) (*without, error) {
	id, err := recognise(config.Data)
	if err != nil {
		return nil, err
	}
	w := &without{}
	w.record.Reader, w.noRecord = state.OpenReadOnly(config.Data)
	if w.noRecord != nil && id.key != nil {
		return nil, w.noRecord
	}
	silent := func(reconcile.Event) {}
	w.host, err = newHost(config, id, w.record, outlets{emit: silent, logger: slog.New(slog.DiscardHandler), secrets: newSecrets()})
	if err != nil {
		return nil, errors.Join(err, w.record.close())
	}
	w.loader = w.stacks(config, w.record)
	return w, nil
}

func (w *without) close() error { return errors.Join(w.host.close(), w.record.close()) }

// declare loads r and gives it to the loop, which is never run.
func (w *without) declare(ctx context.Context, r reconcile.Revision) (reconcile.Declaration, error) {
	d, err := w.loader.Load(ctx, r)
	if err == nil {
		w.loop.Declare(d)
	}
	return d, err
}

// declareLast declares the revision that the agent declared last, if its files
// are still there.
func (w *without) declareLast(ctx context.Context) (found bool, err error) {
	if w.noRecord != nil {
		return false, w.noRecord
	}
	text, found, err := w.record.Recall(ctx, revisionKey)
	if err != nil || !found {
		return false, err
	}
	var r reconcile.Revision
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return false, fmt.Errorf("read the last revision: %w", err)
	}
	if _, err := os.Stat(r.Dir); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if _, err = w.declare(ctx, r); err != nil {
		return false, err
	}
	w.loop.SourceState("", r.Fetched, nil)
	return true, nil
}

// read is how every stack stands, from the agent or from a look at the host.
func (s *statusCommand) read(ctx context.Context, config Config) (web.Status, web.SourceStatus, error) {
	client := s.client(config)
	defer client.Close()
	status, err := client.Status(ctx)
	if errors.Is(err, web.ErrNoAgent) {
		status, err = s.look(ctx, config)
		return status, web.SourceStatus{}, err
	}
	if err != nil {
		return status, web.SourceStatus{}, err
	}
	source, err := client.Source(ctx)
	return status, source, err
}

func (s *statusCommand) look(ctx context.Context, config Config) (web.Status, error) {
	fmt.Fprintln(s.Err, "davit: no agent is running; this is what the records and the engine say")
	w, err := lookAt(config)
	if err != nil {
		return web.Status{}, err
	}
	defer w.close()
	if _, err := w.declareLast(ctx); err != nil {
		return web.Status{}, err
	}
	stacks, err := w.loop.Status(ctx)
	return web.NewStatus(stacks), err
}

// last plans the revision that the agent declared last.
func (p *planCommand) last(ctx context.Context, config Config, stack string) (web.Plans, error) {
	fmt.Fprintln(p.Err, "davit: no agent is running; this is the plan for the revision that was fetched last")
	w, err := lookAt(config)
	if err != nil {
		return web.Plans{}, err
	}
	defer w.close()
	found, err := w.declareLast(ctx)
	if err != nil {
		return web.Plans{}, err
	}
	if !found {
		return web.Plans{}, reconcile.WithHint(errors.New("no revision was fetched yet"), "start an agent, or plan a directory with --dir")
	}
	plans, err := w.loop.Plan(ctx, reconcile.PlanRequest{Stack: stack, Values: p.values})
	return web.NewPlans(plans), err
}

// directory plans the stacks of a directory.
func (p *planCommand) directory(ctx context.Context, config Config, stack string) (web.Plans, error) {
	w, err := lookAt(config)
	if err != nil {
		return web.Plans{}, err
	}
	defer w.close()
	r, err := directoryRevision(p.dir, p.Now())
	if err != nil {
		return web.Plans{}, err
	}
	d, err := w.declare(ctx, r)
	if err != nil {
		return web.Plans{}, err
	}
	if err := brokenOnes(d, stack); err != nil {
		return web.Plans{}, err
	}
	plans, err := w.loop.Plan(ctx, reconcile.PlanRequest{Stack: stack, Values: p.values})
	return web.NewPlans(plans), err
}

// brokenOnes is every mistake of the stacks that are meant.
func brokenOnes(d reconcile.Declaration, stack string) error {
	var all []error
	for name, err := range d.Broken {
		if stack == "" || stack == name {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
