package traffic

import (
	"sync/atomic"
	"time"
)

// h2taking is how a client takes the answer to one HTTP/2 request. net/http looks after
// connections only: a client that goes on talking may leave an answer where it is for
// ever, with the request at the replica and all that both hold.
type h2taking struct {
	// since is when the client was given what it has not taken, in Unix nanoseconds; 0
	// while there is nothing.
	since atomic.Int64
}

func (t *h2taking) give(now time.Time) { t.since.Store(now.UnixNano()) }
func (t *h2taking) took()              { t.since.Store(0) }

// stuck reports whether the client has left something for as long as its port is patient.
func (t *h2taking) stuck(now time.Time, patience time.Duration) bool {
	since := t.since.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) >= patience
}
