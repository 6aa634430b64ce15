package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// inBatch is a host on which two of four replicas of the shop run 1.1, and the third
// starts: each takes ten seconds until it is healthy.
func inBatch(t *testing.T, f func(t *testing.T, h *host)) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		h.adjust = func(*reconcile.Options) {}
		h.remembers()
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 10 * time.Second})
		h.push("v1.0.0", replicated("1.0", 4, "", ""))
		h.pass(time.Minute)
		h.push("v1.1.0", replicated("1.1", 4, "", ""))
		h.pass(28 * time.Second)
		h.expect("changed", fmt.Sprint(h.count("shop:1.0"), " ", h.count("shop:1.1")), "2 3")
		f(t, h)
	})
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, reconcile.ErrNotApplicable) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a refusal that says %q", err, want)
	}
}

func TestTheStatusSaysWhereARollingReleaseIs(t *testing.T) {
	inBatch(t, func(t *testing.T, h *host) {
		h.expect("rollout", h.rollout(), "rolling, replica 3 of 4, starting, 50 %, waits for web/7: healthcheck within 2m")
		s := h.status()
		if since := time.Since(s.Services[0].Rollout.Since); s.Sync != reconcile.SyncProgressing || since < time.Second || since > 10*time.Second {
			t.Errorf("%s, since %v", s.Sync, since)
		}
		h.pass(20 * time.Second)
		if got := h.rollout(); !strings.HasPrefix(got, "rolling, replica 4 of 4, monitoring, 100 %, waits for web/") {
			t.Errorf("at its end it is at %q\n%s", got, h.story())
		}
		h.pass(time.Minute)
		h.expect("rollout", h.rollout(), "")
	})
}

func TestPromoteAndRetryMeanNothingInABatch(t *testing.T) {
	inBatch(t, func(t *testing.T, h *host) {
		refused(t, h.loop.Promote(t.Context(), "shop", "ann"), "no canary of it is held")
		refused(t, h.loop.Retry(t.Context(), "shop", "ann"), "release #2 of it is under way")
		h.pass(2 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestAbortTakesABatchBackAndHoldsItsContent(t *testing.T) {
	inBatch(t, func(t *testing.T, h *host) {
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("failure", h.record.releases[1].Failure, "aborted by ann")
		h.expect("sync", string(h.status().Sync), "held")
		h.expect("replicas", fmt.Sprint(h.count("shop:1.0"), " ", h.count("shop:1.1")), "4 0")
		refused(t, h.loop.Abort(t.Context(), "shop", "ann"), "no release of it is under way")
		if err := h.loop.Retry(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(3 * time.Minute)
		h.expect("after a retry", fmt.Sprint(h.count("shop:1.0"), " ", h.count("shop:1.1")), "0 4")
	})
}

func TestAnAbortOfABatchOutlivesTheAgent(t *testing.T) {
	inBatch(t, func(t *testing.T, h *host) {
		h.record.refuseEnds(true)
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(100 * time.Millisecond)
		h.stop()
		h.record.refuseEnds(false)
		h.boot()
		h.pass(3 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 interrupted\n#3 deploy v1.1.0 failed\n#4 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("replicas", fmt.Sprint(h.count("shop:1.0"), " ", h.count("shop:1.1")), "4 0")
	})
}

func TestASuspendedBatchStaysWhereItIsAndGoesOn(t *testing.T) {
	inBatch(t, func(t *testing.T, h *host) {
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		before := h.running()
		h.pass(time.Hour)
		h.expect("suspended", h.running(), before)
		h.expect("sync", string(h.status().Sync), "suspended")
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		h.expect("resumed", fmt.Sprint(h.count("shop:1.0"), " ", h.count("shop:1.1")), "0 4")
		refused(t, h.loop.Resume(t.Context(), "shop", "ann"), "it is not suspended")
	})
}

func TestASuspendedBatchThatIsAbortedGoesBackOnceItMay(t *testing.T) {
	inBatch(t, func(t *testing.T, h *host) {
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		before := h.running()
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		h.expect("suspended", h.running(), before)
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		h.expect("resumed", fmt.Sprint(h.count("shop:1.0"), " ", h.count("shop:1.1")), "4 0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 cancelled\n#3 deploy v1.1.0 failed\n#4 auto-rollback v1.0.0 succeeded restores #1")
	})
}

func TestRetryMeansNothingWhileACanaryIsHeld(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(30 * time.Second)
		refused(t, h.loop.Retry(t.Context(), "shop", "ann"), "release #2 of it is under way")
		refused(t, h.loop.Resume(t.Context(), "shop", "ann"), "it is not suspended")
		h.expect("shares", shared(h, edge), "#1 95, #2 5")
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		refused(t, h.loop.Promote(t.Context(), "shop", "ann"), "no canary of it is held")
		h.expect("shares while suspended", shared(h, edge), "#1 95, #2 5")
	})
}

func TestAbortEndsADrillAndNoRollback(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(9 * time.Second)
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		refused(t, h.loop.Abort(t.Context(), "shop", "ann"), "brings back what is good")
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("history", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 succeeded
#3 drill v1.0.0 cancelled restores #1
#4 drill v1.1.0 succeeded restores #2`)
	})
}
