package compose

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for in, want := range map[any]time.Duration{
		"30s": 30 * time.Second, "1h5m": 65 * time.Minute, 7: 7 * time.Second, 0: 0, "90": 90 * time.Second, 1.5: 1500 * time.Millisecond, "250ms": 250 * time.Millisecond,
	} {
		var got time.Duration
		if errs := duration(&got, 0)(in); errs != nil || got != want {
			t.Errorf("%v: %v, %v", in, got, errs)
		}
	}
	for _, in := range []any{"", "soon", "-1s", true, nil, []any{1}, "NaN", "1e400h", 1e300, "Inf"} {
		var got time.Duration
		if errs := duration(&got, 0)(in); errs == nil {
			t.Errorf("%v is %v", in, got)
		}
	}
}

func TestAmounts(t *testing.T) {
	for in, want := range map[any]Amount{2: {Value: 2}, "25%": {Value: 25, Percent: true}, "0": {}, 0: {}} {
		var got Amount
		if errs := amount(&got)(in); errs != nil || got != want {
			t.Errorf("%v: %v, %v", in, got, errs)
		}
	}
	for _, in := range []any{-1, "-5%", "%", "many", 1.5, true, "5 %", 99999} {
		var got Amount
		if errs := amount(&got)(in); errs == nil {
			t.Errorf("%v is %v", in, got)
		}
	}
}

func settingsOf(t *testing.T, service string) ServiceSettings {
	t.Helper()
	return load(t, one("services: {a: {image: a, "+service+"}}")).Services[0].Settings
}

