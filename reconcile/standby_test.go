package reconcile

import (
	"testing"
	"time"
)

func TestAStandbyBeginsWithTheFirstGoodReleaseWithoutIt(t *testing.T) {
	t0 := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	release := func(seq int64, outcome Outcome, containers ...string) Release {
		return Release{Seq: seq, Outcome: outcome, Finished: t0.Add(time.Duration(seq) * time.Minute),
			Services: []ServiceRecord{{Name: "web", Containers: containers}}}
	}
	history := []Release{
		release(6, Succeeded, "b"),
		release(5, Succeeded, "b"),
		release(4, Failed, "c"),
		release(3, Succeeded, "b"),
		release(2, Superseded, "x"),
		release(1, Succeeded, "a"),
	}
	ran, left := lives(history)
	for id, want := range map[string][2]int{"a": {1, 3}, "b": {6, 0}, "c": {0, 0}, "x": {0, 0}} {
		at := func(minute int) time.Time {
			if minute == 0 {
				return time.Time{}
			}
			return t0.Add(time.Duration(minute) * time.Minute)
		}
		if !ran[id].Equal(at(want[0])) || !left[id].Equal(at(want[1])) {
			t.Errorf("%s ran until %v and left at %v", id, ran[id], left[id])
		}
	}
	back := append([]Release{release(7, Succeeded, "a")}, history...)
	if ran, left := lives(back); !left["a"].IsZero() || !ran["a"].Equal(t0.Add(7*time.Minute)) || !left["b"].Equal(t0.Add(7*time.Minute)) {
		t.Errorf("after a return: ran %v, left %v", ran, left)
	}
}
