package engine

import "sync"

// stops remembers the containers that this process asked the engine to stop,
// until they start again or are gone.
type stops struct {
	mu  *sync.Mutex
	ids map[string]bool
}

func newStops() stops { return stops{mu: &sync.Mutex{}, ids: map[string]bool{}} }

func (s stops) stop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[id] = true
}

func (s stops) start(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
}

func (s stops) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}
