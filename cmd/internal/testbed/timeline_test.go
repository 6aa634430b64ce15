package testbed

import (
	"testing"
	"time"
)

// story makes a timeline of one change a second from lines "what container".
func story(lines ...moment) Timeline {
	t := Timeline{}
	for i, m := range lines {
		m.at, m.service = second(i), "web"
		t = append(t, m)
	}
	return t
}

func second(n int) time.Time { return time.Unix(int64(n), 0) }

func of(container string, what change, volumes ...string) moment {
	return moment{container: container, what: what, volumes: volumes}
}

func TestTimelineJudges(t *testing.T) {
	startFirst := story(
		of("old", started), of("old", ready), // 0 1
		of("new", started), of("new", ready), // 2 3
		of("old", signalled), of("old", ended), // 4 5
	)
	stopFirst := story(
		of("old", started, "data"), of("old", ready),
		of("old", signalled), of("old", ended),
		of("new", started, "data"), of("new", ready),
	)
	tooEarly := story(
		of("old", started, "data"), of("old", ready),
		of("new", started, "data"), of("old", signalled),
		of("old", ended), of("new", ready),
	)
	for name, c := range map[string]struct {
		timeline                           Timeline
		minReady, maxRunning, writers, all int
	}{
		"a start-first replacement never falls below one":                 {startFirst, 1, 2, 0, 1},
		"a stop-first replacement has a gap and one writer":               {stopFirst, 0, 1, 1, 1},
		"a container told to stop is not counted on, but it still writes": {tooEarly, 0, 2, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			from := second(2)
			if got := c.timeline.MinReady("web", from); got != c.minReady {
				t.Errorf("MinReady = %d, want %d", got, c.minReady)
			}
			if got := c.timeline.MaxRunning("web", from); got != c.maxRunning {
				t.Errorf("MaxRunning = %d, want %d", got, c.maxRunning)
			}
			if got := c.timeline.MaxWriters(from); got != c.writers {
				t.Errorf("MaxWriters = %d, want %d", got, c.writers)
			}
			if got := c.timeline.Starts("web", from); got != c.all {
				t.Errorf("Starts = %d, want %d", got, c.all)
			}
		})
	}
}

func TestTimelineCountsWhatRanBeforeTheMark(t *testing.T) {
	quiet := story(of("old", started), of("old", ready))
	if got := quiet.MinReady("web", second(100)); got != 1 {
		t.Errorf("MinReady of a quiet period = %d, want 1", got)
	}
	if got := quiet.MinReady("db", second(100)); got != 0 {
		t.Errorf("MinReady of a service that never ran = %d, want 0", got)
	}
}
