package reconcile

import "time"

// RestartAll is an operator's order to replace what was made of a service before.
func (d *Desired) RestartAll(service string, before time.Time, reason string) {
	d.Restarts = map[string]restart{service: {before, reason}}
}

// Linger is how long a container goes on serving once others have its service's name.
const Linger = linger
