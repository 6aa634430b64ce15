package compose

import (
	"strings"
	"testing"
	"time"
)

func TestReplacedContainersStandByAsTheFileSays(t *testing.T) {
	for name, c := range map[string]struct {
		block string
		want  StandbyMode
		last  time.Duration
	}{
		"stopped, where nothing is said":     {"monitor: 1s", StandbyStopped, 30 * time.Minute},
		"running, with blue-green":           {"strategy: blue-green", StandbyRunning, 30 * time.Minute},
		"stopped with blue-green, if asked":  {"strategy: blue-green, standby: {mode: stopped}", StandbyStopped, 30 * time.Minute},
		"running with rolling, if asked":     {"standby: {mode: running, for: 1h}", StandbyRunning, time.Hour},
		"running with a strategy that rolls": {"strategy: rolling, standby: {mode: running}", StandbyRunning, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := load(t, one("services:\n  a: {image: a, x-davit: {"+c.block+"}}\n")).Services[0].Settings
			if s.Standby != c.want || s.StandbyFor != c.last {
				t.Errorf("got %s for %v, want %s for %v", s.Standby, s.StandbyFor, c.want, c.last)
			}
		})
	}
}

func TestTwoSetsThatCannotRunSideBySideAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ service, want string }{
		"one name":           {"container_name: front, x-davit: {strategy: blue-green}", "services.a.x-davit.strategy: blue-green is not possible with container_name: two containers cannot both be front"},
		"one name, rolling":  {"container_name: front, x-davit: {standby: {mode: running}}", "services.a.x-davit.standby.mode: running is not possible with container_name"},
		"the host's network": {"network_mode: host, x-davit: {strategy: blue-green}", "services.a.x-davit.strategy: blue-green is not possible with network_mode host"},
		"an order":           {"x-davit: {strategy: blue-green, order: stop-first}", "blue-green contradicts order stop-first"},
		"recreate":           {"x-davit: {strategy: recreate, standby: {mode: running}}", "services.a.x-davit.standby.mode: running contradicts strategy recreate"},
		"a surge":            {"x-davit: {strategy: blue-green, max_surge: 2}", "services.a.x-davit.max_surge: has no effect with strategy blue-green"},
		"a gap":              {"x-davit: {strategy: blue-green, max_unavailable: 1}", "services.a.x-davit.max_unavailable: has no effect with strategy blue-green"},
		"a word":             {"x-davit: {standby: {mode: walking}}", `services.a.x-davit.standby.mode: must be one of stopped, running, not "walking"`},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, one("services:\n  a: {image: a, "+c.service+"}\n"))
			_, err := Load(t.Context(), find(t, root), options(root))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestBatchesOfASetAreRemarkedOn(t *testing.T) {
	p := load(t, one("services:\n  a:\n    image: a\n    deploy: {update_config: {parallelism: 2, delay: 5s}}\n    x-davit: {strategy: blue-green}\n"))
	var notes []string
	for _, n := range p.Notes {
		notes = append(notes, n.Key+": "+n.Text)
	}
	all := strings.Join(notes, "\n")
	for _, key := range []string{"update_config.parallelism", "update_config.delay"} {
		if !strings.Contains(all, key+": has no effect with strategy blue-green") {
			t.Errorf("nothing is said of %s:\n%s", key, all)
		}
	}
}
