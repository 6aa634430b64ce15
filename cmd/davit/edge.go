package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"davit/engine"
	"davit/reconcile"
	"davit/traffic"
	"davit/traffic/socket"
)

const (
	// edgeGrace is what requests under way have when an edge ends that nobody
	// succeeds; its clients wait for a connection meanwhile.
	edgeGrace = 10 * time.Second
	// handOver bounds the wait for a successor that is about to serve.
	handOver = time.Minute
)

// edgeCommand is the edge: the process that owns the host ports of services.
type edgeCommand struct {
	*console
	options                *options
	takeover, wait, detach bool
}

func edgeVerb(c *console) *cobra.Command {
	e := &edgeCommand{console: c}
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "Run the edge: the process that owns the host ports of services",
		Long: "Run the edge: the process that owns the host ports of services, so that they are replaced without\n" +
			"a gap. It does what the agent of the same data directory tells it, lives on without it, and serves\n" +
			"the same again after a restart.\n" +
			"With --takeover it takes the place of the edge that runs, without refusing a connection: that one\n" +
			"finishes what it has, and ends. With --wait it does so when that one is told to end, or dies.\n" +
			"SIGINT or SIGTERM ends it once the requests under way are answered, a second one at once.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.run(cmd.Context()) },
	}
	e.options = c.configure(cmd, engineSetting())
	cmd.Flags().BoolVar(&e.takeover, "takeover", false, "take the place of the edge that runs, if one does")
	cmd.Flags().BoolVar(&e.wait, "wait", false, "wait until the edge that runs ends, and take its place")
	cmd.Flags().BoolVar(&e.detach, "detach", false, "return once it serves, and leave it running in the background")
	cmd.MarkFlagsMutuallyExclusive("takeover", "wait")
	cmd.MarkFlagsMutuallyExclusive("detach", "wait")
	return cmd
}

func (e *edgeCommand) run(ctx context.Context) error {
	config, err := e.options.load()
	if err != nil {
		return err
	}
	if e.detach {
		l := edgeLaunch{config: config, takeover: e.takeover, getenv: e.Getenv}
		if err := l.start(ctx); err != nil {
			return err
		}
		fmt.Fprintln(e.Out, "the edge runs in the background, "+l.said())
		return nil
	}
	p := &edgeProcess{config: config, logger: e.logger(config), getenv: e.Getenv}
	return p.run(ctx, e.entry())
}

func (e *edgeCommand) entry() traffic.Entry {
	switch {
	case e.takeover:
		return traffic.TakingOver
	case e.wait:
		return traffic.Waiting
	}
	return traffic.Alone
}

// edgeProcess is one life of the edge.
type edgeProcess struct {
	config Config
	logger *slog.Logger
	getenv func(string) string

	engine *engine.Engine
	edge   *traffic.Edge
	admin  *traffic.Admin
}

// run serves until ctx ends or a successor has taken over, and until what is under
// way then has ended.
func (p *edgeProcess) run(ctx context.Context, how traffic.Entry) error {
	dir := traffic.Dir(p.config.Data)
	p.logger.Info("the edge starts", "version", programVersion(), "directory", dir, "process", os.Getpid())
	place, err := traffic.Enter(ctx, dir, how)
	if err != nil {
		return err
	}
	// What came with the place is given back if nothing becomes of it: the predecessor
	// serves on.
	defer place.Abandon()
	if err := p.build(dir, place); err != nil {
		return err
	}
	defer p.engine.Close()

	serving, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	ended := make(chan error, 1)
	go func() { ended <- p.edge.Run(serving) }()
	listener, err := p.takePlace(ctx, dir, place, ended)
	if err != nil {
		cut()
		return errors.Join(err, <-ended)
	}
	steered, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	closed := make(chan error, 1)
	go func() { closed <- p.admin.Serve(steered, listener) }()
	p.announce()
	err = p.end(ctx, ended, cut)
	release()
	err = errors.Join(err, <-closed)
	p.logger.Info("the edge ends")
	return err
}

// build makes the parts.
func (p *edgeProcess) build(dir string, place *traffic.Inheritance) (err error) {
	// The edge makes nothing at the engine, so it needs no identity there.
	p.engine, err = engine.New(engine.Options{Host: p.config.Engine, Instance: "edge", Logger: p.logger})
	if err != nil {
		return err
	}
	p.edge, err = traffic.New(traffic.Options{Dir: dir, Log: p.logger, Lookout: lookout{p.engine}, Sockets: place.Sockets})
	if err != nil {
		return errors.Join(err, p.engine.Close())
	}
	p.admin = traffic.NewAdmin(traffic.AdminOptions{
		Edge: p.edge, Dir: dir, Lock: place.Lock, Program: programVersion(), Logger: p.logger,
	})
	return nil
}

// takePlace opens the admin socket, once the ports are open and the predecessor, if
// there is one, has retired.
func (p *edgeProcess) takePlace(ctx context.Context, dir string, place *traffic.Inheritance, ended <-chan error) (*socket.Listener, error) {
	select {
	case <-p.edge.Running():
	case err := <-ended:
		return nil, err
	}
	if !place.Succeeds() {
		return traffic.Listen(ctx, dir)
	}
	if err := place.Serving(); err != nil {
		return nil, err
	}
	return socket.Replace(ctx, traffic.Socket(p.config.Data))
}

// announce says that the edge serves, and that this is the process to watch.
func (p *edgeProcess) announce() {
	s := p.edge.State()
	p.logger.Info("the edge serves", "generation", s.Generation, "ports", len(s.Ports), "replicas", len(s.Replicas))
	err := notifySupervisor(p.getenv, fmt.Sprintf("READY=1\nMAINPID=%d\nSTATUS=serving table %d", os.Getpid(), s.Generation))
	if err != nil {
		p.logger.Warn("the service manager cannot be told", "error", err)
	}
}

// end waits until the edge is told to end, or has a successor, and sees what is under
// way through.
func (p *edgeProcess) end(ctx context.Context, ended <-chan error, cut func()) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOver)
	defer cancel()
	if !p.admin.End(bounded) {
		p.logger.Info("the edge gives its ports up; nobody succeeds it", "grace", edgeGrace)
		p.edge.Retire()
		defer time.AfterFunc(edgeGrace, cut).Stop()
	}
	return <-ended
}

// lookout is the edge's look at the engine.
type lookout struct{ engine *engine.Engine }

func (l lookout) Watch(ctx context.Context, heard func(error), moved func(container string)) error {
	return l.engine.WatchAddresses(ctx, heard, moved)
}

func (l lookout) Look(ctx context.Context, containers []string) ([]traffic.Sighting, error) {
	seen, err := l.engine.Sight(ctx, containers)
	out := make([]traffic.Sighting, len(seen))
	for i, s := range seen {
		out[i] = traffic.Sighting(s)
	}
	return out, err
}

// errNoEdgeHere says that the agent cannot have the edge that it is to have.
func errNoEdgeHere(supervisor string) error {
	advice := "start one with `davit edge`"
	switch supervisor {
	case "systemd":
		advice = "install deploy/systemd/davit-edge.service: `systemctl enable --now davit-edge`; or let Docker publish all ports with `edge: off`"
	case "container":
		advice = "run the edge in a container of its own, as deploy/compose.yaml does; or let Docker publish all ports with `edge: off`"
	}
	return reconcile.WithHint(fmt.Errorf("%w, and the agent does not start one under %s: it would end with the agent", traffic.ErrNoEdge, supervisor), "%s", advice)
}
