package compose

import (
	"strings"
	"testing"
	"time"
)

func TestHealingIsOnUnlessItIsSaidToBeOff(t *testing.T) {
	for text, want := range map[string]Healing{
		"":                                    {},
		", x-davit: {healing: off}":           {Off: true},
		", x-davit: {healing: on}":            {},
		", x-davit: {healing: {attempts: 3}}": {Attempts: 3},
		", x-davit: {healing: {attempts: 3, backoff: 1m}}": {Attempts: 3, Backoff: time.Minute},
	} {
		p := load(t, one("services: {a: {image: a"+text+"}}"))
		if got := p.Services[0].Settings.Healing; got != want {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

func TestPausesBetweenHealingsDoubleUpToFiveMinutes(t *testing.T) {
	for h, want := range map[Healing][]time.Duration{
		{}:                          {10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, HealingPause, HealingPause},
		{Backoff: 2 * time.Minute}:  {2 * time.Minute, 4 * time.Minute, HealingPause},
		{Backoff: 10 * time.Minute}: {10 * time.Minute, 10 * time.Minute},
	} {
		for i, pause := range want {
			if got := h.Pause(i + 1); got != pause {
				t.Errorf("%+v after %d attempts: %v, want %v", h, i+1, got, pause)
			}
		}
	}
	if got := (Healing{}).Pause(1 << 20); got != HealingPause {
		t.Errorf("after very many: %v", got)
	}
	if (Healing{}).Enough() != 5 || (Healing{Attempts: 2}).Enough() != 2 {
		t.Error("other numbers are enough")
	}
}

func TestMistakesInHealing(t *testing.T) {
	for text, want := range map[string]string{
		"never":            "services.a.x-davit.healing: must be off, or a mapping",
		"{attempts: 0}":    "services.a.x-davit.healing.attempts: must be at least 1; `healing: off` is for none",
		"{attempts: many}": "services.a.x-davit.healing.attempts: must be a number of attempts",
		"{backoff: 1ms}":   "services.a.x-davit.healing.backoff: 1ms is out of range",
		"{backoff: soon}":  "services.a.x-davit.healing.backoff: must be a duration",
		"{limit: 1}":       "services.a.x-davit.healing.limit: unknown key: there are attempts, backoff",
	} {
		root := write(t, one("services:\n  a:\n    {image: a, x-davit: {healing: "+text+"}}\n"))
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "compose.yaml:3: ") {
			t.Errorf("%s: got %v\nwant %s", text, err, want)
		}
	}
}
