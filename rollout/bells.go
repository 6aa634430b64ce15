package rollout

import "sync"

// bells wake whoever watches a container. A ring is a hint to look again and
// carries nothing, so rings that pile up become one.
type bells struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{}
}

// listen returns a channel that receives after every ring for id, and the
// function that ends it.
func (b *bells) listen(id string) (<-chan struct{}, func()) {
	// One place: a ring between two looks must not be lost.
	rung := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[string]map[chan struct{}]struct{}{}
	}
	if b.waiting[id] == nil {
		b.waiting[id] = map[chan struct{}]struct{}{}
	}
	b.waiting[id][rung] = struct{}{}
	return rung, func() { b.leave(id, rung) }
}

func (b *bells) leave(id string, rung chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting[id], rung)
	if len(b.waiting[id]) == 0 {
		delete(b.waiting, id)
	}
}

// ring wakes the listeners of id, or all of them for an empty id.
func (b *bells) ring(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id != "" {
		wake(b.waiting[id])
		return
	}
	for _, listeners := range b.waiting {
		wake(listeners)
	}
}

func wake(listeners map[chan struct{}]struct{}) {
	for rung := range listeners {
		select {
		case rung <- struct{}{}:
		default: // it has not looked since the last ring
		}
	}
}
