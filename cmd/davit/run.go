package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"davit/compose"
	"davit/engine"
	"davit/gitsource"
	"davit/reconcile"
	"davit/state"
	"davit/traffic"
	"davit/web"
)

// runCommand is the agent.
type runCommand struct {
	*console
	options *options
}

func runVerb(c *console) *cobra.Command {
	r := &runCommand{console: c}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent: follow a repository and keep this host as it declares",
		Long: "Run the agent: follow a repository and keep this host as it declares.\n" +
			"SIGHUP polls now. SIGINT or SIGTERM ends it at the next safe point, a second one at once.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	r.options = c.configure(cmd, append(hostSettings(), agentSettings()...)...)
	return cmd
}

func (r *runCommand) run(ctx context.Context) error {
	config, err := r.options.load()
	if err != nil {
		return err
	}
	if len(config.followed()) == 0 {
		return reconcile.WithHint(errors.New("no repository given"), "davit run --repo URL, or repo: or sources: in the file named with --config")
	}
	if _, err := compose.ReadPolicy(config.Policy); err != nil {
		return err
	}
	logger := r.logger(config)
	for _, name := range r.unknownVariables() {
		logger.Warn("variable sets nothing", "name", name)
	}
	a := &agent{config: config, logger: logger, now: r.Now, hangups: r.Hangups, terminal: r.Asks, around: here(r.Getenv)}
	defer a.close()
	if err := a.openEdge(ctx); err != nil {
		return err
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	return a.serve(ctx)
}

// logger writes to standard error.
func (c *console) logger(config Config) *slog.Logger {
	level := new(slog.LevelVar)
	_ = level.UnmarshalText([]byte(config.LogLevel)) // load has checked it
	o := &slog.HandlerOptions{Level: level}
	if config.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(c.Err, o))
	}
	return slog.New(slog.NewTextHandler(c.Err, o))
}

// agent is the one place where all parts meet.
type agent struct {
	config  Config
	logger  *slog.Logger
	now     func() time.Time
	hangups <-chan os.Signal
	// terminal is true when a person watches; around says who looks after this process.
	terminal bool
	around   surroundings
	// edge owns host ports; nil where Docker publishes all of them. launchEdge is true
	// where the agent starts it.
	edge       *traffic.Client
	launchEdge bool
	// watch sees every event, besides all others.
	watch func(reconcile.Event)

	id     identity
	store  *state.Store
	repair state.Recovery
	lost   bool // the record was empty or had to be repaired
	stream *stream
	bell   *web.Bell
	host   *host
	// secrets are kept out of the log and of events.
	secrets *secrets
	pollers pollers

	// undo takes down what was set up, the last first.
	undo []func()
}

func (a *agent) onClose(f func()) { a.undo = append(a.undo, f) }

func (a *agent) close() {
	for _, f := range slices.Backward(a.undo) {
		f()
	}
}

// open takes the data directory and builds every part, without talking to a
// repository or the engine.
func (a *agent) open(ctx context.Context) error {
	if err := a.openHost(ctx); err != nil {
		return err
	}
	for _, s := range a.config.followed() {
		p, err := a.newPoller(s)
		if err != nil && s.Name != "" {
			err = fmt.Errorf("source %s: %w", s.Name, err)
		}
		if err != nil {
			return err
		}
		a.pollers = append(a.pollers, p)
	}
	a.forgetSources()
	return rememberSources(ctx, a.store, names(a.config.followed()))
}

// openHost is open without repositories, for `apply --dir`.
func (a *agent) openHost(ctx context.Context) error {
	a.secrets = newSecrets()
	a.logger = slog.New(scrubbing{a.logger.Handler(), a.secrets.scrub})
	if err := a.openRecord(ctx); err != nil {
		return err
	}
	if err := a.openStream(ctx); err != nil {
		return err
	}
	var err error
	if a.config, err = withRecalled(ctx, a.config, a.store); err != nil {
		return err
	}
	a.host, err = newHost(a.config, a.id, a.store, outlets{emit: a.stream.emit, logger: a.logger, secrets: a.secrets}, a.edge)
	if err != nil {
		return err
	}
	a.onClose(func() { a.report("close the engine", a.host.close()) })
	return nil
}

