package traffic

import "context"

// served is what the admin API shows and steers; an Edge is one.
type served interface {
	// Apply returns once the table holds for everything new, and is on disk.
	Apply(ctx context.Context, t Table) (Acknowledgement, error)
	State() State
	Signals() SignalReport
	// Sockets duplicates the open ports for a successor, which finds them in its
	// Options.Sockets and listens there instead of opening them anew.
	Sockets() (Sockets, error)
	// Retire gives the ports up: nothing is accepted any more and whatever is kept for
	// further requests is closed after the next one. Apply still steers what is left,
	// and writes nothing to disk any more, which is the successor's by now. Run returns
	// nil when nothing is left; who wants an end before that ends its context.
	Retire()
}
