package compose

import (
	"strings"
	"testing"
	"time"
)

const minutely = "2006-01-02 15:04 MST"

// moment is one by the clocks of a zone.
func moment(t testing.TB, zone, text string) time.Time {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	m, err := time.ParseInLocation(minutely, text, z)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func allow(cron string, d time.Duration) Window {
	return Window{Cron: cron, For: d, Zone: "Europe/Berlin"}
}

func deny(cron string, d time.Duration) Window {
	return Window{Deny: true, Cron: cron, For: d, Zone: "Europe/Berlin"}
}

func TestWindowsAreOpenOrSayWhenTheyWillBe(t *testing.T) {
	const h = time.Hour
	night := allow("0 2 * * *", 2*h)
	tests := map[string]struct {
		now  string
		ws   Windows
		want string // "open", "never", or when
	}{
		"no windows are open":                        {"2026-11-21 12:00 CET", nil, "open"},
		"before the window it waits":                 {"2026-11-21 01:59 CET", Windows{night}, "2026-11-21 02:00 CET"},
		"the first moment of a window belongs to it": {"2026-11-21 02:00 CET", Windows{night}, "open"},
		"the last minute belongs to it":              {"2026-11-21 03:59 CET", Windows{night}, "open"},
		"the moment of its end does not":             {"2026-11-21 04:00 CET", Windows{night}, "2026-11-22 02:00 CET"},
		"a window over midnight":                     {"2026-11-21 00:30 CET", Windows{allow("0 23 * * *", 2*h)}, "open"},
		"one of several windows is enough":           {"2026-11-21 12:30 CET", Windows{night, allow("0 12 * * 6", h)}, "open"},
		"the next one of several":                    {"2026-11-21 04:00 CET", Windows{night, allow("0 12 * * 6", h)}, "2026-11-21 12:00 CET"},
		"with only denies the rest is open":          {"2026-11-21 12:00 CET", Windows{deny("0 0 * * 1-5", 24*h)}, "open"},
		"what denies counts":                         {"2026-11-20 12:00 CET", Windows{deny("0 0 * * 1-5", 24*h)}, "2026-11-21 00:00 CET"},
		"denies that touch are one":                  {"2026-11-17 12:00 CET", Windows{deny("0 0 * * 1-5", 24*h)}, "2026-11-21 00:00 CET"},
		"deny beats allow":                           {"2026-11-21 02:30 CET", Windows{night, deny("0 0 21 11 *", 24*h)}, "2026-11-22 02:00 CET"},
		"deny leaves the end of a window":            {"2026-11-21 02:30 CET", Windows{night, deny("0 2 21 11 *", h)}, "2026-11-21 03:00 CET"},
		"longer than its period is always open":      {"2026-11-21 12:00 CET", Windows{allow("0 2 * * *", 30*h)}, "open"},
		"denied longer than the period is never":     {"2026-11-21 12:00 CET", Windows{deny("0 2 * * *", 30*h)}, "never"},
		"denied by a dense line for long is never":   {"2026-11-21 12:00 CET", Windows{deny("* * * * *", 300*24*h)}, "never"},
		"no such date":                               {"2026-11-21 12:00 CET", Windows{allow("0 0 30 2 *", h)}, "never"},
		"a leap day is years away":                   {"2026-11-21 12:00 CET", Windows{allow("0 0 29 2 *", h)}, "2028-02-29 00:00 CET"},
		"allowed only where denied is never":         {"2026-11-21 12:00 CET", Windows{night, deny("0 1 * * *", 4*h)}, "never"},
		// 2026-03-29 02:00 CET is 03:00 CEST; 2026-10-25 03:00 CEST is 02:00 CET.
		"an hour that is left out begins when it is": {"2026-03-29 01:59 CET", Windows{allow("30 2 * * 0", h)}, "2026-03-29 03:00 CEST"},
		"it lasts as long as ever":                   {"2026-03-29 03:59 CEST", Windows{allow("30 2 * * 0", h)}, "open"},
		"and no longer":                              {"2026-03-29 04:00 CEST", Windows{allow("30 2 * * 0", h)}, "2026-04-05 02:30 CEST"},
		"a deny in it is not lost":                   {"2026-03-29 03:10 CEST", Windows{deny("30 2 * * 0", h)}, "2026-03-29 04:00 CEST"},
		"an hour that comes twice":                   {"2026-10-25 01:30 CEST", Windows{allow("30 2 * * 0", h/2)}, "2026-10-25 02:30 CEST"},
		"the second time, too":                       {"2026-10-25 02:10 CET", Windows{allow("30 2 * * 0", h/2)}, "2026-10-25 02:30 CET"},
		"the hours of such a night have no gap":      {"2026-10-25 02:59 CET", Windows{allow("0 * * * *", h)}, "open"},
		"the last day of a leap year to come":        {"2040-12-30 12:00 CET", Windows{allow("59 23 31 12 *", h)}, "2040-12-31 23:59 CET"},
		"and the day itself":                         {"2040-12-31 12:00 CET", Windows{allow("59 23 31 12 *", h)}, "2040-12-31 23:59 CET"},
		"and the hour after it":                      {"2041-01-01 00:30 CET", Windows{allow("59 23 31 12 *", h)}, "open"},
		"two hours go on over the change":            {"2026-10-25 02:30 CET", Windows{allow("0 2 * * 0", 2*h)}, "open"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			now := moment(t, "Europe/Berlin", test.now)
			got := test.ws.Opening(now.UTC())
			text := "never"
			switch {
			case got.Err != nil:
				t.Fatal(got.Err)
			case got.Open:
				text = "open"
			case !got.Next.IsZero():
				text = got.Next.Format(minutely)
			}
			if text != test.want {
				t.Errorf("got %s, want %s", text, test.want)
			}
		})
	}
}

