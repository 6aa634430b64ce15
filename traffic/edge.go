package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what an Edge is made with.
type Options struct {
	// Dir is where it keeps its table and the secret of its cookies.
	Dir string
	Log *slog.Logger
	// Lookout may be nil: then only tables confirm whose address is whose.
	Lookout Lookout
	// Sockets are the open ports of the edge that this one takes the place of. Those
	// that the table on disk does not name are closed.
	Sockets Sockets
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Edge serves tables. Run it, once, for as long as it is to serve.
type Edge struct {
	log     *slog.Logger
	now     func() time.Time
	lookout Lookout
	store   *store
	secret  []byte
	since   time.Time
	// succeeded is true of one that took over from another.
	succeeded bool
	// look asks for a look at the engine.
	look chan struct{}
	// running is closed once the table on disk is served, retiring by Retire.
	running, retiring chan struct{}
	// served are the ports that are open, and what came in there.
	served sync.WaitGroup

	// applying has one table at a time saved and carried out. It is taken before mu.
	applying sync.Mutex

	mu sync.Mutex
	// life ends when everything is to end at once.
	life     context.Context
	table    Table
	replicas map[identity]*replica
	fronts   map[string]*front
	// sessions counts the UDP sessions of all ports.
	sessions atomic.Int64
	// headroom is what the HTTP/1 heads at all ports take beyond what most need.
	headroom atomic.Int64
	// closed are the ports of the table that could not be opened, by Port.Key.
	closed  map[string]error
	sockets Sockets
	doubts  doubts
	// hearing is true while the lookout hears of what happens to containers, and blind why
	// it does not, or sees nothing; "" while it does.
	hearing bool
	blind   string
	// proc is where the kernel shows processes.
	proc string
	// reruns are the containers that run otherwise than the table says, by what it says.
	reruns  map[identity]rerun
	past    past
	retired bool
}

// reopening is the pause after which ports that could not be opened are tried again.
const reopening = time.Second

// errRunning is why an Edge does not run twice.
var errRunning = errors.New("the edge was run before")

// New makes an edge of what is on disk. A table there that is damaged is put aside:
// until the agent brings another, there is nothing to serve.
func New(o Options) (*Edge, error) {
	e := &Edge{
		log: o.Log, now: o.Now, lookout: o.Lookout, sockets: o.Sockets,
		proc: processes, look: make(chan struct{}, 1), running: make(chan struct{}), retiring: make(chan struct{}),
		replicas: map[identity]*replica{}, past: past{}, reruns: map[identity]rerun{}, fronts: map[string]*front{}, closed: map[string]error{},
	}
	if e.now == nil {
		e.now = time.Now
	}
	e.since, e.succeeded = e.now(), o.Sockets != nil
	e.doubts.raise("", e.since)
	var err error
	if e.store, err = openStore(o.Dir); err != nil {
		return nil, err
	}
	if e.secret, err = e.store.secret(); err != nil {
		return nil, err
	}
	e.table, err = e.store.load()
	if errors.Is(err, errDamaged) {
		e.log.Error("nothing is served before the agent brings a table", "error", err)
		err = nil
	}
	return e, err
}

// Run serves until ctx ends, which cuts everything, or until nothing is left after
// Retire.
func (e *Edge) Run(ctx context.Context) error {
	life, cut := context.WithCancel(ctx)
	defer cut()
	if err := e.start(life); err != nil {
		return err
	}
	var watching sync.WaitGroup
	if e.lookout != nil {
		watching.Go(func() { e.watch(life) })
	}
	e.tend(life)
	e.Retire()
	e.finish(life)
	cut()
	watching.Wait()
	e.served.Wait()
	e.forget()
	return nil
}

// Running is closed once Run serves the table that was on disk.
func (e *Edge) Running() <-chan struct{} { return e.running }

// start serves the table that was on disk.
func (e *Edge) start(life context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life != nil {
		return errRunning
	}
	e.life = life
	e.put(e.table)
	e.hold()
	e.sockets.Close()
	e.sockets = nil
	close(e.running)
	return nil
}

// tend tries again what could not be opened, and looks for replicas that hang, until
// the edge is to end.
func (e *Edge) tend(ctx context.Context) {
	again := time.NewTicker(reopening)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.retiring:
			return
		case <-again.C:
			e.mu.Lock()
			if len(e.closed) > 0 {
				e.put(e.table)
			}
			e.prune()
			e.judge()
			e.mu.Unlock()
		}
	}
}

