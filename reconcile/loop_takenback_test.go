package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

// takenBack is a host on which 1.1 was good after 1.0, and 1.2 was pushed and reverted
// before it had changed anything.
func takenBack(t *testing.T, f func(t *testing.T, h *host)) {
	simulate(t, func(t *testing.T, h *host) {
		for _, tag := range []string{"1.0", "1.1", "1.2"} {
			h.image("shop:"+tag, withHooks(nil))
		}
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		h.push("v1.2.0", hooked("1.2", migrates))
		h.pass(5 * time.Second)
		h.push("", web("1.1"))
		h.pass(time.Hour)
		h.expect("sync", string(h.status().Sync), "synced")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 deploy v1.2.0 superseded")
		f(t, h)
	})
}

func TestARollbackAfterSomethingWasTakenBackGoesToWhatWasGoodBefore(t *testing.T) {
	takenBack(t, func(t *testing.T, h *host) {
		to, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"})
		if err != nil || to.Seq != 1 {
			t.Fatalf("to #%d, %v", to.Seq, err)
		}
		h.pass(2 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
	})
}

func TestADrillAfterSomethingWasTakenBackVisitsWhatWasGoodBefore(t *testing.T) {
	takenBack(t, func(t *testing.T, h *host) {
		to, err := h.loop.Drill(t.Context(), reconcile.DrillRequest{Stack: "shop", Actor: "ann"})
		if err != nil || to.Seq != 1 {
			t.Fatalf("to #%d, %v", to.Seq, err)
		}
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

func TestAnAbortOfWhatWasTakenBackIsRefusedAndHoldsNothing(t *testing.T) {
	takenBack(t, func(t *testing.T, h *host) {
		if err := h.loop.Abort(t.Context(), "shop", "ann"); err == nil || !strings.Contains(err.Error(), "no release of it is under way") {
			t.Errorf("abort: %v", err)
		}
		h.push("v1.2.0", hooked("1.2", migrates)) // now it is meant
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.2")
	})
}

// What is under way, though it has changed nothing yet, is what a rollback and an abort mean.
func TestARollbackAndAnAbortOfWhatIsSuspendedMidWayMeanThat(t *testing.T) {
	for _, after := range []time.Duration{5 * time.Second, 22 * time.Second} {
		for name, verb := range map[string]func(h *host) error{
			"abort": func(h *host) error { return h.loop.Abort(h.t.Context(), "shop", "ann") },
			"rollback": func(h *host) error {
				_, err := h.loop.Rollback(h.t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"})
				return err
			},
		} {
			t.Run(name+" after "+after.String(), func(t *testing.T) {
				simulate(t, func(t *testing.T, h *host) {
					for _, tag := range []string{"1.0", "1.1", "1.2"} {
						h.image("shop:"+tag, withHooks(nil))
					}
					h.push("v1.0.0", web("1.0"))
					h.pass(time.Minute)
					h.push("v1.1.0", web("1.1"))
					h.pass(time.Minute)
					h.push("v1.2.0", hooked("1.2", migrates))
					h.pass(after)
					if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
						t.Fatal(err)
					}
					h.pass(time.Minute)
					if err := verb(h); err != nil {
						t.Fatal(err)
					}
					if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
						t.Fatal(err)
					}
					h.pass(10 * time.Minute)
					h.expect("running", h.running(), "web/2 shop:1.1")
				})
			})
		}
	}
}
