package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// What windows hold back, and what not: it is Sunday noon, and the next one opens at two in the night.
func TestWindowsHoldBackWhatIsNewAndNothingElse(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	shut := compose.Windows{{Cron: "0 2 * * *", For: time.Hour, Zone: "UTC"}}
	fresh, old, other := loadProject(t, web("2.0")), loadProject(t, web("1.0")), loadProject(t, web("0.9"))
	deployed := func(seq int64, p *compose.Project, o reconcile.Outcome) reconcile.Release {
		return reconcile.Release{Stack: "shop", Seq: seq, Kind: reconcile.KindDeploy, Spec: p.Hash, Outcome: o, Version: "v1", Project: []byte("{}")}
	}
	base := reconcile.Situation{Stack: "shop", Now: now, Known: true, Ours: true, Declared: fresh, Windows: shut,
		History: []reconcile.Release{deployed(1, old, reconcile.Succeeded)}}
	tests := map[string]struct {
		change func(s *reconcile.Situation)
		want   reconcile.Act
		shut   bool
		forced bool
		reason string
	}{
		"new content waits":       {func(*reconcile.Situation) {}, reconcile.ActKeep, true, false, "window opens Mon 02:00 UTC, in 14h"},
		"the first release waits": {func(s *reconcile.Situation) { s.History, s.Ours = nil, false }, reconcile.ActNothing, true, false, "window opens"},
		"inside it goes in":       {func(s *reconcile.Situation) { s.Now = now.Add(14 * time.Hour) }, reconcile.ActDeploy, false, false, "new content"},
		"an operator lets it in":  {func(s *reconcile.Situation) { s.Override = true }, reconcile.ActDeploy, false, true, "new content"},
		"an operator's word in an open window is no more than an apply": {func(s *reconcile.Situation) { s.Override, s.Now = true, now.Add(14*time.Hour) },
			reconcile.ActDeploy, false, false, "new content"},
		"what is half done goes on": {func(s *reconcile.Situation) {
			s.Begun = true
			s.History = append([]reconcile.Release{deployed(2, fresh, reconcile.Interrupted)}, s.History...)
		}, reconcile.ActDeploy, false, false, "new content"},
		"what was cut off before it began waits": {func(s *reconcile.Situation) {
			s.History = append([]reconcile.Release{deployed(2, fresh, reconcile.Interrupted)}, s.History...)
		}, reconcile.ActKeep, true, false, "window opens"},
		"a revert": {func(s *reconcile.Situation) {
			s.Declared = old
			s.History = append([]reconcile.Release{deployed(2, fresh, reconcile.Succeeded)}, s.History...)
		}, reconcile.ActReturn, false, false, "release #1"},
		"the return from what failed": {func(s *reconcile.Situation) {
			s.History = append([]reconcile.Release{deployed(2, fresh, reconcile.Failed)}, s.History...)
		}, reconcile.ActReturn, false, false, "release #2 failed"},
		"the return from what failed while newer content waits": {func(s *reconcile.Situation) {
			s.History = append([]reconcile.Release{deployed(2, other, reconcile.Failed)}, s.History...)
		}, reconcile.ActReturn, false, false, "release #2 failed"},
		"an operator's rollback": {func(s *reconcile.Situation) {
			s.Declared = old
			s.Controls.Pin = &reconcile.Pin{Stack: "shop", Seq: 2, Spec: old.Hash, Actor: "ada", Since: now}
			s.History = []reconcile.Release{deployed(3, old, reconcile.Succeeded), deployed(2, other, reconcile.Succeeded)}
		}, reconcile.ActReturn, false, false, "pinned to release #2"},
		"drift": {func(s *reconcile.Situation) { s.Declared = old }, reconcile.ActKeep, false, false, ""},
		"an image behind its tag waits": {func(s *reconcile.Situation) {
			s.Declared, s.Renewed = old, map[string]reconcile.Image{"web": {Ref: "shop:1.0", ID: "sha256:new"}}
		}, reconcile.ActKeep, true, false, "image changed behind tag"},
		"a removal waits for the host's window":   {func(s *reconcile.Situation) { s.Declared, s.Removed = nil, true }, reconcile.ActKeep, true, false, "window opens"},
		"a removal that an operator lets through": {func(s *reconcile.Situation) { s.Declared, s.Removed, s.Override = nil, true, true }, reconcile.ActRemove, false, true, "declared as removed"},
		"a stack that waits for another says first that it waits for its window": {func(s *reconcile.Situation) { s.Behind = "stack db is waiting" },
			reconcile.ActKeep, true, false, "window opens"},
		"nothing opens": {func(s *reconcile.Situation) {
			s.Windows = compose.Windows{{Deny: true, Cron: "* * * * *", For: time.Hour, Zone: "UTC"}}
		},
			reconcile.ActKeep, true, false, "no window opens in sight"},
		"a time zone that is gone": {func(s *reconcile.Situation) { s.Windows[0].Zone = "Mars/Olympus" }, reconcile.ActKeep, true, false, "its windows cannot be read"},
		"content that failed is held, whatever the windows": {func(s *reconcile.Situation) {
			s.History = append([]reconcile.Release{{Stack: "shop", Seq: 3, Kind: reconcile.KindAutoRollback, Spec: old.Hash, Outcome: reconcile.Succeeded},
				deployed(2, fresh, reconcile.Failed)}, s.History...)
		}, reconcile.ActKeep, false, false, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := base
			s.History = append([]reconcile.Release(nil), base.History...)
			s.Windows = append(compose.Windows(nil), base.Windows...)
			test.change(&s)
			v := reconcile.Decide(s)
			if v.Act != test.want || v.Shut != test.shut || v.Forced != test.forced || !strings.Contains(v.Reason, test.reason) {
				t.Errorf("got %s, shut %t, forced %t, %q", v.Act, v.Shut, v.Forced, v.Reason)
			}
			if v.Shut && v.Act == reconcile.ActDeploy {
				t.Error("it waits and goes in")
			}
		})
	}
}

func TestTheTimeToAnOpeningIsSaidAsPeopleSayIt(t *testing.T) {
	fresh, now := loadProject(t, web("2.0")), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for cron, want := range map[string]string{
		"1 12 * * *": "window opens Sun 12:01 UTC, in 1m",
		"0 14 * * *": "window opens Sun 14:00 UTC, in 2h",
		"5 14 * * *": "window opens Sun 14:05 UTC, in 2h5m",
		"0 11 * * *": "window opens Mon 11:00 UTC, in 23h",
		"0 2 * * 5":  "window opens Fri 02:00 UTC, in 5 days",
		"0 2 30 * *": "window opens Mon 30 Nov 02:00 UTC, in 8 days",
		"0 2 1 3 *":  "window opens Mon 1 Mar 2027 02:00 UTC, in 99 days",
	} {
		s := reconcile.Situation{Stack: "shop", Now: now, Known: true, Declared: fresh, Windows: compose.Windows{{Cron: cron, For: time.Hour, Zone: "UTC"}}}
		if v := reconcile.Decide(s); v.Reason != want {
			t.Errorf("%s: got %q, want %q", cron, v.Reason, want)
		}
	}
	s := reconcile.Situation{Stack: "shop", Now: now.Add(59*time.Minute + 50*time.Second), Known: true, Declared: fresh,
		Windows: compose.Windows{{Cron: "0 13 * * *", For: time.Hour, Zone: "UTC"}}}
	if v := reconcile.Decide(s); v.Reason != "window opens Sun 13:00 UTC, in 10s" {
		t.Errorf("got %q", v.Reason)
	}
}
