package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"davit/compose"
)

// Engine is what the loop reads of the container engine.
type Engine interface {
	Observe(ctx context.Context) (Observed, error)
	// LocalImage looks an image up by tag, digest reference or ID; it returns
	// ErrImageMissing when the engine does not have it.
	LocalImage(ctx context.Context, ref string) (Image, error)
}

// Registry resolves references where they are published.
type Registry interface {
	// Platform, os/arch[/variant], chooses from images made for several; "" is the
	// engine's own.
	Resolve(ctx context.Context, ref, platform string) (Image, error)
}

// Keeper holds images with local tags so that a prune does not take what a
// rollback needs.
type Keeper interface {
	Tag(ctx context.Context, id, ref string) error
	Untag(ctx context.Context, ref string) error
	// KeepTags returns every tag below "davit.local/keep/" and the ID it means.
	KeepTags(ctx context.Context) (map[string]string, error)
	// BuildTags returns every tag below compose.BuildTagPrefix and the ID it means.
	BuildTags(ctx context.Context) (map[string]string, error)
}

// Options are the parts of a Loop. All but Files, Memory, Journal, Sources, Scrub, Now, KeepReleases and
// Parallel are required.
type Options struct {
	Instance  string
	Engine    Engine
	Registry  Registry
	Keeper    Keeper
	Executor  Executor
	History   History
	Decisions Decisions
	// Files keeps what containers mount; compose.Files without a place for secrets
	// when nil.
	Files Files
	// Memory keeps which source each stack belongs to. Without one that is known
	// only while the loop lives.
	Memory Memory
	// Journal says which hooks were begun whose containers are gone. Without one only
	// containers tell, and the hooks of failed releases are not run.
	Journal JournalReader
	// Sources are the names of all that may declare something; one without a name
	// when empty.
	Sources []string
	// Edge owns host ports; nil where Docker publishes them all. The Executor works with
	// the same.
	Edge *Switchboard
	// Attendant makes lasting probes; nil where nobody does.
	Attendant Attendant
	// Analyst judges canaries; nil where no content asks for that.
	Analyst Analyst
	// PortHolder names who listens at a port of the host, "" where that cannot be found
	// out. It may be nil.
	PortHolder func(HostPort) string
	// Emit receives every event; it must return quickly.
	Emit   func(Event)
	Logger *slog.Logger
	// Scrub takes known secrets out of values that are to be shown; nil leaves them
	// as they are.
	Scrub func(string) string
	// Judge may be nil: then everything that was recorded is allowed.
	Judge Judge
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// AdoptMode says which running projects are taken over unasked; AdoptIdentical
	// when 0.
	AdoptMode AdoptMode
	// ObserveOnly plans and reports and never acts.
	ObserveOnly bool
	// Windows are when new content may go in on this host, besides what stacks say
	// themselves.
	Windows compose.Windows
	// KeepReleases is how many good releases keep their images; 3 when 0.
	KeepReleases int
	// Parallel is how many stacks reconcile at once; 8 when 0.
	Parallel int
}

// Loop drives every stack of its sources towards what is declared. It is level
// triggered: whatever wakes it, a pass observes everything once and decides for
// each stack from what is so now.
type Loop struct {
	Options
	wake chan struct{}
	// slots bounds how many stacks are worked on at once; workers are they.
	slots   chan struct{}
	workers sync.WaitGroup

	mu     sync.Mutex
	claims *claims
	// polled is how the last polls of each source went.
	polled map[string]sourceState
	// began is when Run did.
	began  time.Time
	stacks map[string]*stack
	// clashes are the refused claims that were reported, and when.
	clashes map[string]time.Time
	// scope is all that the loop acts on, nil for everything.
	scope *Scope
	// lookups answers what the registries were asked in this pass already.
	lookups  *lookups
	observed Observed
	// generation is the edge's at the last pass that saw it.
	generation int64
	engineErr  error
	// surveyed is true once every recorded stack is known.
	surveyed bool
	// charts are what was seen of containers over time.
	charts charts
	// edgeNews is what is to be told of the edge.
	edgeNews edgeNews
	// handedOver are the stacks whose ports an operator lets the edge have, with the
	// release that ran then.
	handedOver map[string]int64
	// collectAt is when content that nobody needs is looked for again.
	collectAt time.Time

	// content is held for reading while content is written, and for writing while
	// it is collected. It is taken before mu.
	content sync.RWMutex
}

// sourceState is how the last polls went.
type sourceState struct {
	at  time.Time
	err error
}

