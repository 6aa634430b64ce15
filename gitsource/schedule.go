package gitsource

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when to poll next.
type Schedule struct {
	text  string
	every time.Duration // 0 for cron
	cron  cron.Schedule
}

const (
	minInterval = time.Second
	maxInterval = 24 * time.Hour
	// intervalJitter spreads the agents of a fleet that started together.
	intervalJitter = 0.1
	// cronJitter is how late, at most, a poll may come that a cron line sets.
	cronJitter  = 10 * time.Second
	maxSchedule = 200 // bytes
)

// ParseSchedule reads a Go duration between one second and 24 hours ("30s"), or
// five cron fields or a descriptor ("*/5 8-18 * * 1-5", "@hourly"), in local time
// unless they begin with CRON_TZ=Area/City.
func ParseSchedule(text string) (Schedule, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxSchedule {
		return Schedule{}, errors.New("parse schedule: it is empty or too long")
	}
	duration, every := strings.CutPrefix(text, "@every ")
	if d, err := time.ParseDuration(strings.TrimSpace(duration)); err == nil {
		if d < minInterval || d > maxInterval {
			return Schedule{}, fmt.Errorf("parse schedule %q: an interval is between %s and %s", text, minInterval, maxInterval)
		}
		return Schedule{text: text, every: d}, nil
	}
	if every || strings.Contains(text, "TZ=") && !strings.Contains(text, " ") {
		return Schedule{}, fmt.Errorf("parse schedule %q: it is neither a duration nor a cron line", text)
	}
	c, err := cron.ParseStandard(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("parse schedule %q: it is neither a duration nor a cron line: %w", text, err)
	}
	// A line such as "0 0 30 2 *" never comes; cron gives up after five years.
	if c.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, fmt.Errorf("parse schedule %q: there is no such date", text)
	}
	return Schedule{text: text, cron: c}, nil
}

// String is the schedule as it was written.
func (s Schedule) String() string { return s.text }

// Next is the moment of the next poll. random returns a number in [0, 1): an
// interval varies by a tenth either way, a cron line is answered up to ten
// seconds late, or a tenth of the time to the next one if that is less.
func (s Schedule) Next(now time.Time, random func() float64) time.Time {
	if s.cron == nil {
		return now.Add(time.Duration(float64(s.every) * (1 + intervalJitter*(2*random()-1))))
	}
	next := s.cron.Next(now)
	late := cronJitter
	if gap := s.cron.Next(next).Sub(next) / 10; gap > 0 {
		late = min(late, gap)
	}
	return next.Add(time.Duration(float64(late) * random()))
}
