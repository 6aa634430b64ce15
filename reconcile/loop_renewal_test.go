package reconcile_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestARenewalThatFailsAtAnyStepLeavesNobodyUnplugged makes a network anew, with
// everybody who is in it or refers to who is, and has each mutation fail once, before
// or after it was carried out: as the content's fault, or as the engine's.
func TestARenewalThatFailsAtAnyStepLeavesNobodyUnplugged(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]error{"refused": errors.New("no such luck"), "unanswered": fmt.Errorf("request: %w", reconcile.ErrEngineUnavailable)} {
		for _, side := range []enginetest.Moment{enginetest.Before, enginetest.After} {
			t.Run(fmt.Sprint(name, " ", side), func(t *testing.T) {
				for n := 1; renewedDespite(t, n, side, why) >= n; n++ {
				}
			})
		}
	}
}

// renewedDespite has the nth mutation fail, twice where it is asked for once more, and
// returns how many there were.
func renewedDespite(t *testing.T, n int, side enginetest.Moment, why error) (mutations int) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		w := &whole{host: h}
		w.begin()
		var one sync.Mutex
		failing := enginetest.Op{Kind: -1}
		h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
			one.Lock()
			defer one.Unlock()
			if at == enginetest.Before && op.Kind != enginetest.OpTag && op.Kind != enginetest.OpUntag {
				mutations++
			}
			if mutations == n && at == side && failing.Kind < 0 {
				failing = op
			}
			if failing == op && at == side && mutations <= n+20 {
				return why
			}
			return nil
		})
		w.last.internal = true
		w.push("v1.1.0", w.last.yaml())
		w.pass(6 * time.Minute)
		h.engine.Interrupt(nil)
		w.pass(6 * time.Minute)
		sync := h.status().Sync
		if problem := w.ends(sync); problem != "" || sync != reconcile.SyncSynced && sync != reconcile.SyncHeld {
			t.Errorf("%s mutation %d, %s: %s, %s\n%s\n%s\n%s", side, n, failing, sync, problem, h.containers(), h.history(), h.story())
		}
		for _, c := range h.observe().Containers {
			for _, end := range c.Endpoints {
				if c.Running() && end.NetworkID != h.observe().Networks[0].ID {
					t.Errorf("%s mutation %d: %s is in a network that is gone", side, n, c.Name)
				}
			}
		}
	})
	return mutations
}