// openRecord locks the data directory and opens what is in it.
func (a *agent) openRecord(ctx context.Context) error {
	store, recovery, err := state.Open(state.Options{Dir: a.config.Data, Logger: a.logger})
	if err != nil {
		return err
	}
	a.store = store
	a.onClose(func() { a.report("close the record", store.Close()) })
	if a.id, err = identify(a.config.Data); err != nil {
		return err
	}
	known, err := store.Stacks(ctx)
	a.lost = recovery.Happened() || len(known) == 0
	a.repair = recovery
	return err
}

func (a *agent) newPoller(c Source) (*poller, error) {
	options := c.reached()
	options.Data, options.Log = c.Data, a.logger
	source, err := gitsource.New(options)
	if err != nil {
		return nil, err
	}
	schedule, err := gitsource.ParseSchedule(c.Interval)
	if err != nil {
		return nil, err
	}
	return &poller{
		name: c.Name, source: source, schedule: schedule, loader: a.host.stacks(c, a.store), loop: a.host.loop, emit: a.stream.emit,
		remember: func(ctx context.Context, r reconcile.Revision) error {
			return rememberRevision(ctx, a.store, c.Name, r)
		},
		logger: a.logger, now: a.now, asked: make(chan chan error, 1), begun: make(chan struct{}),
	}, nil
}

// serve runs every part until ctx ends and waits for each to end.
func (a *agent) serve(ctx context.Context) error {
	a.logger.Info("davit starts", "version", programVersion(), "instance", a.id.instance, "data", a.config.Data, "sources", a.pollers.String())
	if err := a.recover(ctx); err != nil {
		return err
	}
	listener, err := web.Listen(ctx, filepath.Join(a.config.Data, web.SocketName))
	if err != nil {
		return err
	}
	server := web.New(web.Options{
		Agent: a.host.loop, History: a.store, Events: a.store, Bell: a.bell, Sources: a.pollers,
		Logger: a.logger, Version: programVersion(), Instance: a.id.instance,
	})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(ctx, listener) })
	g.Go(func() error {
		// Without a declaration a pass would only say that there is none.
		for _, p := range a.pollers {
			select {
			case <-p.begun:
			case <-ctx.Done():
			}
		}
		return a.host.loop.Run(ctx)
	})
	for _, p := range a.pollers {
		g.Go(func() error { p.run(ctx); return nil })
	}
	g.Go(func() error { return unlessOver(ctx, a.host.engine.Events(ctx, a.changed)) })
	g.Go(func() error { a.host.vigil.Run(ctx); return nil })
	g.Go(func() error { a.obeyHangups(ctx); return nil })
	g.Go(func() error { a.keepEdge(ctx); return nil })
	if a.config.Mode != "observe" {
		g.Go(func() error { a.host.guard(ctx, a.logger); return nil })
	}
	g.Go(func() error { a.keepForgetting(ctx); return nil })
	err = g.Wait()
	a.logger.Info("davit ends")
	return err
}

// unlessOver drops the error that only says that ctx did.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// changed passes on what the engine reports: it wakes the gates that watch the
// container, and the loop.
func (a *agent) changed(c engine.Change) {
	switch c.Kind {
	case engine.EngineLost:
		a.host.executor.Lost()
	case engine.EngineRecovered:
		a.host.executor.Recovered()
	}
	a.host.executor.Changed(c.Container)
	a.host.loop.Wake(c.Stack, reconcile.TriggerDrift)
}

func (a *agent) obeyHangups(ctx context.Context) {
	for {
		select {
		case <-a.hangups:
			a.pollers.ask()
		case <-ctx.Done():
			return
		}
	}
}

func (a *agent) report(what string, err error) {
	if err != nil {
		a.logger.Error(what, "error", err)
	}
}
