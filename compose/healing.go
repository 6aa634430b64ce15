package compose

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Healing is x-davit.healing: how often davit replaces, or starts again, what fails by
// itself. The zero value is the default.
type Healing struct {
	// Off leaves what fails by itself as it is.
	Off bool `json:",omitempty"`
	// Attempts are how many of HealingWindow are enough. Default 5; 0 is the default.
	Attempts int `json:",omitempty"`
	// Backoff is the pause after the first attempt; it doubles after each, up to
	// HealingPause. Default 10 s; 0 is the default.
	Backoff time.Duration `json:",omitempty"`
}

const (
	// HealingWindow is the time in which attempts are counted, and for which a service
	// has to be well before they are forgotten.
	HealingWindow = time.Hour
	// HealingPause is the longest pause between two attempts.
	HealingPause = 5 * time.Minute

	healingAttempts = 5
	healingBackoff  = 10 * time.Second
	maxHealing      = 1000
)

// Enough is after how many attempts there is to be no other.
func (h Healing) Enough() int {
	if h.Attempts == 0 {
		return healingAttempts
	}
	return h.Attempts
}

// Pause is how long there is to be none after that many.
func (h Healing) Pause(attempts int) time.Duration {
	pause := h.Backoff
	if pause == 0 {
		pause = healingBackoff
	}
	for range attempts - 1 {
		if pause >= HealingPause {
			break
		}
		pause *= 2
	}
	return max(min(pause, HealingPause), h.Backoff)
}

// healing accepts "off" and a block. Some readers of YAML make a boolean of the word.
func healing(into *Healing) setter {
	return func(v any) []keyError {
		switch v {
		case "off", false:
			into.Off = true
			return nil
		case "on", true:
			return nil
		}
		if _, block := v.(map[string]any); !block && v != nil {
			return wrong("must be off, or a mapping with attempts and backoff, not %q", fmt.Sprint(v))
		}
		return decodeBlock(v, nil, map[string]setter{
			"attempts": healings(&into.Attempts),
			"backoff":  duration(&into.Backoff, time.Second),
		})
	}
}

func healings(into *int) setter {
	return func(v any) []keyError {
		n, err := strconv.Atoi(fmt.Sprint(v))
		switch {
		case err != nil || n < 0 || n > maxHealing:
			return wrong("must be a number of attempts from 1 to %d, not %q", maxHealing, fmt.Sprint(v))
		case n == 0:
			return []keyError{{err: errors.New("must be at least 1; `healing: off` is for none")}}
		}
		*into = n
		return nil
	}
}
