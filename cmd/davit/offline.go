package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"davit/compose"
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
	// sources are what is known of the sources without asking them.
	sources []web.SourceStatus
	config  Config
	// projects are what was declared.
	projects []*compose.Project
}

// lookAt opens the host of a data directory for reading.
func lookAt(ctx context.Context, config Config) (*without, error) {
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
	if w.config, err = withRecalled(ctx, config, w.record); err != nil {
		return nil, errors.Join(err, w.record.close())
	}
	config = w.config
	w.host, err = newHost(config, id, w.record, outlets{emit: silent, logger: slog.New(slog.DiscardHandler), secrets: newSecrets()}, edgeHere(ctx, config))
	if err != nil {
		return nil, errors.Join(err, w.record.close())
	}
	return w, nil
}

func (w *without) close() error { return errors.Join(w.host.close(), w.record.close()) }

// declare loads r in the place of s and gives it to the loop, which is never run.
func (w *without) declare(ctx context.Context, s Source, r reconcile.Revision) (reconcile.Declaration, error) {
	d, err := w.stacks(s, w.record).Load(ctx, r)
	if err == nil {
		w.loop.Declare(d)
		w.projects = append(w.projects, d.Projects...)
	}
	return d, err
}

// lastDeclared are the stacks of the revisions that the agent declared last, but
// for those whose files do not load.
func lastDeclared(ctx context.Context, config Config) (projects []*compose.Project, err error) {
	w, err := lookAt(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	_, err = w.declareLast(ctx)
	return w.projects, err
}

// declareLast declares the revisions that the agent declared last, if their files
// are still there.
func (w *without) declareLast(ctx context.Context) (found bool, err error) {
	if w.noRecord != nil {
		return false, w.noRecord
	}
	sources := w.config.followed()
	if len(sources) == 0 {
		sources = []Source{{Config: w.config}}
	}
	for _, s := range sources {
		r, known, err := recallRevision(ctx, w.record, s.Name)
		if err != nil {
			return false, err
		}
		status := web.SourceStatus{Name: s.Name, Source: s.Repo}
		if known {
			status = web.SourceStatus{Name: s.Name, Source: r.Source, Revision: r.String(), Commit: r.Commit, Version: r.Version, LastFetch: &r.Fetched}
		}
		w.sources = append(w.sources, status)
		if _, err := os.Stat(r.Dir); !known || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if _, err = w.declare(ctx, s, r); err != nil {
			return false, err
		}
		w.loop.SourceState(s.Name, r.Fetched, nil)
		found = true
	}
	return found, nil
}

// declareOthers has the loop know what the other sources declared last, so that
// names and the order between stacks are judged with it. A source whose settings or
// files are not at hand is left out; what it had stays its own.
func (h *host) declareOthers(ctx context.Context, config Config, own string, r record) error {
	for _, s := range config.followed() {
		if s.Name == own || s.Repo == "" {
			continue
		}
		last, known, err := recallRevision(ctx, r, s.Name)
		if err != nil {
			return err
		}
		if _, gone := os.Stat(last.Dir); !known || gone != nil {
			continue
		}
		d, err := h.stacks(s, r).Load(ctx, last)
		if err != nil {
			continue
		}
		h.loop.Declare(d)
		h.loop.SourceState(s.Name, last.Fetched, nil)
	}
	return ctx.Err()
}

// read is how every stack stands, from the agent or from a look at the host.
func (s *statusCommand) read(ctx context.Context, config Config) (web.Status, error) {
	client := s.client(config)
	defer client.Close()
	status, err := client.Status(ctx)
	if errors.Is(err, web.ErrNoAgent) {
		return s.look(ctx, config)
	}
	return status, err
}

func (s *statusCommand) look(ctx context.Context, config Config) (web.Status, error) {
	fmt.Fprintln(s.Err, "davit: no agent is running; this is what the records and the engine say")
	w, err := lookAt(ctx, config)
	if err != nil {
		return web.Status{}, err
	}
	defer w.close()
	if _, err := w.declareLast(ctx); err != nil {
		return web.Status{}, err
	}
	stacks, err := w.loop.Status(ctx)
	status := web.NewStatus(stacks, w.sources)
	status.Edge = w.loop.EdgeStatus()
	return status, err
}

// last plans the revision that the agent declared last.
func (p *planCommand) last(ctx context.Context, config Config, stack string) (web.Plans, error) {
	fmt.Fprintln(p.Err, "davit: no agent is running; this is the plan for the revision that was fetched last")
	w, err := lookAt(ctx, config)
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
	w, err := lookAt(ctx, config)
	if err != nil {
		return web.Plans{}, err
	}
	defer w.close()
	r, err := directoryRevision(p.dir, p.Now())
	if err != nil {
		return web.Plans{}, err
	}
	source, err := w.config.standIn(p.source)
	if err != nil {
		return web.Plans{}, err
	}
	d, err := w.declare(ctx, source, r)
	if err != nil {
		return web.Plans{}, err
	}
	if err := brokenOnes(d, stack); err != nil {
		return web.Plans{}, err
	}
	if err := w.declareOthers(ctx, w.config, d.Source, w.record); err != nil {
		return web.Plans{}, err
	}
	w.loop.Confine(reconcile.Scope{Source: d.Source})
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
	for _, r := range d.Refused {
		if stack == "" || stack == r.Stack {
			all = append(all, r.Err)
		}
	}
	return errors.Join(all...)
}
