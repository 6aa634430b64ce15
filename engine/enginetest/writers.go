package enginetest

import (
	"maps"
	"slices"
)

// writers counts who mounts what writable while running.
type writers struct {
	now  map[string][]string // source to container names
	most map[string]int
}

func newWriters() writers {
	return writers{now: map[string][]string{}, most: map[string]int{}}
}

func (w *writers) record(containers map[string]*container) {
	clear(w.now)
	for _, c := range containers {
		if !c.face.Running() {
			continue
		}
		for _, source := range c.mounts {
			w.now[source] = append(w.now[source], c.face.Name)
		}
	}
	for source, names := range w.now {
		w.most[source] = max(w.most[source], len(names))
	}
}

// Writers names the running containers that mount source (a volume's engine
// name or a host path) writable, sorted.
func (e *Engine) Writers(source string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(e.now())
	return slices.Sorted(slices.Values(e.writers.now[source]))
}

// MaxWriters is how many containers at most ran at one time with source mounted
// writable.
func (e *Engine) MaxWriters(source string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(e.now())
	return e.writers.most[source]
}

// Volumes names every volume, sorted.
func (e *Engine) Volumes() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.volumes))
}
