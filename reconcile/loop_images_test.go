package reconcile_test

import (
	"testing"
	"time"

	"davit/reconcile"
)

func TestASilentRegistryDoesNotHoldUpWhatTheEngineHas(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		within time.Duration
	}{
		"no policy": {"", 6 * time.Second},
		"missing":   {"pull_policy: missing", time.Second},
		"never":     {"pull_policy: never", time.Second},
	} {
		simulate(t, func(t *testing.T, h *host) {
			h.silent.Store(true)
			h.image("shop:1", healthy())
			h.push("v1.0.0", "services: {web: {image: 'shop:1', "+c.policy+"}}")
			h.pass(c.within + 14*time.Second) // healthy after two, watched for ten more
			if s := h.status(); s.Sync != reconcile.SyncSynced {
				t.Errorf("%s: %s after %s: %s", name, s.Sync, c.within, s.WaitingFor)
			}
		})
	}
}

func TestASilentRegistryIsWaitedForWhereNothingElseHelps(t *testing.T) {
	for _, policy := range []string{"", "pull_policy: always", "pull_policy: missing"} {
		simulate(t, func(t *testing.T, h *host) {
			h.silent.Store(true)
			h.push("v1.0.0", "services: {web: {image: 'shop:1', "+policy+"}}")
			h.pass(time.Minute)
			h.expect(policy, string(h.status().Sync), "waiting")
			h.silent.Store(false)
			h.engine.Publish("shop:1", healthy())
			h.pass(2 * time.Minute)
			h.expect(policy, string(h.status().Sync), "synced")
		})
	}
}

func TestARegistryIsNotAskedForWhatTheEngineSurelyHas(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		i := h.engine.Publish("shop:1", healthy())
		if _, err := h.engine.Pull(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		h.push("v1.0.0", "services: {web: {image: 'shop@"+i.Digest+"'}, api: {image: 'shop:1', pull_policy: missing}, job: {image: 'shop:1', pull_policy: never}}")
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "synced")
		if n := h.asked.Load(); n > 0 {
			t.Errorf("the registry was asked %d times", n)
		}
	})
}

func TestNeverWaitsForAnImageAndSaysSo(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Publish("shop:1", healthy())
		h.push("v1.0.0", "services: {web: {image: 'shop:1', pull_policy: never}}")
		h.pass(time.Minute)
		s := h.status()
		h.expect("status", string(s.Sync)+" "+s.WaitingFor, "waiting image shop:1 does not exist yet")
		h.image("shop:1", healthy())
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "synced")
		if n := h.asked.Load(); n > 0 {
			t.Errorf("the registry was asked %d times", n)
		}
	})
}

func TestAlwaysTakesNothingButTheRegistrysWord(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1", healthy())
		h.push("v1.0.0", "services: {web: {image: 'shop:1', pull_policy: always}}")
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "waiting")
		published := h.engine.Publish("shop:1", healthy())
		h.pass(time.Minute)
		if now := h.images()["web"]; now != published.ID {
			t.Errorf("web runs %s, want %s", now, published.ID)
		}
	})
}

func TestAnImageForAnotherPlatformCountsAsMissing(t *testing.T) {
	foreign := healthy()
	foreign.Platform = "linux/arm64/v8"
	for name, c := range map[string]struct{ asked, want string }{
		"another":           {"linux/amd64", "waiting"},
		"the same":          {"linux/arm64/v8", "synced"},
		"without a variant": {"linux/arm64", "synced"},
		"in capitals":       {"Linux/ARM64", "synced"},
		"only the system":   {"linux", "synced"},
		"another variant":   {"linux/arm64/v7", "waiting"},
	} {
		simulate(t, func(t *testing.T, h *host) {
			h.image("shop:1", foreign)
			h.push("v1.0.0", "services: {web: {image: 'shop:1', pull_policy: never, platform: "+c.asked+"}}")
			h.pass(time.Minute)
			h.expect(name, string(h.status().Sync), c.want)
		})
	}
}
