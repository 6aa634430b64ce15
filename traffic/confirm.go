package traffic

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Lookout is the edge's own look at the engine; it only reads.
type Lookout interface {
	// Watch calls its functions, one call at a time, until ctx ends: heard(nil) when it
	// has begun to hear of what happens to containers, so that nothing after is missed,
	// heard(why) when it does not, or not any more; moved with the ID of a container whose
	// addresses may have changed: it started, it died, it joined or left a network.
	Watch(ctx context.Context, heard func(error), moved func(container string)) error
	// Look returns those of the containers that run.
	Look(ctx context.Context, containers []string) ([]Sighting, error)
}

// Sighting is a container that runs.
type Sighting struct {
	Container string
	Started   time.Time
	Addresses []netip.Addr
	// Process is the number of a process of it on the engine's host, 0 if that is not
	// known.
	Process int
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

// doubt takes a container's addresses for unknown.
func (e *Edge) doubt(container string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubts.raise(container, e.now())
	for _, r := range e.replicas {
		if r.identity.container == container {
			r.unknow()
			r.doubted = e.now()
		}
	}
	e.lookSoon()
}

// heard takes all addresses for unknown, but for those that can be felt: the lookout
// begins to hear of what happens, or has ended to.
func (e *Edge) heard(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if why != nil && !e.hearing {
		e.blind = why.Error()
		return
	}
	e.hearing, e.blind = why == nil, ""
	if why != nil {
		e.blind = why.Error()
	}
	e.doubts.raise("", e.now())
	for _, r := range e.replicas {
		if !r.confirmed.Load() || !e.felt(r) {
			r.unknow()
			r.doubted = e.now()
		}
	}
	e.hold()
	e.again()
	e.lookSoon()
}

// hears reports whether what somebody saw a moment ago still holds, since nothing else
// was heard. An edge without a lookout has nobody else to believe than its tables. The
// caller holds e.mu.
func (e *Edge) hears() bool { return e.hearing || e.lookout == nil }

// hold takes for known what can be felt, while nothing is heard: an engine that is away
// changes nothing, and one that has come back and not been heard has ended the processes
// of what it started anew. The caller holds e.mu.
func (e *Edge) hold() {
	if e.hears() {
		return
	}
	for _, r := range e.replicas {
		if !r.confirmed.Load() {
			e.felt(r)
		}
	}
}

// felt takes the replica's addresses for its own as long as its pulse is felt, and
// reports whether it is. The caller holds e.mu.
func (e *Edge) felt(r *replica) bool {
	if p := r.pulse.Load(); p != nil {
		return p.all(r.addresses)
	}
	if r.process == 0 || r.addresses == nil {
		return false
	}
	p, err := feel(e.proc, r.identity.container, r.process)
	if err != nil {
		e.log.Debug("a container can be vouched for by its engine only", "replica", r.name, "error", err)
		return false
	}
	if !p.all(r.addresses) {
		p.end()
		return false
	}
	r.rely(p)
	return true
}

// believe confirms those of the table's replicas that its writer saw after the last
// doubt, if a later one would have been heard of. The caller holds e.mu.
func (e *Edge) believe(t Table) {
	if !e.hears() {
		return
	}
	now := e.now()
	for _, p := range t.Ports {
		for _, b := range p.Backends {
			// Where the edge has followed the container elsewhere, t says nothing about that. A
			// look of the future is that of a clock which was set back since.
			r := e.replicas[b.identity()]
			if slices.Contains(r.at(), b.Address.Addr().Unmap()) && e.doubts.settled(b.Container, b.Seen) && !b.Seen.After(now) {
				r.confirm()
			}
		}
	}
}

// lookSoon has the lookout asked about what is not confirmed.
func (e *Edge) lookSoon() {
	select {
	case e.look <- struct{}{}:
	default: // it is to look already
	}
}

// unconfirmed are the containers of the table that nobody has vouched for since what is
// heard is heard.
func (e *Edge) unconfirmed() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.hearing {
		return nil
	}
	var out []string
	for _, r := range e.replicas {
		if r.addresses != nil && (!r.confirmed.Load() || r.pulse.Load() != nil) {
			out = append(out, r.identity.container)
		}
	}
	slices.Sort(out)
	return out
}

// confirm asks the lookout about what is not confirmed, and confirms what it sees as
// the table has it. It returns the containers that run otherwise. Without a lookout
// that is for the next table to do; and while nothing is heard, what was seen might not
// hold any more.
func (e *Edge) confirm(ctx context.Context) (otherwise []Sighting, seen time.Time, err error) {
	containers := e.unconfirmed()
	if len(containers) == 0 {
		return nil, seen, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	seen = e.now()
	sightings, err := e.lookout.Look(ctx, containers)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil:
		e.blind = err.Error()
		return nil, seen, err
	case !e.hearing:
		return nil, seen, nil
	}
	e.blind = ""
	for _, container := range containers {
		otherwise = append(otherwise, e.sighted(container, sightings, seen)...)
	}
	e.again()
	return otherwise, seen, nil
}

// sighted confirms a container by what was seen then, or takes its addresses for
// unknown. It returns how it runs otherwise than the table says.
func (e *Edge) sighted(container string, sightings []Sighting, seen time.Time) (otherwise []Sighting) {
	if !e.doubts.settled(container, seen) {
		return nil // something happened meanwhile: it is looked at again
	}
	at := slices.IndexFunc(sightings, func(s Sighting) bool { return s.Container == container })
	for _, r := range e.replicas {
		switch {
		case r.identity.container != container || r.addresses == nil:
		case r.confirmed.Load() && r.pulse.Load() == nil: // a table has, of what was seen later
		case at >= 0 && r.is(sightings[at]):
			r.process = cmp.Or(sightings[at].Process, r.process)
			r.confirm()
			return nil
		default:
			r.unknow()
		}
	}
	if at < 0 {
		return nil
	}
	return sightings[at : at+1]
}

// is reports whether s is the replica as the table has it.
func (r *replica) is(s Sighting) bool {
	missing := func(a netip.Addr) bool { return !slices.Contains(s.Addresses, a) }
	return r.identity.started == s.Started.UnixNano() && !slices.ContainsFunc(r.addresses, missing)
}

// watch follows the engine until ctx ends, and looks whenever there is a doubt.
func (e *Edge) watch(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		if err := e.lookout.Watch(ctx, e.heard, e.doubt); err != nil && ctx.Err() == nil {
			e.heard(err)
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
