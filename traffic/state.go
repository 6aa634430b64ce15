package traffic

import (
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"davit/reconcile"
)

// Acknowledgement is what Apply has brought about.
type Acknowledgement struct {
	// Generation is the table's: it holds for every connection, request and session
	// that begins from now on.
	Generation int64 `json:"generation"`
	// Closed are the table's ports that could not be opened, with why, by Port.Key. The
	// others are served; these are tried again.
	Closed map[string]string `json:"closed,omitempty"`
}

// State is what the edge serves and what is under way.
type State struct {
	Instance string `json:"instance"`
	// Generation is that of the newest acknowledged table, 0 before the first.
	Generation int64 `json:"generation"`
	// Since is when the edge began: what is counted, is counted from then on.
	Since time.Time `json:"since"`
	// Succeeded is true of an edge that took over from another one when it began.
	Succeeded bool `json:"succeeded,omitempty"`
	// Elders are the edges that handed over to this one and still have something to do,
	// which is counted in.
	Elders int `json:"elders,omitempty"`
	// Blind is why this edge cannot look at the engine, "" while it can: then it serves only
	// replicas whose process it sees itself.
	Blind    string         `json:"blind,omitempty"`
	Ports    []PortState    `json:"ports"`
	Replicas []ReplicaState `json:"replicas"`
}

// PortState is one host port, sorted by key.
type PortState struct {
	// Key is Port.Key.
	Key     string `json:"key"`
	Stack   string `json:"stack"`
	Service string `json:"service"`
	// Closed is why nobody listens there; "" for a port that is open.
	Closed string `json:"closed,omitempty"`
	// Parked is since when nobody could be found for what comes there, the zero time while
	// somebody can; Waiting is how much of it waits now.
	Parked  time.Time `json:"parked,omitzero"`
	Waiting int64     `json:"waiting,omitempty"`
	// Open are the connections and sessions of clients, Refused those that were closed
	// at once because there were too many.
	Open    int64 `json:"open"`
	Refused int64 `json:"refused"`
}

// NoFamily reports whether the port is closed only because this host has no IPv6, which
// is no trouble where it is published at all addresses.
func (p PortState) NoFamily() bool {
	return strings.Contains(p.Key, " [::]:") && strings.Contains(p.Closed, syscall.EAFNOSUPPORT.Error())
}

// HostPort is the port without what is the edge's own.
func (p PortState) HostPort() reconcile.HostPort {
	network, address, _ := strings.Cut(p.Key, " ")
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return reconcile.HostPort{Network: network} // of another edge's making
	}
	h := reconcile.HostPort{Network: network, IP: at.Addr(), Port: at.Port()}
	if h.IP.IsUnspecified() {
		h.IP = netip.Addr{}
	}
	return h
}

func (s PortState) compare(key string) int { return strings.Compare(s.Key, key) }

// ReplicaState is one container, over all of its ports. It is there for as long as
// the table names it or something it was given has not ended.
type ReplicaState struct {
	Container string    `json:"container"`
	Started   time.Time `json:"started"`
	Stack     string    `json:"stack"`
	Service   string    `json:"service"`
	Replica   string    `json:"replica"`
	Release   int64     `json:"release"`
	// Requests and Streams are what has not ended.
	Requests int64 `json:"requests"`
	Streams  int64 `json:"streams"`
	// Draining is true when it gets nothing new, Confirmed when its addresses are known
	// to be its own, Ejected while it is passed over because it failed.
	Draining  bool `json:"draining"`
	Confirmed bool `json:"confirmed"`
	Ejected   bool `json:"ejected"`
	// Reason is why it is ejected.
	Reason string `json:"reason,omitempty"`
}

// Idle reports whether the replica has nothing left to do.
func (r ReplicaState) Idle() bool { return r.Requests == 0 && r.Streams == 0 }

// Signals are what one replica was given, and how it answered, since the edge began.
type Signals struct {
	Stack     string `json:"stack"`
	Service   string `json:"service"`
	Replica   string `json:"replica"`
	Container string `json:"container"`
	Release   int64  `json:"release"`
	// Requests are leases that have ended: HTTP requests, TCP connections, UDP sessions.
	// Errors are those of them that speak against the replica, Undialled those errors
	// where it could not be reached. Abandoned are the requests whose client left before an
	// answer had begun, which are no errors; how long it waited is counted as latency.
	Requests  int64 `json:"requests"`
	Errors    int64 `json:"errors"`
	Undialled int64 `json:"undialled"`
	Abandoned int64 `json:"abandoned"`
	// InFlight and Streams are what has not ended.
	InFlight int64 `json:"in_flight"`
	Streams  int64 `json:"streams"`
	// Took is the sum of all latencies; Buckets count them by the bounds of
	// SignalReport, the last what was slower than all of those.
	Took    time.Duration `json:"took"`
	Buckets []int64       `json:"buckets"`
}

// SignalReport is all signals of an edge. Counts are of one edge, and only grow for as
// long as Since stays what it is; who adds them up over time does so for each Since.
type SignalReport struct {
	// Since is when this edge began to count. It is another one once the edge was
	// restarted or succeeded, and tells one edge from another.
	Since    time.Time       `json:"since"`
	Bounds   []time.Duration `json:"bounds"`
	Replicas []Signals       `json:"replicas"`
	// Elders are the edges that handed over to this one and still count what they end.
	Elders []SignalReport `json:"elders,omitempty"`
}

// Sockets are open ports by Port.Key: what one edge hands to the next.
type Sockets map[string]*os.File

// Close closes those that nobody has taken.
func (s Sockets) Close() {
	for _, f := range s {
		f.Close()
	}
}
