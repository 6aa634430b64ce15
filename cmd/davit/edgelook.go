package main

import (
	"cmp"
	"slices"

	"davit/reconcile"
	"davit/traffic"
)

// describe adds to a table what the state says of the edge and of how it serves.
func describe(out *reconcile.EdgeTable, t traffic.Table, s traffic.State) {
	out.Since, out.Succeeded, out.Blind = s.Since, s.Succeeded, s.Blind
	out.Parked = parkedPorts(t, s)
	for _, r := range out.Routes {
		for i, m := range r.Members {
			r.Members[i].Ejected = ejected(m, s)
		}
	}
}

// parkedPorts are those at which clients find nobody, nil if there is none. Of a port
// that is open at several addresses, it is the one at which they have for longest.
func parkedPorts(t traffic.Table, s traffic.State) map[reconcile.HostPort]reconcile.Parking {
	var out map[reconcile.HostPort]reconcile.Parking
	for _, p := range t.Ports {
		i := slices.IndexFunc(s.Ports, func(state traffic.PortState) bool { return state.Key == p.Key() })
		if i < 0 || s.Ports[i].Parked.IsZero() {
			continue
		}
		h := reconcile.HostPortOf(readPort(p))
		parking := reconcile.Parking{Since: s.Ports[i].Parked, Limit: cmp.Or(p.Park, traffic.DefaultPark), Waiting: s.Ports[i].Waiting}
		if other, both := out[h]; both {
			parking.Waiting += other.Waiting
			if other.Since.Before(parking.Since) {
				parking.Since = other.Since
			}
		}
		if out == nil {
			out = map[reconcile.HostPort]reconcile.Parking{}
		}
		out[h] = parking
	}
	return out
}

// ejected is why the edge passes a member over, "" while it does not.
func ejected(m reconcile.Member, s traffic.State) string {
	for _, r := range s.Replicas {
		if r.Container == m.Container && r.Started.Equal(m.Started) && r.Ejected {
			return cmp.Or(r.Reason, "it fails")
		}
	}
	return ""
}
