package reconcile_test

import (
	"testing"
	"time"

	"davit/reconcile"
)

// Who pushes and asks at once must not be told that all is well: what is new has
// not been looked at.
func TestAStackIsNotSyncedBeforeWhatIsNewWasLookedAt(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		if s := h.status(); s.Sync != reconcile.SyncSynced {
			t.Fatalf("sync = %s before anything is new", s.Sync)
		}
		h.push("v1.1.0", web("1.1"))
		if s := h.status(); s.Sync == reconcile.SyncSynced {
			t.Errorf("synced at %s, which does not run yet", s.Revision)
		}
	})
}
