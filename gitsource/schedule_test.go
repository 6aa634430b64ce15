package gitsource

import (
	"strings"
	"testing"
	"time"
)

func TestNextPollIsJittered(t *testing.T) {
	now := time.Date(2026, 11, 21, 4, 58, 30, 0, time.UTC)
	for _, tt := range []struct {
		text   string
		random float64
		want   time.Time
	}{
		{"60s", 0, now.Add(54 * time.Second)},
		{"60s", 0.5, now.Add(60 * time.Second)},
		{"60s", 1, now.Add(66 * time.Second)},
		{"@every 1m", 0.5, now.Add(time.Minute)},
		{"CRON_TZ=UTC */5 * * * *", 0, time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)},
		{"CRON_TZ=UTC */5 * * * *", 0.5, time.Date(2026, 11, 21, 5, 0, 5, 0, time.UTC)},
		{"CRON_TZ=UTC * * * * *", 1, time.Date(2026, 11, 21, 4, 59, 6, 0, time.UTC)},
		{"CRON_TZ=UTC @daily", 1, time.Date(2026, 11, 22, 0, 0, 10, 0, time.UTC)},
		{"CRON_TZ=UTC 0 9 * * 1-5", 0, time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)},
	} {
		s, err := ParseSchedule(tt.text)
		must(t, err)
		if got := s.Next(now, func() float64 { return tt.random }); !got.Equal(tt.want) || s.String() != tt.text {
			t.Errorf("%s at %g: %s, want %s", tt.text, tt.random, got, tt.want)
		}
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "soon", "0s", "-5m", "999ms", "25h", "1e400h", "NaN", "30", "@every 1ms", "@every", "@every soon", "@sometimes",
		"* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "TZ=UTC", "CRON_TZ=", "CRON_TZ=Mars/Olympus * * * * *", "TZ=\t* * * * *",
		strings.Repeat("1,", 200) + "1 * * * *",
	} {
		if s, err := ParseSchedule(text); err == nil {
			t.Errorf("ParseSchedule(%q) = %s", text, s)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, seed := range []string{"30s", "*/5 8-18 * * 1-5", "@hourly", "TZ=UTC 0 0 * * *", "CRON_TZ=", "@every 5m"} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 21, 4, 58, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		if next := s.Next(now, func() float64 { return 0 }); !next.After(now) {
			t.Errorf("after %q comes %s", text, next)
		}
	})
}
