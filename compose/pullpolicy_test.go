package compose

import (
	"strings"
	"testing"
	"time"
)

func TestPullPolicies(t *testing.T) {
	for written, want := range map[string]struct {
		policy  PullPolicy
		refresh time.Duration
	}{
		"":                            {PullDefault, 0},
		"pull_policy: always":         {PullAlways, 0},
		"pull_policy: never":          {PullNever, 0},
		"pull_policy: missing":        {PullMissing, 0},
		"pull_policy: if_not_present": {PullMissing, 0},
		"pull_policy: daily":          {PullDefault, 24 * time.Hour},
		"pull_policy: weekly":         {PullDefault, 7 * 24 * time.Hour},
		"pull_policy: every_90m":      {PullDefault, 90 * time.Minute},
		"pull_policy: every_1w2d":     {PullDefault, 9 * 24 * time.Hour},
		"pull_policy: refresh, pull_refresh_after: 12h": {PullDefault, 12 * time.Hour},
	} {
		p := load(t, one("services: {a: {image: a, "+written+"}}"))
		if s := p.Services[0]; s.PullPolicy() != want.policy || s.Refresh() != want.refresh {
			t.Errorf("%s: %s, %s", written, s.PullPolicy(), s.Refresh())
		}
	}
}

func TestPullPoliciesThatMeanNothingAreRefused(t *testing.T) {
	for written, want := range map[string]string{
		"pull_policy: sometimes":                              "pull_policy",
		"pull_policy: every_day":                              "pull_policy",
		"pull_policy: refresh":                                "pull_refresh_after",
		"pull_policy: build":                                  "the service has no build",
		"pull_policy: refresh, pull_refresh_after: sometimes": "services.a.pull_refresh_after",
	} {
		root := write(t, one("services: {a: {image: a, "+written+"}}"))
		if _, err := Load(t.Context(), find(t, root), options(root)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", written, err)
		}
	}
}

func TestAChangedPullPolicyMakesNoContainerAnew(t *testing.T) {
	hash := func(written string) string {
		return load(t, one("services: {a: {image: a, "+written+"}}")).Services[0].Hash
	}
	if hash("") != hash("pull_policy: daily") || hash("") != hash("pull_policy: refresh, pull_refresh_after: 1h") {
		t.Error("it does")
	}
}