// Retire gives the ports up: nothing is accepted any more, and connections that are
// kept for further requests are closed after the next one. Apply goes on to steer
// what is left, and after DefaultStreams everything is cut. Run returns when nothing
// is left.
func (e *Edge) Retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.retired {
		return
	}
	e.retired = true
	for _, f := range e.fronts {
		f.retire(true)
		f.endAfter(DefaultStreams)
	}
	close(e.retiring)
}

// finish waits until nothing is left, or ctx has ended.
func (e *Edge) finish(ctx context.Context) {
	nothing := make(chan struct{})
	go func() {
		defer close(nothing)
		e.served.Wait() // Run waits for it too
	}()
	select {
	case <-nothing:
	case <-ctx.Done():
	}
}

// forget stops the limits of drains, which nobody is left to be cut by.
func (e *Edge) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.replicas {
		r.rest()
	}
}

// Apply makes t what the edge serves. When it returns, t is on disk, and what begins
// from then on goes by it: a replica that is draining or gone gets nothing new, and
// whoever then finds nothing under way there can rely on it. The newest table may be
// applied again, to confirm what it says anew.
func (e *Edge) Apply(ctx context.Context, t Table) (Acknowledgement, error) {
	if err := t.Validate(); err != nil {
		return Acknowledgement{}, fmt.Errorf("table %d: %w", t.Generation, err)
	}
	select {
	case <-e.running:
	case <-ctx.Done():
		return Acknowledgement{}, fmt.Errorf("table %d: the edge does not run: %w", t.Generation, context.Cause(ctx))
	}
	a, err := e.apply(t)
	if err != nil {
		return a, err
	}
	// The table holds, whatever comes of that: who is not confirmed has nothing sent to
	// it, and is looked at again.
	if otherwise, _, err := e.confirm(ctx); err != nil || len(otherwise) > 0 {
		e.lookSoon()
	}
	return a, nil
}

func (e *Edge) apply(t Table) (Acknowledgement, error) {
	e.applying.Lock()
	defer e.applying.Unlock()
	e.mu.Lock()
	have, retired := e.table, e.retired
	e.mu.Unlock()
	repeated, err := t.follows(have)
	if err != nil {
		return Acknowledgement{}, err
	}
	if !repeated && !retired { // the successor writes
		if err := e.store.save(t); err != nil {
			return Acknowledgement{}, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.put(t)
	e.believe(t)
	e.hold()
	e.again()
	a := Acknowledgement{Generation: t.Generation}
	for key, err := range e.closed {
		if a.Closed == nil {
			a.Closed = map[string]string{}
		}
		a.Closed[key] = err.Error()
	}
	return a, nil
}

// ErrStale is why a table was refused: a newer one, or another one of its generation,
// is served. ErrForeign is why a table was refused that another instance than the one
// served has written.
var (
	ErrStale   = errors.New("the edge has a newer table")
	ErrForeign = errors.New("the edge serves another davit")
)

// follows reports whether t is the same table as have, and why it must not take its
// place if that is so.
func (t Table) follows(have Table) (repeated bool, err error) {
	switch {
	case have.Instance == "":
		return false, nil
	case t.Instance != have.Instance && t.Replaces != have.Instance:
		return false, fmt.Errorf("table %d of %s: %w, %s", t.Generation, t.Instance, ErrForeign, have.Instance)
	case t.Instance != have.Instance || t.Generation > have.Generation:
		return false, nil
	case t.Generation < have.Generation || !t.same(have):
		return false, fmt.Errorf("table %d: %w, %d", t.Generation, ErrStale, have.Generation)
	}
	return true, nil
}

// same reports whether both say the same, but for when it was seen.
func (t Table) same(o Table) bool {
	mine, err := json.Marshal(t.unseen())
	theirs, other := json.Marshal(o.unseen())
	return err == nil && other == nil && string(mine) == string(theirs)
}

// unseen is t without the times of looks.
func (t Table) unseen() Table {
	t.Ports = slices.Clone(t.Ports)
	for i := range t.Ports {
		t.Ports[i].Backends = slices.Clone(t.Ports[i].Backends)
		for j := range t.Ports[i].Backends {
			t.Ports[i].Backends[j].Seen = time.Time{}
		}
	}
	return t
}
