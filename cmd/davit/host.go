package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"davit/compose"
	"davit/engine"
	"davit/reconcile"
	"davit/registry"
	"davit/rollout"
	"davit/state"
	"davit/traffic"
)

// Floor-2 packages do not know each other: that they fit is held here.
var (
	_ rollout.Engine      = (*engine.Engine)(nil)
	_ reconcile.Engine    = (*engine.Engine)(nil)
	_ reconcile.Keeper    = (*engine.Engine)(nil)
	_ reconcile.Registry  = (*registry.Resolver)(nil)
	_ reconcile.Executor  = (*rollout.Executor)(nil)
	_ reconcile.History   = (*state.Store)(nil)
	_ reconcile.Decisions = (*state.Store)(nil)
	_ reconcile.Journal   = (*state.Store)(nil)
	_ reconcile.Attendant = (*rollout.Vigil)(nil)
	_ reconcile.Files     = guarded{}
	_ record              = (*state.Store)(nil)
)

// record is what is remembered of this host.
type record interface {
	reconcile.History
	reconcile.Decisions
	reconcile.Journal
	reconcile.JournalReader
	reconcile.Memory
}

// host is this machine as plans see it: its engine, the registries, the loop
// that decides and the executor that acts.
type host struct {
	instance string
	key      []byte
	engine   *engine.Engine
	executor *rollout.Executor
	vigil    *rollout.Vigil
	loop     *reconcile.Loop
	secrets  *secrets
	// edge owns host ports; nil where Docker publishes all of them.
	edge *traffic.Client
	// balancers serve ports in its place.
	balancers []*traffic.Steered
	// access is how what the repository holds encrypted is read.
	access compose.Secrets
}

// outlets are where a host says what happens, and what it must not say.
type outlets struct {
	emit    func(reconcile.Event)
	logger  *slog.Logger
	secrets *secrets
}

// identity is the host's name and key.
type identity struct {
	instance string
	key      []byte
}

// newHost builds a host on a record, and on an edge if there is one. It talks to
// nobody yet.
func newHost(config Config, id identity, r record, out outlets, edge *traffic.Client) (*host, error) {
	h := &host{instance: id.instance, key: id.key, secrets: out.secrets, access: openers(config, id), edge: edge}
	h.access.Learn = h.secrets.learn
	var err error
	h.engine, err = engine.New(engine.Options{
		Host: config.Engine, Instance: id.instance, DockerConfigDir: config.DockerConfig, Logger: out.logger,
	})
	if err != nil {
		return nil, err
	}
	disk := rollout.Disk{Data: config.Data}
	if strings.HasPrefix(config.Engine, "unix://") {
		disk.Engine = "/var/lib/docker"
	}
	work := rollout.Options{Engine: h.engine, Journal: r, Preflight: preflights{disk, h.engine, rollout.Ports{}}, Scrub: h.secrets.scrub, Logger: out.logger}
	var board *reconcile.Switchboard
	for _, b := range config.Balancers {
		h.balancers = append(h.balancers, b.steered(config.Data))
	}
	if o := h.portOwner(out.logger); o != nil {
		board = reconcile.NewSwitchboard(o)
		work.Edge = board
	}
	h.executor = rollout.New(work)
	h.vigil = rollout.NewVigil(h.executor, func(stack string) { h.loop.Wake(stack, reconcile.TriggerDrift) })
	resolver, err := registry.New(registry.Options{ConfigDir: config.DockerConfig, Insecure: config.InsecureRegistries})
	if err != nil {
		return nil, err
	}
	adopt, err := reconcile.ParseAdoptMode(config.Adopt)
	if err != nil {
		return nil, err
	}
	h.loop = reconcile.New(reconcile.Options{
		AdoptMode: adopt, ObserveOnly: config.Mode == "observe",
		Instance: id.instance, Engine: h.engine, Registry: resolver, Keeper: h.engine, Executor: h.executor, History: r, Decisions: r, Edge: board,
		Memory: r, Journal: r, Sources: names(config.followed()), Parallel: config.Parallel, Windows: config.Windows, Analyst: h.analyst(config), Attendant: h.vigil,
		Files: guarded{Files: compose.Files{DataDir: config.Data, Secrets: h.access}, secrets: h.secrets},
		Emit:  out.emit, PortHolder: rollout.PortHolder, Logger: out.logger, Scrub: h.secrets.scrub, KeepReleases: config.KeepReleases, Judge: config.judge,
	})
	return h, nil
}

// portOwner is who has ports in Docker's place, nil where nobody has.
func (h *host) portOwner(logger *slog.Logger) reconcile.Edge {
	var edge reconcile.Edge
	if h.edge != nil {
		edge = ports{edge: h.edge, instance: h.instance, logger: logger}
	}
	if len(h.balancers) == 0 {
		return edge
	}
	return portDesk{edge: edge, balancers: h.balancers, instance: h.instance, logger: logger}
}

