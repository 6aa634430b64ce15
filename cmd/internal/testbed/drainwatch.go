package testbed

import (
	"fmt"
	"sync"
	"time"

	"davit/traffic"
)

// DrainWatch takes note of when an agent's edge stopped giving containers anything new.
type DrainWatch struct {
	end  chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	since map[string]time.Time // by short ID
	moved []string
}

// WatchDrains watches until the bed goes away, or Stop.
func (a *Agent) WatchDrains() *DrainWatch {
	w := &DrainWatch{end: make(chan struct{}), since: map[string]time.Time{}}
	client := traffic.NewClient(traffic.Socket(a.Data))
	w.done.Go(func() {
		defer client.Close()
		for {
			if t, err := client.Table(a.tb.Context()); err == nil { // there may be no edge yet
				w.note(t)
			}
			select {
			case <-w.end:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	a.tb.Cleanup(func() { w.Stop() })
	return w
}

func (w *DrainWatch) note(t traffic.Table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range t.Ports {
		for _, b := range p.Backends {
			id := b.Container[:12]
			switch since, known := w.since[id]; {
			case b.Drain == nil && known:
				w.moved = append(w.moved, fmt.Sprintf("%s %s was draining since %s, and is not any more", b.Replica, id, since))
				delete(w.since, id)
			case b.Drain == nil:
			case known && !since.Equal(b.Drain.Since):
				w.moved = append(w.moved, fmt.Sprintf("%s %s was draining since %s, and is since %s", b.Replica, id, since, b.Drain.Since))
			default:
				w.since[id] = b.Drain.Since
			}
		}
	}
}

// Stop returns since when containers drained, by the first twelve digits of their IDs,
// and what was no steady drain.
func (w *DrainWatch) Stop() (since map[string]time.Time, moved []string) {
	w.mu.Lock()
	select {
	case <-w.end:
	default:
		close(w.end)
	}
	w.mu.Unlock()
	w.done.Wait()
	return w.since, w.moved
}
