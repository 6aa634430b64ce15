package compose

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// windowed is a stack with these windows.
func windowed(list string) map[string]string {
	return one("x-davit: {windows: " + list + "}\nservices: {a: {image: a}}\n")
}

func TestWindowsAreReadAsTheyAreWritten(t *testing.T) {
	p := load(t, windowed(`[{allow: "0 2 * * *", for: 2h, timezone: Europe/Berlin}, {deny: "@monthly", for: 3600}]`))
	want := Windows{
		{Cron: "0 2 * * *", For: 2 * time.Hour, Zone: "Europe/Berlin"},
		{Deny: true, Cron: "@monthly", For: time.Hour},
	}
	if !reflect.DeepEqual(p.Settings.Windows, want) {
		t.Errorf("got %+v", p.Settings.Windows)
	}
	stored, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Unmarshal(stored); err != nil || !reflect.DeepEqual(again.Settings.Windows, want) {
		t.Errorf("stored and read: %+v, %v", again, err)
	}
}

func TestMistakesInWindowsAreNamedWithTheirKey(t *testing.T) {
	for list, want := range map[string]string{
		`none`:        "x-davit.windows: must be a list of windows",
		`[{for: 1h}]`: "x-davit.windows[0]: needs either allow or deny",
		`[{allow: "@daily", deny: "@daily", for: 1h}]`:                 "x-davit.windows[0]: needs either allow or deny",
		`[{allow: "@daily"}]`:                                          "x-davit.windows[0]: needs for",
		`[{allow: "@daily", for: 1s}]`:                                 "x-davit.windows[0].for: 1s is out of range",
		`[{allow: "@daily", for: 9000h}]`:                              "x-davit.windows[0].for: 9000h0m0s is longer than a year",
		`[{allow: "@daily", for: 1h}, {allow: "0 25 * * *", for: 1h}]`: `x-davit.windows[1].allow: "0 25 * * *" is no cron line`,
		`[{allow: "@every 1h", for: 1h}]`:                              "it does not say when the first one begins",
		`[{allow: "CRON_TZ=UTC 0 2 * * *", for: 1h}]`:                  "the time zone belongs into timezone",
		`[{allow: "TZ=", for: 1h}]`:                                    "the time zone belongs into timezone",
		`[{allow: "@daily", for: 1h, timezone: Berlin}]`:               `x-davit.windows[0].timezone: there is no time zone "Berlin"`,
		`[{allow: "@daily", for: 1h, timezone: Local}]`:                "x-davit.windows[0].timezone: must be the name of a time zone",
		`[{allow: "@daily", for: 1h, until: 4}]`:                       "x-davit.windows[0].until: unknown key",
		`[7]`:                                                          "x-davit.windows[0]: must be a mapping",
	} {
		root := write(t, windowed(list))
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", list, err, want)
		}
	}
}

func TestWindowsThatMeanNothingAreNoted(t *testing.T) {
	for list, want := range map[string]string{
		`[{allow: "0 2 * * *", for: 2h}]`:                                                                   "",
		`[{allow: "0 2 * * 0", for: 2h}, {deny: "0 0 24 12 *", for: 72h}]`:                                  "",
		`[{allow: "0 0 30 2 *", for: 1h}, {allow: "@daily", for: 1h}]`:                                      "x-davit.windows[0]: it never begins",
		`[{allow: "@daily", for: 24h}]`:                                                                     "x-davit.windows[0]: it never ends",
		`[{allow: "0 2 * * *", for: 1h}, {deny: "0 1 * * *", for: 3h}]`:                                     "x-davit.windows: none of them ever opens",
		`[{deny: "* * * * *", for: 1m}]`:                                                                    "x-davit.windows: none of them ever opens",
		`[{allow: "0 0 30 2 *", for: 1h}]`:                                                                  "x-davit.windows: none of them ever opens",
		`[{deny: "0 * * 1-11 *", for: 1h, timezone: UTC}, {deny: "0 * 1-30 12 *", for: 1h, timezone: UTC}]`: "",
	} {
		notes := load(t, windowed(list)).Notes
		found := slices.ContainsFunc(notes, func(n Note) bool {
			return strings.HasPrefix(n.Key+": "+n.Text, want) && strings.Contains(n.Key, "windows")
		})
		if found != (want != "") {
			t.Errorf("%s: notes %v, want %q", list, notes, want)
		}
	}
}

func TestAChangeOfWindowsAloneIsNoNewContent(t *testing.T) {
	a, b := load(t, windowed(`[{allow: "@daily", for: 2h}]`)), load(t, windowed(`[{deny: "@daily", for: 1h}]`))
	if x, y := a.Services[0], b.Services[0]; x.Hash != y.Hash || x.ConfigHash != y.ConfigHash {
		t.Errorf("the service's hashes differ: %s %s, %s %s", x.Hash, y.Hash, x.ConfigHash, y.ConfigHash)
	}
	none := load(t, one("services: {a: {image: a}}\n"))
	if a.Hash != b.Hash || a.Hash != none.Hash {
		t.Errorf("the project's hashes differ: %s, %s, without %s", a.Hash, b.Hash, none.Hash)
	}
	if other := load(t, one("x-davit: {windows: [{deny: \"@daily\", for: 1h}], prune: false}\nservices: {a: {image: a}}\n")); other.Hash == a.Hash {
		t.Error("what else the block says does not count any more")
	}
}
