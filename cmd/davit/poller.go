package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"davit/gitsource"
	"davit/reconcile"
	"davit/web"
)

const (
	// firstPatience is how long the first poll may take before the last good
	// revision is declared in its stead, so that drift is healed meanwhile.
	firstPatience = 3 * time.Second
	// A poll that failed is repeated sooner than the schedule says, at growing
	// intervals.
	firstAgain = 5 * time.Second
	lastAgain  = 5 * time.Minute
)

// source is where revisions come from.
type source interface {
	Poll(ctx context.Context) (reconcile.Revision, error)
	Last() (reconcile.Revision, bool)
	String() string
}

// declarer takes what a source declares: the loop.
type declarer interface {
	Declare(d reconcile.Declaration)
	SourceState(source string, at time.Time, err error)
}

// loader reads a revision's stacks. Stamp changes when the files beside the
// repository that loading reads have changed.
type loader interface {
	Load(ctx context.Context, r reconcile.Revision) (reconcile.Declaration, error)
	Stamp() string
}

// poller polls a source by schedule and on request, and declares what it finds.
type poller struct {
	// name is the source's name; "" where there is only one.
	name     string
	source   source
	schedule gitsource.Schedule
	loader   loader
	loop     declarer
	emit     func(reconcile.Event)
	// remember keeps the revision for commands that run without an agent.
	remember func(ctx context.Context, r reconcile.Revision) error
	logger   *slog.Logger
	now      func() time.Time
	asked    chan chan error
	// begun is closed once something is declared, or there is nothing yet and no
	// use in waiting for it.
	begun chan struct{}

	// declaring is held while a revision is loaded; what it guards is what is
	// declared.
	declaring sync.Mutex
	declared  *reconcile.Revision
	stamp     string

	mu       sync.Mutex
	state    web.SourceStatus
	failures int
}

// run polls until ctx ends.
func (p *poller) run(ctx context.Context) {
	p.first(ctx)
	for {
		timer := time.NewTimer(p.pause())
		var asked []chan error
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case reply := <-p.asked:
			timer.Stop()
			asked = append(asked, reply)
		}
		// Whoever asked before the poll begins is answered by it.
		for more := true; more; {
			select {
			case reply := <-p.asked:
				asked = append(asked, reply)
			default:
				more = false
			}
		}
		err := p.poll(ctx)
		for _, reply := range asked {
			reply <- err
		}
	}
}

// first polls and, if that fails or takes long, declares the last good revision.
func (p *poller) first(ctx context.Context) {
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		// The error is in the source's state and in an event.
		_ = p.poll(ctx)
	}()
	select {
	case <-polled:
	case <-time.After(firstPatience):
	}
	if last, ok := p.source.Last(); ok {
		if err := p.declare(ctx, last, false); err != nil {
			p.logger.Error("last good revision cannot be loaded", "error", err)
		}
	}
	close(p.begun)
	<-polled
}

// Poll lists the source now; it returns when what it found is declared.
func (p *poller) Poll(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case p.asked <- reply:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask is Poll for those who do not wait.
func (p *poller) ask() {
	select {
	case p.asked <- make(chan error, 1):
	default: // one is in line already
	}
}

func (p *poller) poll(ctx context.Context) error {
	r, err := p.source.Poll(ctx)
	if err == nil {
		err = p.declare(ctx, r, true)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.note(err)
	return err
}

// declare loads a revision and declares it, unless it is declared already.
// Only a newer one replaces another.
func (p *poller) declare(ctx context.Context, r reconcile.Revision, newer bool) error {
	p.declaring.Lock()
	defer p.declaring.Unlock()
	stamp := p.loader.Stamp()
	if d := p.declared; d != nil && (!newer || stamp == p.stamp && named(*d) == named(r)) {
		return nil
	}
	d, err := p.loader.Load(ctx, r)
	if err != nil {
		return err
	}
	p.loop.Declare(d)
	p.declared, p.stamp = &r, stamp
	p.mu.Lock()
	p.state.Revision, p.state.Commit, p.state.Version = r.String(), r.Commit, r.Version
	p.mu.Unlock()
	if err := p.remember(ctx, r); err != nil {
		p.logger.Warn("revision is not remembered", "error", err)
	}
	return nil
}

// named is what of a revision can change without its being listed again.
func named(r reconcile.Revision) [4]string { return [4]string{r.Commit, r.Ref, r.Tag, r.Version} }

// note records how a poll went, and says so when that is news.
func (p *poller) note(err error) {
	now := p.now()
	p.loop.SourceState(p.name, now, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.state.LastError
	if err == nil {
		p.state.LastFetch, p.state.LastError, p.failures = &now, "", 0
		if before != "" {
			p.emit(reconcile.Event{At: now, Kind: reconcile.EventSourceRecovered, Severity: reconcile.SeverityInfo,
				Message: p.called("the source is read again: " + p.source.String())})
		}
		return
	}
	p.failures++
	p.state.LastError = err.Error()
	if h := reconcile.Hint(err); h != "" {
		p.state.LastError += " (" + h + ")"
	}
	if p.state.LastError != before {
		severity := reconcile.SeverityWarning
		var stalled *reconcile.Stalled
		if errors.As(err, &stalled) {
			severity = reconcile.SeverityError
		}
		p.emit(reconcile.Event{At: now, Kind: reconcile.EventSourceFailed, Severity: severity, Message: p.called(p.state.LastError)})
	}
}

// called is text with the source's name, where it has one, before it.
func (p *poller) called(text string) string {
	if p.name == "" {
		return text
	}
	return "source " + p.name + ": " + text
}

// pause is how long to wait before the next poll.
func (p *poller) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	next := p.schedule.Next(now, rand.Float64)
	if p.failures > 0 {
		ceiling := min(firstAgain<<min(p.failures-1, 10), lastAgain)
		if again := now.Add(ceiling/2 + rand.N(ceiling/2)); again.Before(next) {
			next = again
		}
	}
	p.state.NextPoll = &next
	return next.Sub(now)
}

// State describes the source for the API.
func (p *poller) State() web.SourceStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	s.Name, s.Source = p.name, p.source.String()
	return s
}
