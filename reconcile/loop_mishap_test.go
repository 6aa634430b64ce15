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

// The old container was stopped for the new one, which cannot be started for a reason
// that is not its own: the old one serves until it can.
func TestWhatWasStoppedForAStartThatIsNotPossibleServesMeanwhile(t *testing.T) {
	const stack = "services:\n  db: {image: \"db:%d\", restart: always, volumes: [\"data:/data\"]}\nvolumes: {data: }\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.image("db:2", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, 1))
		h.pass(time.Minute)
		h.refuse(fmt.Errorf("start: %w", reconcile.ErrDiskFull), func(op enginetest.Op) bool {
			return op.Kind == enginetest.OpStart && op.Target == "shop-db-2"
		})
		h.push("v1.1.0", fmt.Sprintf(stack, 2))
		down := 0
		for range 600 {
			h.pass(10 * time.Second)
			if !strings.Contains(h.running(), "db:1") {
				down++
			}
		}
		if down > 30 {
			t.Errorf("no database at %d of 600 looks\n%s", down, h.history())
		}
		if n := strings.Count(h.history(), "\n"); n > 80 {
			t.Errorf("%d releases in 100 minutes\n%s", n, h.history())
		}
		h.engine.Interrupt(nil)
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/2 db:2")
		h.wrote("shop_data")
	})
}

func TestACorrectionThatIsNotPossibleYetIsOneLineOfTheHistory(t *testing.T) {
	for name, test := range map[string]struct {
		begin func(h *host)
		kind  enginetest.OpKind
		want  string
		order bool
	}{
		"a drift whose image cannot be pulled": {func(h *host) {
			c := h.byService("web")
			h.engine.DeleteImage(c.ImageID)
			h.engine.RemoveByHand(c.ID)
		}, enginetest.OpPull, "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded", false},
		"a restart whose image cannot be pulled": {func(h *host) {
			h.engine.DeleteImage(h.byService("web").ImageID)
			if err := h.loop.Restart(h.t.Context(), reconcile.ServiceRequest{Stack: "shop", Actor: "ann"}); err != nil {
				h.t.Fatal(err)
			}
		}, enginetest.OpPull, "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded", true},
		"a drift whose container cannot be started": {func(h *host) {
			h.engine.RemoveByHand(h.byService("web").ID)
		}, enginetest.OpStart, "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded", false},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.engine.Publish("shop:1.0", healthy())
				h.push("v1.0.0", web("1.0"))
				h.pass(time.Minute)
				h.refuse(errors.New("it does not work today"), func(op enginetest.Op) bool { return op.Kind == test.kind })
				test.begin(h)
				h.pass(time.Hour)
				if n := strings.Count(h.history(), "\n"); n != 1 {
					t.Errorf("history while it does not work:\n%s\n%s", h.history(), h.story())
				}
				if got := h.record.newest().Failure; !strings.Contains(got, "it does not work today") {
					t.Errorf("the reason is %q", got)
				}
				if !test.order { // which does not outlive the agent
					h.stop()
					h.boot()
					h.pass(time.Hour)
				}
				if n := strings.Count(h.history(), "\n"); n != 1 {
					t.Errorf("history after the agent started anew:\n%s", h.history())
				}
				h.engine.Interrupt(nil)
				h.pass(time.Hour)
				h.expect("history", h.history(), test.want)
				if h.running() == "" {
					t.Error("nothing runs")
				}
			})
		})
	}
}

func TestADeployThatOnlyWaitsForItsImageIsOneLineOfTheHistory(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.engine.Publish("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.refuse(errors.New("toomanyrequests"), func(op enginetest.Op) bool { return op.Kind == enginetest.OpPull })
		h.push("v1.1.0", web("1.1"))
		h.pass(3 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 interrupted")
		if n := h.emitted(reconcile.EventReleaseEnded); n != 1 {
			t.Errorf("it was told %d times", n)
		}
		h.engine.Interrupt(nil)
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("status", string(h.status().Sync), "synced")
	})
}

