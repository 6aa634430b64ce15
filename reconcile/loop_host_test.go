package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"davit/compose"
	"davit/engine"
	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// host is a whole davit on an engine in memory: the real loop, the real executor,
// and a record that outlives the agent. It lives in a synctest bubble, so minutes
// pass in no time.
type host struct {
	t      *testing.T
	engine *enginetest.Engine
	record *record
	disk   *disk
	// silent makes the registry swallow every question.
	silent atomic.Bool
	// asked counts the questions that it got.
	asked atomic.Int64
	// files is where content is kept; nil for none that a test looks at.
	files reconcile.Files
	// scrub takes secrets out of texts; nil leaves them.
	scrub func(string) string
	// projects are what Git declares, by revision.
	revision reconcile.Revision
	declared map[string]*compose.Project
	pushes   int
	// adjust changes how the next agent is started.
	adjust func(*reconcile.Options)

	// adopt and observeOnly configure the next boot.
	adopt       reconcile.AdoptMode
	observeOnly bool

	loop *reconcile.Loop
	stop func()
	// looks counts the loop's snapshots of the engine.
	looks atomic.Int64

	// waits is set while the test waits for everybody else.
	waits atomic.Bool

	mu     sync.Mutex
	events []reconcile.Event
}

// simulate runs f with a host in a bubble and checks, in the end, that no two
// containers ever wrote one volume.
func simulate(t *testing.T, f func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &host{t: t, engine: enginetest.New(enginetest.Options{Instance: "here"}), record: &record{}, disk: &disk{}, declared: map[string]*compose.Project{}}
		h.boot()
		defer func() { h.stop() }()
		f(t, h)
	})
}

