package mix

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Tally counts the requests of one kind.
type Tally struct {
	Total, Failed int
	// Connections are those that they went over.
	Connections int
	// Versions counts the good answers.
	Versions map[string]int
}

// Report is what a Mix has counted.
type Report struct {
	// Requests are by Kind; there are none of those that last.
	Requests []Tally
	Failures []Failure
	// Streams are those that have ended, in that order.
	Streams []Stream
}

func (r Report) failed() bool {
	return len(r.Failures) > 0 || slices.ContainsFunc(r.Streams, func(s Stream) bool { return s.End == Failed })
}

// Ends are the streams of a kind that ended so.
func (r Report) Ends(kind Kind, how Ending) []Stream {
	var out []Stream
	for _, s := range r.Streams {
		if s.Kind == kind && s.End == how {
			out = append(out, s)
		}
	}
	return out
}

// Text is the report for people: a line for each kind. Drains say when streams that
// were cut off should have been.
func (r Report) Text(d Drains) string {
	var b strings.Builder
	for kind := range streams {
		t := r.Requests[kind]
		fmt.Fprintf(&b, "%-21s %6d requests over %d connections, answered by %d versions: %d failed\n",
			kind, t.Total, t.Connections, len(t.Versions), t.Failed)
	}
	for kind := streams; kind < kinds; kind++ {
		var messages, total int
		for _, s := range r.Streams {
			if s.Kind == kind {
				total++
				messages += s.Messages
			}
		}
		finished := r.Ends(kind, Finished)
		fmt.Fprintf(&b, "%-21s %6d streams, %d messages: %d ended by themselves, %d of them while their container drained, %s, %d closed while quiet, %d failed\n",
			kind, total, messages, len(finished), len(d.Within(finished)), d.cuts(r.Ends(kind, Reset)), len(r.Ends(kind, Closed)), len(r.Ends(kind, Failed)))
	}
	return b.String()
}

// Within are those of the streams that ended while their container was draining.
func (d Drains) Within(all []Stream) []Stream {
	var out []Stream
	for _, s := range all {
		if since, draining := d.Since[s.Server.Container]; draining && s.Ended.After(since) {
			out = append(out, s)
		}
	}
	return out
}

// cuts says how many streams were cut off, and how long after the drain began.
func (d Drains) cuts(all []Stream) string {
	var after []time.Duration
	for _, s := range d.Within(all) {
		after = append(after, s.Ended.Sub(d.Since[s.Server.Container]).Round(time.Millisecond))
	}
	if len(after) == 0 {
		return fmt.Sprintf("%d cut off", len(all))
	}
	return fmt.Sprintf("%d cut off %s to %s after their containers began to drain", len(all), slices.Min(after), slices.Max(after))
}
