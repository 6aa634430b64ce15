package engine

import (
	"sync"
	"time"

	"davit/reconcile"
)

// stops remembers who asked for the end of a container: this process, or somebody
// else. Both are forgotten when it starts again or is gone.
type stops struct {
	mu     *sync.Mutex
	ids    map[string]bool
	byHand map[string]*signalled
}

// signalled is a signal from somebody else, by the engine's clock.
type signalled struct {
	at time.Time
	// ends is true for a signal that people stop things with, stopped once the
	// engine has said that the stop is complete.
	ends, stopped bool
	// sure is true once the engine answered after it: then it was no shutdown.
	sure bool
}

// signalLasts is how long after a bare signal an end is put down to it, or for as long as
// the container may take to stop. A process may take a signal for something else and end
// much later by itself.
const signalLasts = time.Minute

// explains reports whether the signal may be why the container ends at that time: nobody
// can tell a stop's from a bare one before the engine says that the stop is complete.
func (s *signalled) explains(c reconcile.Container, at time.Time) bool {
	return s.ends && (c.Grace < 0 || at.Sub(s.at) < max(signalLasts, c.Grace+defaultGrace))
}

func newStops() stops {
	return stops{mu: &sync.Mutex{}, ids: map[string]bool{}, byHand: map[string]*signalled{}}
}

func (s stops) stop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[id] = true
	delete(s.byHand, id)
}

func (s stops) start(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
	delete(s.byHand, id)
}

func (s stops) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

// killed notes somebody else's signal.
func (s stops) killed(id string, at time.Time, ends bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ids[id] {
		s.byHand[id] = &signalled{at: at, ends: ends}
	}
}

// completed notes the end of a stop. One whose signal nobody here has seen may
// have been asked for by this davit's own process of before.
func (s stops) completed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sign := s.byHand[id]; sign != nil {
		sign.stopped = true
	}
}

// confirm is for signals that an engine which shuts down did not send.
func (s stops) confirm(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sign := s.byHand[id]; sign != nil {
		sign.sure = true
	}
}

// doubt forgets what was not confirmed: the engine is lost, and may have sent it.
func (s stops) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, sign := range s.byHand {
		if !sign.sure {
			delete(s.byHand, id)
		}
	}
}

// keepOnly forgets signals to containers that are gone.
func (s stops) keepOnly(containers []reconcile.Container) {
	there := map[string]bool{}
	for _, c := range containers {
		there[c.ID] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.byHand {
		if !there[id] {
			delete(s.byHand, id)
		}
	}
}

// ending reports whether somebody else's signal is about to end the container, which
// takes what time it was given.
func (s stops) ending(c reconcile.Container, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sign := s.byHand[c.ID]
	return c.State == reconcile.Running && sign != nil && !sign.at.Before(c.Started) && sign.explains(c, now)
}

// ended reports whether somebody else's signal ended the container.
func (s stops) ended(c reconcile.Container) bool {
	if c.State != reconcile.Exited && c.State != reconcile.Dead {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sign := s.byHand[c.ID]
	if sign == nil || sign.at.Before(c.Started) {
		return false
	}
	return sign.stopped || sign.explains(c, c.Finished)
}
