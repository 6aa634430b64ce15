package compose

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// drilling is a stack with this drill block.
func drilling(block string) map[string]string {
	return one("x-davit: {drill: " + block + "}\nservices: {a: {image: a}}\n")
}

func TestADrillIsReadAsItIsWritten(t *testing.T) {
	p := load(t, drilling(`{schedule: "0 4 1 * *", timezone: Europe/Berlin, data_compatible: true, gaps: true}`))
	want := Drill{Cron: "0 4 1 * *", Zone: "Europe/Berlin", DataCompatible: true, Gaps: true}
	if p.Settings.Drill != want {
		t.Errorf("got %+v", p.Settings.Drill)
	}
	stored, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Unmarshal(stored); err != nil || again.Settings.Drill != want {
		t.Errorf("stored and read: %+v, %v", again, err)
	}
	next, err := want.Next(time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC))
	if err != nil || next.Format(time.RFC3339) != "2026-04-01T04:00:00+02:00" {
		t.Errorf("due %s, %v", next, err)
	}
	if next, err := (Drill{Gaps: true}).Next(time.Now()); err != nil || !next.IsZero() {
		t.Errorf("without a schedule: due %s, %v", next, err)
	}
}

func TestMistakesInADrillAreNamedWithTheirKey(t *testing.T) {
	for block, want := range map[string]string{
		`monthly`:                                  "x-davit.drill: must be a mapping",
		`{schedule: monthly}`:                      `x-davit.drill.schedule: "monthly" is no cron line`,
		`{schedule: "@every 30d"}`:                 "x-davit.drill.schedule",
		`{timezone: UTC}`:                          "x-davit.drill: has a timezone and no schedule",
		`{schedule: "@monthly", timezone: Berlin}`: `x-davit.drill.timezone: there is no time zone "Berlin"`,
		`{gaps: maybe}`:                            "x-davit.drill.gaps: must be true or false",
		`{every: 30d}`:                             "x-davit.drill.every: unknown key",
	} {
		root := write(t, drilling(block))
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", block, err, want)
		}
	}
}

func TestADrillThatIsNeverDueIsNoted(t *testing.T) {
	for block, want := range map[string]bool{`{schedule: "0 4 1 * *"}`: false, `{schedule: "0 4 30 2 *"}`: true, `{gaps: true}`: false} {
		found := slices.ContainsFunc(load(t, drilling(block)).Notes, func(n Note) bool {
			return n.Key == "x-davit.drill.schedule" && strings.Contains(n.Text, "never due")
		})
		if found != want {
			t.Errorf("%s: noted %t", block, found)
		}
	}
}

func TestAChangeOfADrillAloneIsNoNewContent(t *testing.T) {
	plain := load(t, one("services: {a: {image: a}}\n"))
	other := load(t, one("x-davit: {drill: {schedule: \"@daily\"}, prune: false}\nservices: {a: {image: a}}\n"))
	for _, block := range []string{`{schedule: "0 4 1 * *"}`, `{schedule: "@weekly", gaps: true}`} {
		if p := load(t, drilling(block)); p.Hash != plain.Hash {
			t.Errorf("%s makes another content", block)
		} else if p.Hash == other.Hash {
			t.Error("what stands beside a drill counts no more")
		}
	}
}
