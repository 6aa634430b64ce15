package traffic

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Lookout is the edge's own look at the engine; it only reads.
type Lookout interface {
	// Watch calls f, one call at a time, when a container's address may have changed,
	// with its ID: it started, it died, it joined or left a network. It calls f("") when
	// that may be so for any: the stream began, so that nothing after is missed, or it
	// ended. It returns when ctx ends.
	Watch(ctx context.Context, f func(container string)) error
	// Look returns those of the containers that run.
	Look(ctx context.Context, containers []string) ([]Sighting, error)
}

// Sighting is a container that runs.
type Sighting struct {
	Container string
	Started   time.Time
	Addresses []netip.Addr
}

// lookWithin bounds one look, and lookAgain is the pause after one that did not settle everything.
const lookWithin, lookAgain = 5 * time.Second, time.Second

// doubts are since when it is not certain any more which addresses are whose.
type doubts struct {
	// all is the last doubt about everything, of the last one about each container.
	all time.Time
	of  map[string]time.Time
}

// manyDoubts is when doubts about single containers become one about all.
const manyDoubts = 1000

// raise doubts a container, "" for all of them.
func (d *doubts) raise(container string, now time.Time) {
	if container == "" || len(d.of) >= manyDoubts {
		d.all, d.of = now, map[string]time.Time{}
		return
	}
	d.of[container] = now
}

// settled reports whether what was seen of a container at the time given is past all
// doubt.
func (d *doubts) settled(container string, seen time.Time) bool {
	return seen.After(d.all) && seen.After(d.of[container])
}

// doubt takes a container's addresses for unknown, those of all for "".
func (e *Edge) doubt(container string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubts.raise(container, e.now())
	for _, r := range e.replicas {
		if container == "" || r.identity.container == container {
			r.confirmed.Store(false)
			r.doubted = e.now()
		}
	}
	e.lookSoon()
}

// believe confirms those of the table's replicas that its writer saw after the last
// doubt. The caller holds e.mu.
func (e *Edge) believe(t Table) {
	for _, p := range t.Ports {
		for _, b := range p.Backends {
			// Where the edge has followed the container elsewhere, t says nothing about that.
			r := e.replicas[b.identity()]
			if slices.Contains(r.at(), b.Address.Addr().Unmap()) && e.doubts.settled(b.Container, t.Seen) {
				r.confirmed.Store(true)
			}
		}
	}
	e.again()
}

// lookSoon has the lookout asked about what is not confirmed.
func (e *Edge) lookSoon() {
	select {
	case e.look <- struct{}{}:
	default: // it is to look already
	}
}

// unconfirmed are the containers of the table that nobody has vouched for.
func (e *Edge) unconfirmed() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, r := range e.replicas {
		if r.addresses != nil && !r.confirmed.Load() {
			out = append(out, r.identity.container)
		}
	}
	slices.Sort(out)
	return out
}

// confirm asks the lookout about what is not confirmed, and confirms what it sees as
// the table has it. It returns the containers that run otherwise. Without a lookout
// that is for the next table to do.
func (e *Edge) confirm(ctx context.Context) (otherwise []Sighting, seen time.Time, err error) {
	containers := e.unconfirmed()
	if e.lookout == nil || len(containers) == 0 {
		return nil, seen, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	seen = e.now()
	sightings, err := e.lookout.Look(ctx, containers)
	if err != nil {
		return nil, seen, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range sightings {
		r := e.replicas[identity{s.Container, s.Started.UnixNano()}]
		switch {
		case !e.doubts.settled(s.Container, seen): // something happened meanwhile: it is looked at again
		case r.at() == nil || slices.ContainsFunc(r.at(), func(a netip.Addr) bool { return !slices.Contains(s.Addresses, a) }):
			otherwise = append(otherwise, s)
		default:
			r.confirmed.Store(true)
		}
	}
	e.again()
	return otherwise, seen, nil
}

// watch follows the engine until ctx ends, and looks whenever there is a doubt.
func (e *Edge) watch(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		if err := e.lookout.Watch(ctx, e.doubt); err != nil && ctx.Err() == nil {
			e.doubt("")
			e.log.ErrorContext(ctx, "the engine is not watched any more", "error", err)
		}
	})
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.look:
		case <-again:
		}
		again = nil
		otherwise, seen, err := e.confirm(ctx)
		if err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "the engine cannot be looked at", "error", err)
		}
		e.followAll(ctx, otherwise, seen)
		if err != nil || len(otherwise) > 0 {
			again = time.After(lookAgain)
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
