package rollout

import (
	"sync/atomic"
	"time"
)

// outage is when the engine was lost last, as its stream of events told. Looks may miss
// it: one that is killed and started at once takes a question from the first moment on, and
// answers when it has stopped whatever outlived it.
type outage struct{ last atomic.Pointer[time.Time] }

func (o *outage) note(at time.Time) { o.last.Store(&at) }

// since reports whether there was one after that time.
func (o *outage) since(at time.Time) bool {
	last := o.last.Load()
	return last != nil && last.After(at)
}
