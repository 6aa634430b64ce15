package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"davit/compose"
)

const (
	// awayPatience is how long the edge may be away before that is told: its supervisor has
	// a killed one back within two seconds. closedPatience is what an engine may take to let
	// go of a port.
	awayPatience   = 3 * time.Second
	closedPatience = 10 * time.Second
	// A trouble counts as over when it has not been seen for leastCalm, and for twice as
	// long each time that it came back, up to longestCalm. After that it is forgotten.
	leastCalm   = 5 * time.Second
	longestCalm = 10 * time.Minute
)

// edgeTrouble is something at the edge that operators are told of when it begins, and
// when it is over.
type edgeTrouble struct {
	kind, end EventKind
	severity  Severity
	// subject is what it is about: a port, a container; "" for the edge itself.
	subject        string
	stack, service string
	// patience is how long it may last untold.
	patience time.Duration
	text     string
	// port is what a closed one is about: who has it is asked only when it is told.
	port HostPort
}

// key tells one trouble from another.
func (x edgeTrouble) key() string { return string(x.kind) + " " + x.subject }

// troubles are what a look at the edge has shown, sorted by key.
func (t EdgeTable) troubles(now time.Time) []edgeTrouble {
	if t.Away != "" {
		return []edgeTrouble{{kind: EventEdgeLost, end: EventEdgeRecovered, severity: SeverityError, patience: awayPatience,
			text: t.Away + "; its ports are served again once it is back"}}
	}
	var out []edgeTrouble
	for _, b := range t.Balancers {
		if b.Away != "" {
			out = append(out, edgeTrouble{kind: EventEdgeLost, end: EventEdgeRecovered, severity: SeverityError, patience: awayPatience,
				subject: b.String(), text: b.Away + "; it cannot be told of new replicas"})
		}
	}
	for _, r := range t.Routes {
		for _, p := range r.Ports {
			out = append(out, t.portTroubles(r, HostPortOf(p), now)...)
		}
		for _, m := range r.Members {
			if m.Ejected != "" {
				out = append(out, edgeTrouble{kind: EventReplicaEjected, end: EventReplicaReturned, severity: SeverityWarning,
					subject: m.Container, stack: r.Stack, service: r.Service, text: m.Name + " is passed over at the edge: " + m.Ejected})
			}
		}
	}
	slices.SortFunc(out, func(a, b edgeTrouble) int { return cmp.Compare(a.key(), b.key()) })
	return out
}

// restarted is that the edge which answers is another one than before, and did not
// take over from it: what that one had is gone.
func (n *edgeNews) restarted(t EdgeTable) []edgeTrouble {
	if t.Away != "" || t.Succeeded || n.newest.Since.IsZero() || t.Since.Equal(n.newest.Since) {
		return nil
	}
	return []edgeTrouble{{kind: EventEdgeLost, end: EventEdgeRecovered, severity: SeverityError,
		text: "the edge has ended and was started anew: connections to its ports were lost"}}
}

func (t EdgeTable) portTroubles(r Route, h HostPort, now time.Time) []edgeTrouble {
	x := edgeTrouble{severity: SeverityError, subject: h.String(), stack: r.Stack, service: r.Service, port: h}
	if why, closed := t.Closed[h]; closed {
		x.kind, x.end, x.patience = EventPortClosed, EventPortOpened, closedPatience
		x.text = fmt.Sprintf("host port %s of %s cannot be opened: %s", h, r.Service, why)
		return []edgeTrouble{x}
	}
	if p, parked := t.Parked[h]; parked && now.Sub(p.Since) >= p.Limit {
		x.kind, x.end = EventParked, EventUnparked
		x.text = fmt.Sprintf("no replica of %s is ready for what comes to host port %s: it waits for %s and is refused then", r.Service, h, brief(p.Limit))
		return []edgeTrouble{x}
	}
	return nil
}

// over says that a trouble is no more, by the look that showed so.
func (x edgeTrouble) over(t EdgeTable) string {
	switch x.kind {
	case EventEdgeLost:
		return cmp.Or(x.subject, "the edge") + " answers again"
	case EventPortClosed:
		r, _ := t.Route(x.stack, x.service)
		if slices.ContainsFunc(r.Ports, func(p compose.PublishedPort) bool { return HostPortOf(p) == x.port }) {
			return fmt.Sprintf("host port %s of %s is open", x.port, x.service)
		}
		return fmt.Sprintf("host port %s is not asked for by %s any more", x.port, x.service)
	case EventReplicaEjected:
		if m, there := t.Member(x.subject); there {
			return m.Name + " is given work again at the edge"
		}
		return "a replica that was passed over is gone"
	}
	return fmt.Sprintf("what comes to host port %s of %s does not wait any more", x.port, x.service)
}

// edgeNews turns what looks at the edge show, one after another, into events. What
// comes and goes is told once, and that it is over only after it has stayed away for
// ever longer.
type edgeNews struct {
	lapses map[string]*lapse
	// newest is the last look, at its time.
	newest EdgeTable
	at     time.Time
}

// lapse is a trouble over time.
type lapse struct {
	edgeTrouble
	// began is since when it comes and goes, seen when it was seen last.
	began, seen time.Time
	// calm is for how long it must stay away to be over.
	calm time.Duration
	told bool
}

// edgeItem is an event to be told, and the port of which it is to be told who has it.
type edgeItem struct {
	event Event
	port  *HostPort
}

// look takes a look at the edge in, and returns what is to be told of it.
func (n *edgeNews) look(t EdgeTable, now time.Time) []edgeItem {
	if n.lapses == nil {
		n.lapses = map[string]*lapse{}
	}
	seen := append(n.restarted(t), t.troubles(now)...)
	if t.Away != "" {
		t.Since = n.newest.Since // of whoever it will be compared with
	}
	n.newest, n.at = t, now
	var out []edgeItem
	for _, x := range seen {
		if item, told := n.see(x, now); told {
			out = append(out, item)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.lapses)) {
		switch l := n.lapses[key]; {
		case t.Away != "" && l.kind != EventEdgeLost:
			l.seen = now // nobody knows that it is over
		case l.told && now.Sub(l.seen) >= l.calm:
			l.told, l.calm = false, min(2*l.calm, longestCalm)
			out = append(out, edgeItem{event: Event{At: now, Kind: l.end, Severity: SeverityInfo, Stack: l.stack, Service: l.service, Message: l.over(t)}})
		case !l.told && now.Sub(l.seen) >= longestCalm:
			delete(n.lapses, key)
		}
	}
	return out
}

// see takes note of a trouble, and tells of it when it has lasted.
func (n *edgeNews) see(x edgeTrouble, now time.Time) (item edgeItem, told bool) {
	l := n.lapses[x.key()]
	if l == nil {
		l = &lapse{calm: leastCalm}
		n.lapses[x.key()] = l
	}
	if !l.told && now.Sub(l.seen) >= l.calm {
		l.began = now
	}
	l.edgeTrouble, l.seen = x, now
	if l.told || now.Sub(l.began) < x.patience {
		return edgeItem{}, false
	}
	l.told = true
	item.event = Event{At: now, Kind: x.kind, Severity: x.severity, Stack: x.stack, Service: x.service, Message: x.text}
	if x.kind == EventPortClosed && x.port.Balancer == "" {
		item.port = &x.port
	}
	return item, true
}