const (
	// resync is how long a pass may be overdue when every event is lost.
	resync = 60 * time.Second
	// quiet is the least time between two passes, so that a burst of events
	// costs one. Where a pass takes long, on a host that is busy starting containers,
	// say, the engine is left alone for twice as long, up to longestRest.
	quiet       = 100 * time.Millisecond
	longestRest = 2 * time.Second
	// firstPoll is how long an agent that has just started waits for what Git declares
	// before it takes back what was under way. A poll that fails ends it.
	firstPoll = 10 * time.Second
)

// Why a piece of work is cut short. They are the causes of its context.
var (
	errSuperseded = errors.New("superseded by newer content")
	errCancelled  = errors.New("cancelled by an operator")
)

// New returns a loop that does nothing until Run or Settle.
func New(o Options) *Loop {
	if o.Scrub == nil {
		o.Scrub = func(value string) string { return value }
	}
	if o.Files == nil {
		o.Files = compose.Files{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.KeepReleases == 0 {
		o.KeepReleases = 3
	}
	if o.Parallel == 0 {
		o.Parallel = 8
	}
	l := &Loop{
		handedOver: map[string]int64{},
		Options:    o,
		wake:       make(chan struct{}, 1),
		slots:      make(chan struct{}, o.Parallel),
		claims:     newClaims(o.Sources),
		polled:     map[string]sourceState{},
		stacks:     map[string]*stack{},
		clashes:    map[string]time.Time{},
		lookups:    newLookups(o.Registry),
	}
	l.Engine = entitled{o.Engine, l}
	return l
}

// Run reconciles until ctx ends, then waits for what is under way to reach a
// safe point.
func (l *Loop) Run(ctx context.Context) error {
	defer l.workers.Wait()
	if l.Edge != nil {
		l.workers.Go(func() { l.watchEdge(ctx) })
	}
	l.mu.Lock()
	l.began = l.Now()
	l.mu.Unlock()
	for {
		begun := time.Now()
		next := l.pass(ctx)
		rest := min(max(quiet, 2*time.Since(begun)), longestRest)
		if err := sleep(ctx, rest); err != nil {
			return nil
		}
		timer := time.NewTimer(max(next-rest, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-l.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Settle reconciles what is declared until nothing is under way and nothing more
// can be done at once; it is Run for `davit apply --dir`. How every stack stands
// then is for Status to say.
func (l *Loop) Settle(ctx context.Context) error {
	for {
		l.pass(ctx)
		worked := l.busy()
		l.workers.Wait()
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !worked {
			return l.engineErr
		}
	}
}

func (l *Loop) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.stacks {
		if s.work != nil || len(s.overseen) > 0 {
			return true
		}
	}
	return false
}

// Declare tells the loop what the newest revision of a source declares. Work on
// other content of a stack is superseded at its next safe point.
func (l *Loop) Declare(d Declaration) {
	l.mu.Lock()
	before := l.claims.latest[d.Source]
	news, what := before == nil || before.Revision.Commit != d.Revision.Commit, "new revision "
	if before == nil {
		what = "following " // new or not: this agent has only just started
	}
	l.claims.declare(d)
	l.adopt()
	l.mu.Unlock()
	if d.Source != "" {
		what = "source " + d.Source + ": " + what
	}
	if news {
		l.Emit(Event{At: l.Now(), Kind: EventNewRevision, Severity: SeverityInfo, Version: d.Revision.Version, Commit: d.Revision.Commit,
			Message: what + d.Revision.Short() + ": " + d.Revision.Subject})
	}
	l.poke()
}

// SourceState tells the loop how the last poll of a source went: the time of a
// successful listing, or the error of a failed one. Nothing that runs is touched.
func (l *Loop) SourceState(source string, at time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.polled[source]
	if err == nil {
		state.at = at
	}
	news := state.err == nil && err != nil
	state.err = err
	l.polled[source] = state
	if news {
		l.poke()
	}
}

// Wake asks for a pass over a stack, or over all of them for "". It never blocks.
// An operator's wake does not wait for a backoff to end.
func (l *Loop) Wake(stack string, why Trigger) {
	l.mu.Lock()
	for name, s := range l.stacks {
		if (stack == "" || stack == name) && why == TriggerCLI {
			s.trigger, s.backoff = why, backoff{}
		}
	}
	l.mu.Unlock()
	l.poke()
}

func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// stack returns the state of the stack called name. The caller holds l.mu.
func (l *Loop) stack(name string) *stack {
	s, ok := l.stacks[name]
	if !ok {
		s = &stack{name: name, trigger: TriggerStartup, logger: l.Logger.With("stack", name), mourned: map[int64]bool{}, overseen: map[string]bool{}}
		if len(l.claims.latest) > 0 && !l.observed.At.IsZero() {
			s.trigger = TriggerPoll
		}
		l.stacks[name] = s
	}
	return s
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