func TestTheDefaults(t *testing.T) {
	p := load(t, one("services: {a: {image: a}}"))
	if want := (Settings{Prune: true, ImageWait: 30 * time.Minute}); !reflect.DeepEqual(p.Settings, want) {
		t.Errorf("got %+v, want %+v", p.Settings, want)
	}
	rolling := Rolling{MaxSurge: Amount{Value: 1}, Monitor: 10 * time.Second}
	want := ServiceSettings{
		StableFor: 5 * time.Second, StartTimeout: 2 * time.Minute, ProgressTimeout: 10 * time.Minute,
		StandbyFor: 30 * time.Minute, MinAvailable: Amount{Value: 1}, Update: rolling, Rollback: rolling,
	}
	want.Rollback.OnFailure = FailurePause
	if got := p.Services[0].Settings; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestStabilityDependsOnTheHealthCheck(t *testing.T) {
	for service, want := range map[string]time.Duration{
		"healthcheck: {test: ok}":                                0,
		"healthcheck: {test: [NONE]}":                            5 * time.Second,
		"healthcheck: {disable: true}":                           5 * time.Second,
		"healthcheck: {interval: 1s}":                            5 * time.Second,
		"healthcheck: {test: ok}, x-davit: {stable_for: 7}":      7 * time.Second,
		"healthcheck: {test: [NONE]}, x-davit: {stable_for: 0s}": 0,
	} {
		got := settingsOf(t, service)
		if got.StableFor != want || got.StableForSet != strings.Contains(service, "stable_for") {
			t.Errorf("%s: %v, set %t", service, got.StableFor, got.StableForSet)
		}
	}
}

func TestRollouts(t *testing.T) {
	number := func(n int) Amount { return Amount{Value: n} }
	all := Amount{Value: 100, Percent: true}
	type rolling struct {
		order             Order
		surge, unavailble Amount
	}
	for name, c := range map[string]struct {
		service          string
		update, rollback rolling
	}{
		"nothing said":                    {"user: a", rolling{OrderAuto, number(1), number(0)}, rolling{OrderAuto, number(1), number(0)}},
		"start-first, three at a time":    {"scale: 9, deploy: {update_config: {order: start-first, parallelism: 3}}", rolling{OrderStartFirst, number(3), number(0)}, rolling{OrderStartFirst, number(3), number(0)}},
		"stop-first, three at a time":     {"scale: 9, deploy: {update_config: {order: stop-first, parallelism: 3}}", rolling{OrderStopFirst, number(0), number(3)}, rolling{OrderStopFirst, number(0), number(3)}},
		"stop-first":                      {"deploy: {update_config: {order: stop-first}}", rolling{OrderStopFirst, number(0), number(1)}, rolling{OrderStopFirst, number(0), number(1)}},
		"all at once":                     {"deploy: {update_config: {order: stop-first, parallelism: 0}}", rolling{OrderStopFirst, number(0), all}, rolling{OrderStopFirst, number(0), all}},
		"a rollback of its own":           {"deploy: {update_config: {parallelism: 1}, rollback_config: {parallelism: 0, order: stop-first}}", rolling{OrderAuto, number(1), number(0)}, rolling{OrderStopFirst, number(0), all}},
		"x-davit over both":               {"deploy: {update_config: {parallelism: 3, order: start-first}}, x-davit: {max_surge: 25%}", rolling{OrderStartFirst, Amount{25, true}, number(0)}, rolling{OrderStartFirst, Amount{25, true}, number(0)}},
		"x-davit's order turns the batch": {"deploy: {update_config: {parallelism: 3}}, x-davit: {order: stop-first}", rolling{OrderStopFirst, number(0), number(3)}, rolling{OrderStopFirst, number(0), number(3)}},
		"max_unavailable over a batch":    {"scale: 8, deploy: {update_config: {parallelism: 4}}, x-davit: {max_unavailable: 1}", rolling{OrderAuto, number(1), number(1)}, rolling{OrderAuto, number(1), number(1)}},
		"x-davit alone":                   {"x-davit: {order: stop-first, max_unavailable: 2}", rolling{OrderStopFirst, number(0), number(2)}, rolling{OrderStopFirst, number(0), number(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settingsOf(t, c.service)
			if got := (rolling{s.Update.Order, s.Update.MaxSurge, s.Update.MaxUnavailable}); got != c.update {
				t.Errorf("update %v, want %v", got, c.update)
			}
			if got := (rolling{s.Rollback.Order, s.Rollback.MaxSurge, s.Rollback.MaxUnavailable}); got != c.rollback {
				t.Errorf("rollback %v, want %v", got, c.rollback)
			}
		})
	}
}

func TestParallelismIsOfEitherOrderUnlessXDavitSaysMore(t *testing.T) {
	for service, want := range map[string]Amount{
		"user: a": {},
		"deploy: {update_config: {parallelism: 3}}":                                  {Value: 3},
		"deploy: {update_config: {parallelism: 0}}":                                  {Value: 100, Percent: true},
		"deploy: {update_config: {parallelism: 3}}, x-davit: {max_surge: 1}":         {},
		"deploy: {update_config: {parallelism: 3}}, x-davit: {max_unavailable: 50%}": {},
	} {
		if s := settingsOf(t, service); s.Update.Parallel != want || s.Rollback.Parallel != want {
			t.Errorf("%s: %v, and back %v, want %v", service, s.Update.Parallel, s.Rollback.Parallel, want)
		}
	}
}

func TestAWayBackDoesNotLinger(t *testing.T) {
	for deploy, want := range map[string]Rolling{
		"{update_config: {delay: 10m, max_failure_ratio: 0.5, monitor: 1m}}":                                 {Monitor: time.Minute},
		"{update_config: {monitor: 1m}, rollback_config: {delay: 0s, monitor: 0s, max_failure_ratio: 0}}":    {},
		"{update_config: {monitor: 1m}, rollback_config: {delay: 1s, monitor: 2s, max_failure_ratio: 0.25}}": {Delay: time.Second, Monitor: 2 * time.Second, MaxFailureRatio: 0.25},
		"{update_config: {delay: 0s, monitor: 0s}}":                                                          {},
	} {
		got := settingsOf(t, "deploy: "+deploy).Rollback
		if got.Delay != want.Delay || got.Monitor != want.Monitor || got.MaxFailureRatio != want.MaxFailureRatio {
			t.Errorf("%s: %+v, want %+v", deploy, got, want)
		}
	}
}

func TestWhatARolloutTakesFromDeploy(t *testing.T) {
	s := settingsOf(t, "deploy: {update_config: {delay: 3s, monitor: 1m, failure_action: pause, max_failure_ratio: 0}, rollback_config: {delay: 1s}}")
	want := Rolling{MaxSurge: Amount{Value: 1}, Delay: 3 * time.Second, Monitor: time.Minute, OnFailure: FailurePause}
	if s.Update != want {
		t.Errorf("got %+v, want %+v", s.Update, want)
	}
	want.Delay = time.Second
	if s.Rollback != want {
		t.Errorf("got %+v, want %+v", s.Rollback, want)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	p := load(t, one(`
x-davit: {suspend: true, prune: false, rollback: none, image_wait: 60, depends_on: [database]}
services:
  a:
    image: a
    x-davit:
      strategy: recreate
      concurrent_writers: true
      start_timeout: 1m
      progress_timeout: 2m
      monitor: 3m
      standby: {for: 4m}
`))
	if want := (Settings{Suspend: true, Rollback: RollbackNone, ImageWait: time.Minute, DependsOn: []string{"database"}}); !reflect.DeepEqual(p.Settings, want) {
		t.Errorf("got %+v, want %+v", p.Settings, want)
	}
	s := p.Services[0].Settings
	if s.Strategy != StrategyRecreate || !s.ConcurrentWriters || s.StartTimeout != time.Minute || s.ProgressTimeout != 2*time.Minute ||
		s.Update.Monitor != 3*time.Minute || s.Rollback.Monitor != 3*time.Minute || s.StandbyFor != 4*time.Minute {
		t.Errorf("got %+v", s)
	}
}

func TestMistakesInSettings(t *testing.T) {
	for name, c := range map[string]struct{ project, service, want string }{
		"an unknown key":                   {"", "stable: 1s", "compose.yaml:5: services.a.x-davit.stable: unknown key"},
		"an unknown key of the project":    {"suspended: true", "", "compose.yaml:2: x-davit.suspended: unknown key"},
		"an unknown key further down":      {"", "standby: {until: 1s}", "services.a.x-davit.standby.until: unknown key"},
		"no mapping":                       {"", "standby: 5", "services.a.x-davit.standby: must be a mapping"},
		"a key of a later version":         {"", "image: {policy: semver}", "services.a.x-davit.image: not supported by this version of davit"},
		"a rollback of a later version":    {"rollback: stack-with-data", "", "x-davit.rollback: stack-with-data: not supported by this version of davit"},
		"no list of stacks":                {"depends_on: database", "", "x-davit.depends_on: must be a list of stack names"},
		"no name of a stack":               {"depends_on: [ok, Data Base]", "", `x-davit.depends_on[1]: "Data Base" is no stack name`},
		"an unknown word":                  {"", "order: backwards", `services.a.x-davit.order: must be one of auto, start-first, stop-first, not "backwards"`},
		"nothing that could ever move":     {"", "max_surge: 0", "max_surge and max_unavailable both come to zero for 1 replicas"},
		"a percentage that rounds to zero": {"", "max_surge: 0, max_unavailable: 50%", "both come to zero for 1 replicas"},
		"an order that recreate forbids":   {"", "strategy: recreate, order: start-first", "services.a.x-davit.order: start-first contradicts strategy recreate"},
		"no time to start":                 {"", "start_timeout: 0", "services.a.x-davit.start_timeout: 0s is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, one("x-davit:\n  {"+c.project+"}\nservices:\n  a:\n    {image: a, x-davit: {"+c.service+"}}\n"))
			_, err := Load(t.Context(), find(t, root), options(root))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestMistakesInDeploy(t *testing.T) {
	for config, want := range map[string]string{
		"update_config: {failure_action: explode}":    "deploy.update_config.failure_action: must be rollback, pause or continue",
		"update_config: {order: random}":              "deploy.update_config.order: must be",
		"rollback_config: {failure_action: rollback}": "deploy.rollback_config.failure_action: must be pause or continue: a rollback is never itself rolled back",
		"update_config: {delay: -1s}":                 "deploy.update_config.delay: must not be negative",
	} {
		root := write(t, one("services: {a: {image: a, deploy: {"+config+"}}}"))
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", config, err, want)
		}
	}
}

func TestXDavitThatOverridesIsNoted(t *testing.T) {
	p := load(t, one("services: {a: {image: a, deploy: {update_config: {order: stop-first, monitor: 1s, parallelism: 1}}, x-davit: {order: start-first, monitor: 2s, max_unavailable: 1}}}"))
	var keys []string
	for _, n := range p.Notes {
		keys = append(keys, strings.TrimPrefix(n.Key, "services.a.deploy.update_config."))
	}
	if want := []string{"order", "monitor", "parallelism"}; !slices.Equal(keys, want) {
		t.Errorf("noted %v, want %v", keys, want)
	}
}

func TestSettingsOfAnIncludedFileAreRefused(t *testing.T) {
	root := write(t, map[string]string{"compose.yaml": "include: [part/compose.yaml]", "part/compose.yaml": "x-davit: {suspend: true}\nservices: {a: {image: a}}"})
	_, err := Load(t.Context(), find(t, root), options(root))
	if err == nil || !strings.Contains(err.Error(), "part/compose.yaml:1: x-davit: has no effect in an included file") {
		t.Errorf("got %v", err)
	}
}
