package compose

import (
	"fmt"
	"time"
)

// windowRemarks are on windows that do not do what somebody must have meant by them.
func (l *loading) windowRemarks(ws Windows) {
	for i, w := range ws {
		if text := w.remark(); text != "" {
			l.note(fmt.Sprintf("%s.windows[%d]", extension, i), text)
		}
	}
	if NeverOpen(ws) {
		l.note(extension+".windows", "none of them ever opens: new content would wait for ever")
	}
}

// NeverOpen reports whether windows leave new content no time at all.
func NeverOpen(all ...Windows) bool {
	o := opening(beginning(), all, foresightAtLeisure)
	return !o.Open && o.Next.IsZero()
}

// beginning is from when windows are judged: what is written counts, and not the day on
// which that is done. The five years from here have every date that there is.
func beginning() time.Time { return time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC) }

// remark is what is odd about one window, "" for nothing.
func (w Window) remark() string {
	r, err := w.recurrence()
	if err != nil {
		return err.Error()
	}
	begin := r.begin(beginning())
	if begin.IsZero() {
		return "it never begins: there is no such date"
	}
	w.Deny = true // what is never open where it denies never ends
	if o := opening(begin, []Windows{{w}}, foresightAtLeisure); o.Open || !o.Next.IsZero() {
		return ""
	}
	return "it never ends: the next one begins before it is over"
}

// short is a duration without its zeros.
func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return d.String()
}
