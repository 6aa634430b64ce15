package traffic

import (
	"fmt"

	"davit/reconcile"
)

// The admin API's versions that this program speaks. An agent and an edge are
// upgraded one after the other, in either order, so there is always one in common:
// a new version of the API keeps the one before.
//
// Within a version, answers may gain fields, which an older agent ignores. Tables may
// gain fields too, but an older edge refuses those that it does not know: to ignore
// what a port is to do would be to do something else.
const (
	oldestAPI = 1
	newestAPI = 1
)

// edgeName is how an edge introduces itself, so that another program at its socket is
// told from it.
const edgeName = "davit edge"

// Versions is how an edge introduces itself.
type Versions struct {
	Name string `json:"name"`
	// Program is the version of the davit that it is, PID its process.
	Program string `json:"program"`
	PID     int    `json:"pid"`
	// Oldest and Newest are the API's versions that it speaks.
	Oldest int `json:"oldest"`
	Newest int `json:"newest"`
}

func newVersions(program string, pid int) Versions {
	return Versions{Name: edgeName, Program: program, PID: pid, Oldest: oldestAPI, Newest: newestAPI}
}

func (v Versions) String() string { return fmt.Sprintf("%s %s, process %d", v.Name, v.Program, v.PID) }

// common is the newest version of the API that both speak.
func (v Versions) common(o Versions) (int, error) {
	api := min(v.Newest, o.Newest)
	if api >= max(v.Oldest, o.Oldest) {
		return api, nil
	}
	older := "the edge: run `davit edge --takeover` with this program"
	if o.Oldest > v.Newest {
		older = "this program"
	}
	return 0, reconcile.WithHint(fmt.Errorf("the edge speaks versions %d to %d of its API, this program %d to %d", o.Oldest, o.Newest, v.Oldest, v.Newest),
		"upgrade %s", older)
}
