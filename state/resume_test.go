package state

import (
	"errors"
	"testing"
	"time"

	"davit/reconcile"
)

func TestAReleaseThatGoesOnIsOneRow(t *testing.T) {
	for _, ended := range []reconcile.Outcome{reconcile.Interrupted, reconcile.Failed} {
		t.Run(ended.String(), func(t *testing.T) {
			s := openStore(t, t.TempDir())
			r := begin(t, s, "shop")
			check(t, s.Intend(t.Context(), reconcile.Entry{Stack: "shop", Seq: 1, Step: 1, Action: "pull web", At: noon}))
			finish(t, s, r, ended)
			r.Services = []reconcile.ServiceRecord{{Name: "db", Spec: "v1:cc"}}
			again := must[reconcile.Release](t)(s.Begin(t.Context(), r))
			if again.Seq != 1 || !again.Running() || !again.Started.Equal(noon) {
				t.Errorf("it goes on as %+v", again)
			}
			all := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 0))
			if len(all) != 1 || !all[0].Running() || !all[0].Finished.IsZero() || len(all[0].Services) != 1 || all[0].Services[0].Name != "db" {
				t.Errorf("the record is %+v", all)
			}
			if entries := must[[]reconcile.JournalEntry](t)(s.Journal(t.Context(), "shop", 1)); len(entries) != 0 {
				t.Errorf("the journal of before is there: %+v", entries)
			}
			finish(t, s, again, reconcile.Succeeded)
			if next := begin(t, s, "shop"); next.Seq != 2 {
				t.Errorf("the next is #%d", next.Seq)
			}
		})
	}
}

func TestOnlyTheNewestReleaseGoesOnAndOnlyWithoutSuccess(t *testing.T) {
	s := openStore(t, t.TempDir())
	first := begin(t, s, "shop")
	goesOn := func(r reconcile.Release) error {
		_, err := s.Begin(t.Context(), r)
		return err
	}
	if err := goesOn(first); !errors.Is(err, ErrFinished) {
		t.Errorf("one that runs: %v", err)
	}
	finish(t, s, first, reconcile.Succeeded)
	if err := goesOn(first); !errors.Is(err, ErrFinished) {
		t.Errorf("one that succeeded: %v", err)
	}
	second := begin(t, s, "shop")
	finish(t, s, second, reconcile.Interrupted)
	third := begin(t, s, "shop")
	finish(t, s, third, reconcile.Interrupted)
	if err := goesOn(second); !errors.Is(err, ErrFinished) {
		t.Errorf("an older one: %v", err)
	}
	third.Seq = 9
	if err := goesOn(third); !errors.Is(err, ErrNoRelease) {
		t.Errorf("one that there is not: %v", err)
	}
	third.Seq, third.Started = 3, noon.Add(time.Hour)
	check(t, goesOn(third))
	if last := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 1)); !last[0].Started.Equal(noon) {
		t.Errorf("it began at %s", last[0].Started)
	}
}
