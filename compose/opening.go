package compose

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// Opening is what windows say of one moment.
type Opening struct {
	Open bool
	// Next is, where it is not open, when it will be, in the time zone of the window
	// that opens or ends then; zero where that is not in sight.
	Next time.Time
	// Err is why windows cannot be read, such as a time zone that the host has lost.
	// It is not open then.
	Err error
}

const (
	// foresight is how many beginnings and ends of windows are looked at to find the
	// next opening: enough for years of what people write, and a few milliseconds for
	// what never opens.
	foresight = 2000
	// foresightAtLeisure is for those who have the time to be sure.
	foresightAtLeisure = 20_000
	// inSight is how many years ahead are looked at.
	inSight = 10
)

// Opening says whether new content may go in at that moment, and if not, when.
// Several places can have set windows: all of them must be open.
func (ws Windows) Opening(now time.Time, others ...Windows) Opening {
	return opening(now, append([]Windows{ws}, others...), foresight)
}

func opening(now time.Time, all []Windows, limit int) Opening {
	calendars := make([]calendar, len(all))
	for i, ws := range all {
		var err error
		if calendars[i], err = newCalendar(ws); err != nil {
			return Opening{Err: err}
		}
	}
	at, zone, horizon := now, now.Location(), now.AddDate(inSight, 0, 0)
	for range limit {
		if at.After(horizon) {
			break
		}
		later, in := at, zone
		for _, c := range calendars {
			// One that is not in sight is later than all that are.
			next, where := c.after(at)
			if next.IsZero() {
				return Opening{}
			}
			if next.After(later) {
				later, in = next, where
			}
		}
		switch {
		case later.After(at):
			at, zone = later, in
		case at.Equal(now):
			return Opening{Open: true}
		default:
			return Opening{Next: at.In(zone)}
		}
	}
	return Opening{}
}

// calendar is the windows of one place, ready to be asked.
type calendar struct{ allow, deny []recurrence }

func newCalendar(ws Windows) (calendar, error) {
	var c calendar
	for _, w := range ws {
		r, err := w.recurrence()
		if err != nil {
			return c, err
		}
		if w.Deny {
			c.deny = append(c.deny, r)
		} else {
			c.allow = append(c.allow, r)
		}
	}
	return c, nil
}

// after is a moment before which the calendar is certainly not open: at itself where
// it is open then, and otherwise when the windows that deny at that moment end, or the
// next one that allows begins. Zero where none ever does.
func (c calendar) after(at time.Time) (time.Time, *time.Location) {
	later, zone := at, at.Location()
	for _, r := range c.deny {
		if end := r.end(at); end.After(later) {
			later, zone = end, r.zone
		}
	}
	if later.After(at) || len(c.allow) == 0 {
		return later, zone
	}
	var first time.Time
	for _, r := range c.allow {
		if r.covers(at) {
			return at, zone
		}
		if begin := r.begin(at); !begin.IsZero() && (first.IsZero() || begin.Before(first)) {
			first, zone = begin, r.zone
		}
	}
	return first, zone
}

// recurrence is one window with what its words mean.
type recurrence struct {
	begins *cron.SpecSchedule
	lasts  time.Duration
	zone   *time.Location
}

func (w Window) recurrence() (recurrence, error) {
	r, err := recurring(w.Cron, w.Zone)
	if err != nil {
		return recurrence{}, fmt.Errorf("read window %s: %w", w, err)
	}
	r.lasts = w.For
	return r, nil
}

// recurring is a cron line by the clocks of a zone, "" for the host's own.
func recurring(line, zone string) (recurrence, error) {
	begins, err := schedule(line)
	if err != nil {
		return recurrence{}, err
	}
	r := recurrence{begins: begins, zone: time.Local}
	if zone != "" {
		r.zone, err = time.LoadLocation(zone)
	}
	return r, err
}

// covers reports whether the moment lies in one of the windows. The moment in which
// one ends does not.
func (r recurrence) covers(at time.Time) bool {
	begin := r.begin(at.Add(-r.lasts))
	return !begin.IsZero() && !begin.After(at)
}

// end is when the newest window that covers the moment ends, which the next one may
// well cover; the moment itself where none does.
func (r recurrence) end(at time.Time) time.Time {
	last := r.begin(at.Add(-r.lasts))
	if last.IsZero() || last.After(at) {
		return at
	}
	// Windows that are much longer than their period cover a moment many times: halving
	// finds the newest.
	for high := at; ; {
		following := r.begin(last)
		if following.IsZero() || following.After(at) {
			return last.Add(r.lasts)
		}
		middle := last.Add(high.Sub(last) / 2)
		if begin := r.begin(middle); !begin.IsZero() && !begin.After(at) {
			last = begin
		} else {
			last, high = following, middle
		}
	}
}

// begin is when the first window after that moment begins, zero where none does within
// five years. What the clocks of the zone show counts: a beginning in an hour that
// they repeat comes twice, and one in an hour that they leave out comes when they do,
// since a window that somebody relies on, to deny above all, must not be left out.
func (r recurrence) begin(after time.Time) time.Time {
	after = after.In(r.zone)
	_, offset := after.Zone()
	end := steadyUntil(after)
	from := clock(after, offset)
	for {
		shown := r.begins.Next(from)
		if shown.IsZero() {
			return time.Time{}
		}
		begin := shown.Add(-time.Duration(offset) * time.Second)
		if end.IsZero() || begin.Before(end) {
			return begin.In(r.zone)
		}
		_, changed := end.Zone()
		if shown.Before(clock(end, changed)) {
			return end // left out
		}
		offset, from = changed, clock(end, changed).Add(-time.Second)
		end = steadyUntil(end)
	}
}

// steadyUntil is a moment up to which the clocks do not change; zero for never. On the
// last day of a leap year after 2037 ZoneBounds says that its period is over already.
func steadyUntil(at time.Time) time.Time {
	_, end := at.ZoneBounds()
	if !end.IsZero() && !end.After(at) {
		return at.Add(24 * time.Hour)
	}
	return end
}

// clock is what clocks that are offset seconds ahead of UTC show at that moment, as if
// it were UTC: there cron needs to know nothing of changes.
func clock(at time.Time, offset int) time.Time {
	return at.UTC().Add(time.Duration(offset) * time.Second)
}