// guard looks after the load balancers, until ctx ends.
func (h *host) guard(ctx context.Context, logger *slog.Logger) {
	if len(h.balancers) == 0 {
		return
	}
	g := &traffic.Guard{
		Balancers: h.balancers, Lookout: lookout{h.engine}, Log: logger,
		Lost: func() { h.loop.Wake("", reconcile.TriggerDrift) },
	}
	g.Run(ctx)
}

// preflights must all agree.
type preflights []rollout.Preflight

func (all preflights) Check(ctx context.Context, plan reconcile.Plan) error {
	for _, p := range all {
		if err := p.Check(ctx, plan); err != nil {
			return err
		}
	}
	return nil
}

// openers are how a host reads what is encrypted. Two davits on one machine keep
// what they decrypt apart.
func openers(config Config, id identity) compose.Secrets {
	return compose.Secrets{KeyFile: config.AgeKeyFile, Dir: filepath.Join(config.SecretsDir, id.instance)}
}

func (h *host) close() error {
	if h.edge != nil {
		h.edge.Close()
	}
	return h.engine.Close()
}

// stacks loads revisions for this host and learns their secrets on the way.
func (h *host) stacks(s Source, r record) loader {
	owners := func(ctx context.Context) (map[string]reconcile.Owner, error) { return reconcile.RecallOwners(ctx, r) }
	return learned{stacks: stacks{
		source: s.Name, config: s.Config, edged: h.edge != nil, key: h.key, access: h.access, recorded: r.Stacks, owners: owners,
	}, secrets: h.secrets}
}

// identify reads, and makes on first use, what tells this host from others.
func identify(data string) (id identity, err error) {
	if id.instance, err = state.Instance(data); err != nil {
		return id, err
	}
	id.key, err = state.HostKey(data)
	return id, err
}

// recognise is identify for commands that must not write: on a host that never
// ran an agent nothing is this davit's.
func recognise(data string) (identity, error) {
	for _, name := range []string{"instance", "host.key"} {
		_, err := os.Stat(filepath.Join(data, name))
		if errors.Is(err, os.ErrNotExist) {
			return identity{instance: "none-yet"}, nil
		}
		if err != nil {
			return identity{}, fmt.Errorf("read the identity of this host: %w", err)
		}
	}
	return identify(data)
}

// readOnly is a record that cannot be changed; without a reader it is empty.
type readOnly struct{ *state.Reader }

var errReadOnly = errors.New("this command does not write")

func (r readOnly) Releases(ctx context.Context, stack string, limit int) ([]reconcile.Release, error) {
	if r.Reader == nil {
		return nil, nil
	}
	return r.Reader.Releases(ctx, stack, limit)
}

func (r readOnly) Stacks(ctx context.Context) ([]string, error) {
	if r.Reader == nil {
		return nil, nil
	}
	return r.Reader.Stacks(ctx)
}

func (r readOnly) Controls(ctx context.Context, stack string) (reconcile.Controls, error) {
	if r.Reader == nil {
		return reconcile.Controls{}, nil
	}
	return r.Reader.Controls(ctx, stack)
}

// Journal implements reconcile.JournalReader.
func (r readOnly) Journal(ctx context.Context, stack string, seq int64) ([]reconcile.JournalEntry, error) {
	if r.Reader == nil {
		return nil, nil
	}
	return r.Reader.Journal(ctx, stack, seq)
}

// Recall implements reconcile.Memory.
func (r readOnly) Recall(ctx context.Context, key string) (string, bool, error) {
	if r.Reader == nil {
		return "", false, nil
	}
	return r.Reader.Recall(ctx, key)
}

// Remember forgets: what is worked out by looking is worked out again.
func (readOnly) Remember(context.Context, string, string) error { return nil }

func (r readOnly) close() error {
	if r.Reader == nil {
		return nil
	}
	return r.Close()
}

func (readOnly) Begin(context.Context, reconcile.Release) (reconcile.Release, error) {
	return reconcile.Release{}, errReadOnly
}
func (readOnly) Finish(context.Context, reconcile.Release) error        { return errReadOnly }
func (readOnly) SetHold(context.Context, string, *reconcile.Hold) error { return errReadOnly }
func (readOnly) SetPin(context.Context, string, *reconcile.Pin) error   { return errReadOnly }
func (readOnly) SetSuspension(context.Context, string, *reconcile.Suspension) error {
	return errReadOnly
}
func (readOnly) SetStops(context.Context, string, []reconcile.Stop) error { return errReadOnly }
func (readOnly) Intend(context.Context, reconcile.Entry) error            { return errReadOnly }
func (readOnly) Done(context.Context, reconcile.Entry) error              { return errReadOnly }
