package mix

import (
	"testing"
	"time"
)

func TestACutIsJudgedByTheDrainOfItsContainer(t *testing.T) {
	began := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	drains := Drains{Since: map[string]time.Time{"old": began}, Timeout: 4 * time.Second, Streams: 6 * time.Second}
	tests := map[string]struct {
		kind  Kind
		by    string
		end   Ending
		after time.Duration
		quiet time.Duration
		good  bool
	}{
		"finished while it serves":                        {StreamTCP, "new", Finished, 0, 0, true},
		"finished while it drains":                        {StreamTCP, "old", Finished, time.Second, 0, true},
		"cut off at the limit":                            {WebSocket, "old", Reset, 6 * time.Second, 0, true},
		"cut off just before the limit":                   {WebSocket, "old", Reset, 6*time.Second - 1, 0, false},
		"cut off at the limit of requests":                {StreamTCP, "old", Reset, 4 * time.Second, 0, false},
		"cut off while it serves":                         {StreamTCP, "new", Reset, 7 * time.Second, 0, false},
		"closed for being quiet":                          {StreamTCP, "old", Closed, 5 * time.Second, time.Second, true},
		"closed, and was not quiet":                       {StreamTCP, "old", Closed, 5 * time.Second, time.Second - 1, false},
		"closed for being quiet, before there was reason": {StreamTCP, "old", Closed, 3 * time.Second, time.Second, false},
		"a quiet WebSocket":                               {WebSocket, "old", Closed, 5 * time.Second, time.Second, false},
		"failed at the limit":                             {StreamTCP, "old", Failed, 6 * time.Second, 0, false},
		"reset before anybody answered":                   {StreamTCP, "", Reset, 6 * time.Second, 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := Stream{Kind: test.kind, End: test.end, Opened: began, Ended: began.Add(test.after), Quiet: test.quiet}
			if test.by != "" {
				s.Server = Server{Version: "1", Container: test.by}
			}
			if err := drains.Judge(s); (err == nil) != test.good {
				t.Errorf("good should be %t: %v", test.good, err)
			}
		})
	}
}
