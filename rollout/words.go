package rollout

import (
	"strconv"
	"strings"
	"time"
)

// span is a duration for people: "0.4s", "12s", "2m", "1h5m".
func span(d time.Duration) string {
	if d < time.Minute {
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
	}
	text := d.Round(time.Second).String()
	if rest, whole := strings.CutSuffix(text, "m0s"); whole {
		text = rest + "m"
	}
	if rest, whole := strings.CutSuffix(text, "h0m"); whole {
		text = rest + "h"
	}
	return text
}

// after is " after 1.3s" if both times are known, else "".
func after(from, to time.Time) string {
	if from.IsZero() || to.Before(from) {
		return ""
	}
	return " after " + span(to.Sub(from))
}