// boot starts an agent; stop ends it the way that a crash would: nothing is said
// goodbye to.
func (h *host) boot() {
	h.engine.ForgetExaminations()
	ctx, cancel := context.WithCancel(context.Background())
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	executor := rollout.New(rollout.Options{Engine: h.engine, Prober: h.engine, Journal: h.record, Preflight: h.disk, Logger: logger})
	var loop *reconcile.Loop
	vigil := rollout.NewVigil(executor, func(stack string) { loop.Wake(stack, reconcile.TriggerDrift) })
	options := reconcile.Options{
		Attendant: vigil,
		Instance:  "here", Engine: counted{h.engine, &h.looks}, Registry: h, Keeper: h.engine, Executor: executor,
		History: h.record, Decisions: h.record, Journal: h.record, Files: h.files, Scrub: h.scrub, Logger: logger, AdoptMode: h.adopt, ObserveOnly: h.observeOnly,
		Emit: func(e reconcile.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
	}
	if h.adjust != nil {
		h.adjust(&options)
	}
	loop = reconcile.New(options)
	var running sync.WaitGroup
	running.Go(func() { _ = loop.Run(ctx) })
	running.Go(func() { vigil.Run(ctx) })
	running.Go(func() {
		_ = h.engine.Events(ctx, func(c engine.Change) { loop.Wake(c.Stack, reconcile.TriggerDrift) })
	})
	h.record.interrupt()
	h.loop, h.stop = loop, func() { cancel(); running.Wait() }
	if h.revision.Commit != "" {
		h.declare()
	}
}

// counted is the engine with its snapshots counted.
type counted struct {
	*enginetest.Engine
	looks *atomic.Int64
}

func (c counted) Observe(ctx context.Context) (reconcile.Observed, error) {
	c.looks.Add(1)
	return c.Engine.Observe(ctx)
}

// push declares a new content of the stack shop, with a version tag unless
// version is "".
func (h *host) push(version, yaml string) {
	h.t.Helper()
	h.pushes++
	h.revision = reconcile.Revision{Ref: "main", Commit: fmt.Sprintf("%040d", h.pushes), Version: "v0.0.0-" + fmt.Sprint(h.pushes), Author: "ann"}
	if version != "" {
		h.revision.Tag, h.revision.Version = version, version
	}
	delete(h.declared, "shop")
	if yaml != "" {
		h.declared["shop"] = loadProject(h.t, yaml)
	}
	h.declare()
}

func (h *host) declare() {
	d := reconcile.Declaration{Revision: h.revision}
	for _, name := range slices.Sorted(maps.Keys(h.declared)) {
		d.Projects = append(d.Projects, h.declared[name])
	}
	h.loop.Declare(d)
	h.settle()
}

// pass lets time go by.
func (h *host) pass(d time.Duration) {
	h.waits.Store(true)
	defer h.waits.Store(false)
	time.Sleep(d)
	synctest.Wait()
}

// settle lets everything happen that is due at this moment: what a test reads must not
// depend on who was scheduled first. What the engine calls back during a wait reads at once.
func (h *host) settle() {
	if h.waits.CompareAndSwap(false, true) {
		defer h.waits.Store(false)
		synctest.Wait()
	}
}

// image adds an image to the engine under ref.
func (h *host) image(ref string, b enginetest.Behaviour) reconcile.Image {
	return h.engine.AddImage(ref, b)
}

// running are the shop's running containers as "web/1 shop:1.0", sorted.
func (h *host) running() string {
	h.settle()
	var out []string
	for _, c := range h.observe().Containers {
		if c.Running() {
			out = append(out, fmt.Sprintf("%s/%d %s", c.Service, c.Number, c.ImageRef))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (h *host) observe() reconcile.Observed {
	h.t.Helper()
	o, err := h.engine.Observe(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return o
}

// history are the releases, oldest first, as "#1 deploy v1.0.0 succeeded".
func (h *host) history() string {
	h.settle()
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	var out []string
	for _, r := range slices.Backward(h.record.releases) {
		line := fmt.Sprintf("#%d %s %s %s", r.Seq, r.Kind, r.Version, r.Outcome)
		if r.Restores > 0 {
			line += fmt.Sprintf(" restores #%d", r.Restores)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func (h *host) status() reconcile.StackStatus {
	h.t.Helper()
	h.settle()
	all, err := h.loop.Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == "shop" {
			return s
		}
	}
	h.t.Fatal("no stack shop in the status")
	return reconcile.StackStatus{}
}

func (h *host) expect(what, got, want string) {
	h.t.Helper()
	if got != strings.TrimSpace(want) {
		h.t.Fatalf("%s:\n got:\n%s\nwant:\n%s\nhistory:\n%s\nevents:\n%s", what, got, strings.TrimSpace(want), h.history(), h.story())
	}
}

// story is every event, for a failing test's reader.
func (h *host) story() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, e := range h.events {
		fmt.Fprintf(&b, "%s %-18s %s\n", e.At.Format(time.TimeOnly), e.Kind, e.Message)
	}
	return b.String()
}

// told is how many events there were.
func (h *host) told() int {
	h.settle()
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events)
}

func (h *host) emitted(kind reconcile.EventKind) int {
	h.settle()
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, e := range h.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// registry resolves what the twin's library publishes.
type registry struct{ engine *enginetest.Engine }

func (r registry) Resolve(_ context.Context, ref, _ string) (reconcile.Image, error) {
	return r.engine.Resolve(ref)
}

// Resolve is the registry of the host's loop, which may say nothing at all.
func (h *host) Resolve(ctx context.Context, ref, platform string) (reconcile.Image, error) {
	h.asked.Add(1)
	if h.silent.Load() {
		select {
		case <-ctx.Done():
		case <-time.After(30 * time.Second):
		}
		return reconcile.Image{}, fmt.Errorf("resolve %s: %w", ref, reconcile.ErrRegistryUnavailable)
	}
	return registry{h.engine}.Resolve(ctx, ref, platform)
}

// disk is a preflight that finds room or none.
type disk struct{ full atomic.Bool }

func (d *disk) fill(full bool) { d.full.Store(full) }

func (d *disk) Check(context.Context, reconcile.Plan) error {
	if d.full.Load() {
		return reconcile.ErrDiskFull
	}
	return nil
}

// record is history, decisions and journal in memory.
type record struct {
	mu       sync.Mutex
	releases []reconcile.Release // newest first
	controls reconcile.Controls
	journal  []reconcile.Entry
	ended    []reconcile.Entry
	// full refuses every write, like a disk without room.
	full bool
	// dead drops every write, like an agent that was killed before it could.
	dead bool
	// dieOnFailure makes it dead once it was told anything of a failure.
	dieOnFailure bool
	// damaged is the stack whose record cannot be read.
	damaged string
	// refuseEnd refuses to record the end of a release.
	refuseEnd bool
}

// unreadable makes the record of one stack fail to be read.
func (r *record) unreadable(stack string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damaged = stack
}

func (r *record) Releases(_ context.Context, stack string, _ int) ([]reconcile.Release, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damaged == stack && stack != "" {
		return nil, errors.New("row is damaged")
	}
	return slices.DeleteFunc(slices.Clone(r.releases), func(x reconcile.Release) bool { return x.Stack != stack }), nil
}

func (r *record) Begin(_ context.Context, x reconcile.Release) (reconcile.Release, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return x, fmt.Errorf("insert release: %w", reconcile.ErrDiskFull)
	}
	if x.Seq > 0 {
		if i := slices.IndexFunc(r.releases, func(y reconcile.Release) bool { return y.Stack == x.Stack }); i < 0 || r.releases[i].Seq != x.Seq || r.releases[i].Running() {
			return x, fmt.Errorf("release #%d cannot go on", x.Seq)
		} else {
			r.releases[i] = x
		}
		return x, nil
	}
	x.Seq = 1
	if i := slices.IndexFunc(r.releases, func(y reconcile.Release) bool { return y.Stack == x.Stack }); i >= 0 {
		x.Seq = r.releases[i].Seq + 1
		if r.releases[i].Running() {
			return x, fmt.Errorf("release #%d has not ended", r.releases[i].Seq)
		}
	}
	r.releases = append([]reconcile.Release{x}, r.releases...)
	return x, nil
}

func (r *record) Finish(_ context.Context, x reconcile.Release) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return nil
	}
	if r.refuseEnd {
		return fmt.Errorf("update release: %w", reconcile.ErrDiskFull)
	}
	i := slices.IndexFunc(r.releases, func(y reconcile.Release) bool { return y.Stack == x.Stack && y.Seq == x.Seq })
	if i < 0 || !r.releases[i].Running() {
		return fmt.Errorf("release #%d is not running", x.Seq)
	}
	r.releases[i] = x
	r.dead = r.dead || r.dieOnFailure && x.Outcome == reconcile.Failed
	return nil
}

func (r *record) Stacks(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stacks := map[string]bool{}
	for _, x := range r.releases {
		stacks[x.Stack] = true
	}
	return slices.Sorted(maps.Keys(stacks)), nil
}

// fill takes the room on the disk, or gives it back.
func (r *record) fill(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = full
}

// refuseEnds refuses to record how releases end, or no longer.
func (r *record) refuseEnds(refuse bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuseEnd = refuse
}

// die drops every write from now on, or no longer.
func (r *record) die(dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = dead
}

// interrupt is what the store does when an agent starts.
func (r *record) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.releases {
		if r.releases[i].Running() {
			r.releases[i].Outcome, r.releases[i].Finished = reconcile.Interrupted, time.Now()
		}
	}
}

func (r *record) Controls(context.Context, string) (reconcile.Controls, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.controls, nil
}

func (r *record) SetHold(_ context.Context, _ string, h *reconcile.Hold) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead {
		r.controls.Hold = h
	}
	r.dead = r.dead || r.dieOnFailure
	return nil
}

func (r *record) SetPin(_ context.Context, _ string, p *reconcile.Pin) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead {
		r.controls.Pin = p
	}
	return nil
}

func (r *record) SetSuspension(_ context.Context, _ string, s *reconcile.Suspension) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.controls.Suspension = s
	return nil
}

func (r *record) SetStops(_ context.Context, _ string, stops []reconcile.Stop) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.controls.Stops = stops
	return nil
}

func (r *record) Intend(_ context.Context, e reconcile.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return fmt.Errorf("write journal: %w", reconcile.ErrDiskFull)
	}
	if r.dead {
		return nil
	}
	r.journal = append(r.journal, e)
	return nil
}

func (r *record) Done(_ context.Context, e reconcile.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead {
		r.ended = append(r.ended, e)
	}
	return nil
}

// Journal is what was intended of a release, with how it ended.
func (r *record) Journal(_ context.Context, stack string, seq int64) ([]reconcile.JournalEntry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []reconcile.JournalEntry
	for _, e := range r.journal {
		if e.Stack != stack || e.Seq != seq {
			continue
		}
		entry := reconcile.JournalEntry{Entry: e}
		for _, end := range r.ended {
			if end.Seq == seq && end.Step == e.Step && end.Container == e.Container {
				entry.Done, entry.Err = true, end.Err
			}
		}
		out = append(out, entry)
	}
	return out, nil
}
