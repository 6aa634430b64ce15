package traffic

import "net/http"

// reasonField is the field of an answer that the edge gives itself; its value is the
// reason.
const reasonField = "X-Davit-Reason"

// reason is why a request was answered by the edge and not by a replica.
type reason int

const (
	// noReplica: none was ready for as long as the port parks.
	noReplica reason = iota
	// unreachable: no replica could be dialled.
	unreachable
	// broken: the replica ended the connection without a whole answer.
	broken
	// badAnswer: what the replica answered is no HTTP.
	badAnswer
	// cutOff: the replica drained and the request had not ended at its limit.
	cutOff
	// crowded: clients have more requests under way than the port allows.
	crowded
)

var reasons = []string{"no-replica", "unreachable", "broken", "bad-answer", "cut-off", "crowded"}

func (r reason) String() string { return reasons[r] }

// status is what the answer says to programs.
func (r reason) status() int {
	switch r {
	case noReplica, crowded:
		return http.StatusServiceUnavailable
	case cutOff:
		return http.StatusGatewayTimeout
	default:
		return http.StatusBadGateway
	}
}

// text is the body of the answer, what it says to people.
func (r reason) text() string {
	switch r {
	case noReplica:
		return "No replica of this service is ready.\n"
	case unreachable:
		return "The replica could not be reached.\n"
	case broken:
		return "The replica ended the connection before it had answered.\n"
	case badAnswer:
		return "The replica's answer was no HTTP.\n"
	case crowded:
		return "There are too many requests at once.\n"
	default:
		return "The replica is being replaced and had not answered in time.\n"
	}
}