func TestAClockChangeAtMidnightLosesNoDay(t *testing.T) {
	// In Beirut the day began at one o'clock.
	w := Window{Cron: "@daily", For: time.Hour, Zone: "Asia/Beirut"}
	got := Windows{w}.Opening(moment(t, "Asia/Beirut", "2024-03-30 12:00 EET"))
	if want := moment(t, "Asia/Beirut", "2024-03-31 01:00 EEST"); !got.Next.Equal(want) {
		t.Errorf("got %v, want %v", got.Next, want)
	}
}

func TestWindowsOfTheHostAndOfTheStackMustBothBeOpen(t *testing.T) {
	host := Windows{{Cron: "0 20 * * *", For: 4 * time.Hour, Zone: "UTC"}}
	stack := Windows{{Cron: "30 22 * * 6", For: time.Hour, Zone: "UTC"}}
	for now, want := range map[string]string{
		"2026-11-21 20:30 UTC": "2026-11-21 22:30 UTC",
		"2026-11-21 22:30 UTC": "",
		"2026-11-21 23:30 UTC": "2026-11-28 22:30 UTC",
	} {
		got := host.Opening(moment(t, "UTC", now), stack)
		if got.Open != (want == "") || want != "" && got.Next.Format(minutely) != want {
			t.Errorf("%s: got %+v, want %q", now, got, want)
		}
	}
}

func TestAWindowWithoutAZoneGoesByTheHostsClock(t *testing.T) {
	r, err := Window{Cron: "0 2 * * *", For: time.Hour}.recurrence()
	if err != nil || r.zone != time.Local {
		t.Errorf("zone %v, %v", r.zone, err)
	}
}

func TestWindowsThatCannotBeReadAreShut(t *testing.T) {
	got := Windows{{Cron: "0 2 * * *", For: time.Hour, Zone: "Mars/Olympus"}}.Opening(time.Unix(0, 0))
	if got.Open || got.Err == nil || !strings.Contains(got.Err.Error(), "Mars/Olympus") {
		t.Errorf("got %+v", got)
	}
}

// begun reports whether the window begins in that very minute, by a look at the clock.
func begun(r recurrence, minute time.Time) bool {
	minute = minute.In(r.zone)
	_, offset := minute.Zone()
	_, before := minute.Add(-time.Second).Zone()
	shown := clock(minute, offset)
	// Whatever clocks have left out by now counts as shown.
	from := clock(minute, min(before, offset))
	return !r.begins.Next(from.Add(-time.Second)).After(shown)
}

// FuzzOpening holds the opening against a walk through every minute.
func FuzzOpening(f *testing.F) {
	f.Add("0 2 * * *", 120, "30 3 * * 0", 45, int64(74742400))
	f.Add("*/7 1-3 * * *", 5, "0 0 * * *", 1600, int64(92893600))
	f.Add("30 2 * * *", 20, "15 3 * * *", 1, int64(1774702800-1700000000))
	f.Add("0,30 * * * *", 30, "59 23 31 12 *", 1, int64(1792875600-1700000000))
	f.Fuzz(func(t *testing.T, in string, inFor int, out string, outFor int, from int64) {
		const longest = 3000
		lasts := func(m int) time.Duration { return time.Duration(1+uint(m)%longest) * time.Minute }
		ws := Windows{
			{Cron: in, For: lasts(inFor), Zone: "Europe/Berlin"},
			{Cron: out, For: lasts(outFor), Zone: "America/New_York", Deny: true},
		}
		for _, w := range ws {
			if errs := cronLine(new(string))(w.Cron); errs != nil {
				return
			}
		}
		c, err := newCalendar(ws)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1700000000+int64(uint64(from)%200000000)/60*60, 0).UTC().Truncate(time.Minute)
		got, horizon := ws.Opening(now), now.AddDate(0, 0, 4)
		var allowed, denied time.Time // until
		for m := now.Add(-longest * time.Minute); m.Before(horizon); m = m.Add(time.Minute) {
			if begun(c.allow[0], m) {
				allowed = m.Add(c.allow[0].lasts)
			}
			if begun(c.deny[0], m) {
				denied = m.Add(c.deny[0].lasts)
			}
			if m.Before(now) || !m.Before(allowed) || m.Before(denied) {
				continue
			}
			if m.Equal(now) != got.Open || !got.Open && !got.Next.Equal(m) {
				t.Fatalf("%v at %v: got %+v, and it opens at %v", ws, now, got, m)
			}
			return
		}
		if got.Open || !got.Next.IsZero() && got.Next.Before(horizon) {
			t.Fatalf("%v at %v: got %+v, and it does not open in four days", ws, now, got)
		}
	})
}
