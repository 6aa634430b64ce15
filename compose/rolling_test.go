package compose

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatFailsAndHowManyMay(t *testing.T) {
	for config, want := range map[string]struct{ update, rollback Rolling }{
		"user: a": {Rolling{}, Rolling{OnFailure: FailurePause}},
		"deploy: {update_config: {failure_action: continue, max_failure_ratio: 0.3}}": {
			Rolling{OnFailure: FailureContinue, MaxFailureRatio: 0.3}, Rolling{OnFailure: FailurePause}},
		"deploy: {update_config: {max_failure_ratio: 0.3}, rollback_config: {failure_action: continue, max_failure_ratio: 1}}": {
			Rolling{MaxFailureRatio: 0.3}, Rolling{OnFailure: FailureContinue, MaxFailureRatio: 1}},
	} {
		s := settingsOf(t, config)
		for _, c := range []struct{ got, want Rolling }{{s.Update, want.update}, {s.Rollback, want.rollback}} {
			if c.got.OnFailure != c.want.OnFailure || c.got.MaxFailureRatio != c.want.MaxFailureRatio {
				t.Errorf("%s: %v %v, want %v %v", config, c.got.OnFailure, c.got.MaxFailureRatio, c.want.OnFailure, c.want.MaxFailureRatio)
			}
		}
	}
}

func TestBudgets(t *testing.T) {
	for service, want := range map[string]struct {
		amount Amount
		set    bool
	}{
		"user: a":                     {Amount{Value: 1}, false},
		"x-davit: {min_available: 1}": {Amount{Value: 1}, true},
		"scale: 4, x-davit: {min_available: 75%}":            {Amount{75, true}, true},
		"scale: 3, x-davit: {min_available: 0}":              {Amount{}, true},
		"scale: 0, x-davit: {min_available: 2}":              {Amount{Value: 2}, true},
		"x-davit: {order: stop-first, min_available: 1}":     {Amount{Value: 1}, true},
		"x-davit: {strategy: recreate, min_available: 1}":    {Amount{Value: 1}, true},
		"scale: 2, x-davit: {strategy: recreate}":            {Amount{Value: 1}, false},
		"scale: 3, x-davit: {min_available: 3}":              {Amount{Value: 3}, true},
		"scale: 3, x-davit: {min_available: 3, order: auto}": {Amount{Value: 3}, true},
	} {
		if s := settingsOf(t, service); s.MinAvailable != want.amount || s.MinAvailableSet != want.set {
			t.Errorf("%s: %v, %t", service, s.MinAvailable, s.MinAvailableSet)
		}
	}
}

func TestMistakesInBudgetsAndRatios(t *testing.T) {
	for service, want := range map[string]string{
		"x-davit: {min_available: 2}":                                                           "services.a.x-davit.min_available: 2 of 1 replicas can never be available",
		"scale: 3, x-davit: {min_available: 200%}":                                              "services.a.x-davit.min_available: 6 of 3 replicas can never be available",
		"x-davit: {min_available: most}":                                                        "services.a.x-davit.min_available: must be a number of replicas or a percentage",
		"scale: 2, x-davit: {strategy: recreate, min_available: 1}":                             "min_available: contradicts strategy recreate, which stops all 2 replicas",
		"scale: 3, deploy: {rollback_config: {order: stop-first}}, x-davit: {min_available: 3}": "min_available: leaves none of the 3 replicas to be rolled back",
		"scale: 2, x-davit: {order: stop-first, min_available: 100%}":                           "min_available: leaves none of the 2 replicas to be replaced",
		"deploy: {update_config: {max_failure_ratio: 1.5}}":                                     "services.a.deploy.update_config.max_failure_ratio: must be from 0 to 1, not 1.5",
		"deploy: {rollback_config: {max_failure_ratio: -0.1}}":                                  "services.a.deploy.rollback_config.max_failure_ratio: must be from 0 to 1, not -0.1",
		"deploy: {update_config: {failure_action: retreat}}":                                    "services.a.deploy.update_config.failure_action: must be rollback, pause or continue",
	} {
		root := write(t, one("services: {a: {image: a, "+service+"}}"))
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", service, err, want)
		}
	}
}

func TestKnobsOfARolloutAreNoPartOfAContainer(t *testing.T) {
	const plain = "services: {a: {image: a, scale: 3, "
	bare := load(t, one(plain+"user: u}}"))
	for _, knobs := range []string{
		"x-davit: {min_available: 2}", "x-davit: {progress_timeout: 1m, monitor: 1m}",
		"deploy: {update_config: {failure_action: continue, max_failure_ratio: 0.5, monitor: 1m}}",
	} {
		p := load(t, one(plain+"user: u, "+knobs+"}}"))
		if p.Services[0].Hash != bare.Services[0].Hash {
			t.Errorf("%s restarts containers", knobs)
		}
		if strings.HasPrefix(knobs, "x-davit") && p.Services[0].ConfigHash != bare.Services[0].ConfigHash {
			t.Errorf("%s restarts containers for Compose", knobs)
		}
		if p.Hash == bare.Hash {
			t.Errorf("%s is no new content", knobs)
		}
	}
}

func TestAMonitorThatProvesNothingIsNoted(t *testing.T) {
	for service, key := range map[string]string{
		"healthcheck: {test: ok}": "healthcheck",
		"healthcheck: {test: ok, interval: 10s}, x-davit: {monitor: 29s}":                             "x-davit.monitor",
		"healthcheck: {test: ok, interval: 10s}, x-davit: {monitor: 30s}":                             "",
		"healthcheck: {test: ok, interval: 10s, start_period: 5s}, x-davit: {monitor: 30s}":           "x-davit.monitor",
		"healthcheck: {test: ok, interval: 10s, retries: 4}, deploy: {update_config: {monitor: 30s}}": "deploy.update_config.monitor",
		"healthcheck: {test: ok, interval: 1s, retries: 2}, deploy: {update_config: {monitor: 2s}}":   "",
		"healthcheck: {test: ok}, x-davit: {monitor: 0s}":                                             "",
		"healthcheck: {test: [NONE]}, x-davit: {monitor: 1s}":                                         "",
		"user: a": "",
	} {
		p := load(t, one("services: {a: {image: a, "+service+"}}"))
		noted := slices.IndexFunc(p.Notes, func(n Note) bool { return strings.Contains(n.Text, "ends before the health check can tell") })
		switch {
		case key == "" && noted >= 0:
			t.Errorf("%s: noted at %s: %s", service, p.Notes[noted].Key, p.Notes[noted].Text)
		case key != "" && (noted < 0 || p.Notes[noted].Key != "services.a."+key):
			t.Errorf("%s: noted %v, want at %s", service, p.Notes, key)
		}
	}
}
