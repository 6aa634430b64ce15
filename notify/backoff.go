package notify

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	firstRetry = 5 * time.Second
	// slowest bounds what backoff grows to, longest what Retry-After may ask for.
	slowest = 15 * time.Minute
	longest = time.Hour
	// soonest keeps full jitter from meaning "at once".
	soonest = time.Second
)

// backoff is the pause after one more failure than failed: a random part of a
// time that doubles, so that a fleet does not come back in step.
func backoff(failed int) time.Duration {
	ceiling := slowest
	if failed < 10 { // beyond it the shift only overflows
		ceiling = min(slowest, firstRetry<<failed)
	}
	return max(soonest, rand.N(ceiling))
}

// retryAfter is what the receiver asks for, in seconds or as a date; 0 for
// nothing sensible.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.Atoi(value); err == nil {
		if seconds < 0 {
			return 0
		}
		return min(longest, time.Duration(min(seconds, int(longest/time.Second)))*time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(longest, max(0, at.Sub(now)))
}
