package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// A tunnel, what lives in its network, and somebody who reads its volumes.
func tunnel(tag, more string) string {
	return fmt.Sprintf(`services:
  vpn: {image: "vpn:%s", restart: always, volumes: [/keys], x-davit: {monitor: 2s}}
  app: {image: "app:1", restart: always, network_mode: "service:vpn", x-davit: {monitor: 2s}}
  reader: {image: "app:1", restart: always, volumes_from: [vpn], x-davit: {monitor: 2s}}
%s`, tag, more)
}

// borrowed fails the test unless every running container refers to running ones.
func (h *host) borrowed() {
	h.t.Helper()
	up := map[string]bool{}
	for _, c := range h.observe().Containers {
		up[c.ID] = c.Running()
	}
	for _, c := range h.observe().Containers {
		for _, id := range c.Borrows {
			if c.Running() && !up[id] {
				h.t.Errorf("%s refers to a container that does not run\n%s", c.Name, h.story())
			}
		}
	}
}

func TestWhoSharesANamespaceGoesWithItsOwnerAndComesBackWithIt(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("vpn:1", healthy())
		h.image("vpn:2", healthy())
		h.image("vpn:bad", sick())
		h.image("app:1", healthy())
		h.push("v1.0.0", tunnel("1", ""))
		h.pass(time.Minute)
		h.expect("running", h.running(), "app/1 app:1, reader/1 app:1, vpn/1 vpn:1")
		h.push("v1.1.0", tunnel("2", ""))
		h.pass(time.Minute)
		h.expect("running", h.running(), "app/2 app:1, reader/2 app:1, vpn/2 vpn:2")
		h.borrowed()
		h.push("v1.2.0", tunnel("bad", ""))
		h.pass(time.Minute)
		h.expect("running", h.running(), "app/2 app:1, reader/2 app:1, vpn/2 vpn:2")
		h.borrowed()
		// By hand, with everything that it was.
		for _, c := range h.observe().Containers {
			if c.Service == "vpn" && c.Running() {
				h.engine.RemoveByHand(c.ID)
			}
		}
		h.pass(5 * time.Minute)
		h.expect("images", strings.NewReplacer("/1", "", "/2", "", "/3", "", "/4", "").Replace(h.running()), "app app:1, reader app:1, vpn vpn:2")
		h.borrowed()
		h.pass(time.Hour) // standbys are over
		told := h.told()
		h.pass(time.Hour)
		if h.told() > told {
			t.Errorf("it never comes to rest:\n%s", h.story())
		}
	})
}

func TestANetworkMadeAnewIsUndoneByTheRollback(t *testing.T) {
	const stack = "services:\n  web: {image: \"web:%s\", restart: always}\n  db: {image: \"db:1\", restart: always}\n" +
		"networks: {default: {internal: %v}}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("web:1", healthy())
		h.image("web:bad", sick())
		h.image("db:1", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, "1", false))
		h.pass(time.Minute)
		before := h.observe().Networks[0]
		h.push("v1.1.0", fmt.Sprintf(stack, "bad", true))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/1 web:1")
		after := h.observe().Networks[0]
		if after.ID == before.ID || after.ConfigHash != before.ConfigHash {
			t.Errorf("the network was %+v and is %+v", before, after)
		}
		h.push("v1.2.0", fmt.Sprintf(stack, "1", true))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/1 web:1")
		if now := h.observe().Networks[0]; now.ConfigHash == before.ConfigHash {
			t.Error("the network is as it was")
		}
		for _, c := range h.observe().Containers {
			if c.Running() && (c.Restart != "always" || len(c.Endpoints["shop_default"].Aliases) < 2) {
				t.Errorf("%s: restart %s, known as %v", c.Name, c.Restart, c.Endpoints["shop_default"].Aliases)
			}
		}
	})
}

func TestAnUnreadyBystanderIsNoReasonToHoldNewContent(t *testing.T) {
	const stack = "services:\n  db: {image: \"db:1\", x-davit: {healing: off}}\n  web: {image: \"web:%s\", depends_on: {db: {condition: service_healthy}}}\n"
	simulate(t, func(t *testing.T, h *host) {
		falls := healthy()
		falls.UnhealthyAfter = time.Minute
		h.image("db:1", falls)
		h.image("web:1", healthy())
		h.image("web:2", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, "1"))
		h.pass(5 * time.Minute)
		h.push("v1.1.0", fmt.Sprintf(stack, "2"))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/1 web:1")
		if h.status().Sync != reconcile.SyncWaiting || h.emitted(reconcile.EventHeld) > 0 {
			t.Errorf("sync %s\n%s", h.status().Sync, h.story())
		}
	})
}

func TestACommandAfterTheStartThatFailsReturnsTheRelease(t *testing.T) {
	const stack = "services:\n  web: {image: \"web:%s\", post_start: [{command: [/warm]}], pre_stop: [{command: [/bye]}]}\n"
	simulate(t, func(t *testing.T, h *host) {
		cold := enginetest.Behaviour{Hooks: map[reconcile.HookPhase]int{reconcile.HookPostStart: 3, reconcile.HookPreStop: 1}}
		h.image("web:1", enginetest.Behaviour{})
		h.image("web:cold", cold)
		h.push("v1.0.0", fmt.Sprintf(stack, "1"))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(stack, "cold"))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/1 web:1")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
	})
}

func TestACommitThatWouldLeaveDataBehindStopsNothing(t *testing.T) {
	const stack = "services:\n  db: {image: \"db:1\", volumes: [\"/srv/%s:/data\"]%s}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, "old", ""))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(stack, "new", ""))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1")
		h.expect("sync", string(h.status().Sync), "stalled")
		h.push("v1.2.0", fmt.Sprintf(stack, "new", ", x-davit: {allow_data_move: true}"))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/2 db:1")
		h.push("v1.3.0", fmt.Sprintf(stack, "old", ""))
		h.pass(5 * time.Minute)
		h.expect("after a revert", h.running(), "db/1 db:1")
	})
}

func TestAPlanShowsValuesToWhoAsksAndNoSecret(t *testing.T) {
	const stack = "services:\n  web: {image: \"web:1\", environment: {LEVEL: %s}}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("web:1", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, "one"))
		h.pass(time.Minute)
		h.stop()
		h.push("v1.1.0", fmt.Sprintf(stack, "two"))
		for values, want := range map[bool]string{false: "environment LEVEL changed;", true: `environment LEVEL changed: "one" -> "two";`} {
			plans, err := h.loop.Plan(t.Context(), reconcile.PlanRequest{Stack: "shop", Values: values})
			if err != nil || len(plans) != 1 || !strings.Contains(plans[0].String(), want) {
				t.Errorf("values %v: %v %v", values, plans, err)
			}
		}
		h.boot()
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 web:1")
		for _, told := range []string{h.story(), h.history()} {
			if strings.Contains(told, `"two"`) {
				t.Errorf("a value got into the record:\n%s", told)
			}
		}
	})
}
