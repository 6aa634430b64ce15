package rollout

import (
	"sync"
	"time"
)

// outage is when the engine was not heard last, by its stream of events. Looks may miss
// it: an engine that is killed and started at once takes a question from the first moment on,
// and answers when it has stopped whatever outlived it. The zero outage is none.
type outage struct {
	mu    sync.Mutex
	lasts bool
	// begun and over are when the last one began and ended.
	begun, over time.Time
}

// outageCounts is how long an outage counts that does not end: where events can never be
// heard, as behind a proxy that forbids them, every failure would be excused.
const outageCounts = time.Minute

func (o *outage) begin(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lasts, o.begun = true, at
}

func (o *outage) end(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lasts {
		o.lasts, o.over = false, at
	}
}

// since reports whether there was a moment after that time in which it was not heard.
func (o *outage) since(at time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lasts {
		return at.Before(o.begun.Add(outageCounts))
	}
	return o.over.After(at)
}