func TestARemovalThatIsNotPossibleYetIsOneLineOfTheHistory(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.refuse(errors.New("it does not work today"), func(op enginetest.Op) bool { return op.Kind == enginetest.OpRemove })
		h.push("", "")
		h.loop.Declare(reconcile.Declaration{Revision: h.revision, Removed: []string{"shop"}})
		h.pass(3 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 remove  interrupted")
		h.engine.Interrupt(nil)
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 remove  succeeded")
		h.expect("containers", h.containers(), "")
	})
}

// A service that only the failed release had goes with it, also where what is no
// longer declared is to run on.
func TestWhatAFailedReleaseBroughtGoesThoughNothingIsPruned(t *testing.T) {
	const stack = "services:\n  web: {image: \"shop:%s\", restart: always}\n%sx-davit: {prune: false}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.image("db:1", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, "1.0", ""))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(stack, "bad", "  db: {image: \"db:1\", restart: always}\n"))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
	})
}

func TestWhatRunsThoughItIsDeclaredNoMoreSurvivesAReleaseThatFailsWithIt(t *testing.T) {
	const stack = "services:\n  web: {image: \"shop:%s\", restart: always}\n%sx-davit: {prune: false}\n"
	const db = "  db: {image: \"db:1\", restart: always}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.image("db:1", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, "1.0", db))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(stack, "1.0", ""))
		h.pass(time.Minute)
		before := h.byService("db").Started
		h.push("v1.2.0", fmt.Sprintf(stack, "bad", db))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/1 shop:1.0")
		if !h.byService("db").Started.Equal(before) {
			t.Errorf("the database was started again:\n%s", h.story())
		}
	})
}

func TestAHoldUpThatFailsItselfIsNotTriedAllTheTime(t *testing.T) {
	const stack = "services:\n  db: {image: \"db:%d\", restart: always, volumes: [\"data:/data\"]}\nvolumes: {data: }\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.image("db:2", healthy())
		h.push("v1.0.0", fmt.Sprintf(stack, 1))
		h.pass(time.Minute)
		asked := 0
		h.refuse(fmt.Errorf("start: %w", reconcile.ErrDiskFull), func(op enginetest.Op) bool {
			if op.Kind == enginetest.OpStart {
				asked++
			}
			return op.Kind == enginetest.OpStart
		})
		h.push("v1.1.0", fmt.Sprintf(stack, 2))
		h.pass(time.Hour)
		if asked > 80 {
			t.Errorf("asked %d times in an hour:\n%s", asked, h.history())
		}
		h.engine.Interrupt(nil)
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/2 db:2")
	})
}

// newest is the last release.
func (r *record) newest() reconcile.Release {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.releases[0]
}

// What a person took down of a stack that Git declares no more does not come back
// because Git cannot be reached.
func TestAnOrphanThatWasTakenDownByHandStaysDownWithoutGit(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		kept := &memory{}
		h.stop()
		h.adjust = func(o *reconcile.Options) { o.Memory = kept }
		h.boot()
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("", "")
		h.pass(time.Minute)
		for _, c := range h.observe().Containers {
			h.engine.RemoveByHand(c.ID)
		}
		h.pass(time.Minute)
		h.stop()
		h.revision = reconcile.Revision{}
		h.boot()
		h.pass(time.Hour)
		h.expect("running without Git", h.running(), "")
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Hour)
		h.expect("running again", h.running(), "web/1 shop:1.0")
	})
}

// An agent goes on with what is recorded before its first poll has ended; a poll that
// only repeats what was known ends nothing.
func TestAFirstRevisionThatSaysWhatWasKnownEndsNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 30 * time.Second})
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.stop()
		h.engine.RemoveByHand(h.byService("web").ID)
		known := h.revision
		h.revision = reconcile.Revision{}
		h.boot()
		h.pass(10 * time.Second)
		h.revision = known
		h.declare()
		h.pass(time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded")
	})
}
