package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// A bubble's clock begins on Saturday, 2000-01-01, at 00:00 UTC, which is 01:00 CET.

const sundays = `[{allow: "0 2 * * 0", for: 2h, timezone: Europe/Berlin}]`

// windowed is the shop's web service with windows.
func windowed(tag, windows string) string {
	return "x-davit: {windows: " + windows + "}\n" + web(tag)
}

// shopWith has images of the shop, the first of which runs: no window forbade it.
func shopWith(h *host, tags ...string) {
	for _, tag := range tags {
		h.image("shop:"+tag, healthy())
	}
	h.push("v"+tags[0]+".0", web(tags[0]))
	h.pass(time.Minute)
}

// untilClock lets time go by until a time of day, at most a day ahead.
func (h *host) untilClock(clock string) {
	h.t.Helper()
	at, err := time.Parse("15:04", clock)
	if err != nil {
		h.t.Fatal(err)
	}
	now := time.Now().UTC()
	then := time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
	if then.Before(now) {
		then = then.AddDate(0, 0, 1)
	}
	h.pass(then.Sub(now))
}

// last is the newest release.
func (h *host) last() reconcile.Release {
	h.t.Helper()
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	if len(h.record.releases) == 0 {
		h.t.Fatal("no release")
	}
	return h.record.releases[0]
}

// heard are the messages of the events of a kind.
func (h *host) heard(kind reconcile.EventKind) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, e := range h.events {
		if e.Kind == kind {
			out = append(out, fmt.Sprintf("%s: %s", e.Severity, e.Message))
		}
	}
	return strings.Join(out, "\n")
}

func (h *host) plan() string {
	h.t.Helper()
	plans, err := h.loop.Plan(h.t.Context(), reconcile.PlanRequest{Stack: "shop"})
	if err != nil {
		h.t.Fatal(err)
	}
	return plans[0].String()
}

func TestContentThatIsPushedOutsideItsWindowWaitsAndTheNewestGoesIn(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1", "1.2")
		h.push("v1.1.0", windowed("1.1", sundays))
		h.pass(time.Minute)
		h.expect("status", h.status().WaitingFor, "window opens Sun 02:00 CET, in 24h58m")
		h.push("v1.2.0", windowed("1.2", sundays))
		h.pass(20 * time.Hour)
		s := h.status()
		h.expect("sync", string(s.Sync), "waiting")
		h.expect("health", string(s.Health), "healthy")
		h.expect("status", s.WaitingFor, "window opens Sun 02:00 CET, in 4h58m")
		if want := time.Date(2000, 1, 2, 1, 0, 0, 0, time.UTC); s.Window == nil || s.Window.Opens == nil || !s.Window.Opens.Equal(want) {
			t.Errorf("window %+v", s.Window)
		}
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("what was said", h.heard(reconcile.EventWaiting), "info: window opens Sun 02:00 CET, in 24h59m")
		h.untilClock("00:59")
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.pass(2 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.2")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.2.0 succeeded")
		h.expect("sync", string(h.status().Sync), "synced")
		if n := h.emitted(reconcile.EventWaitingTooLong); n != 0 || h.status().Window != nil {
			t.Errorf("%d alarms, window %+v", n, h.status().Window)
		}
	})
}

func TestThePlanShowsWhatWaitsForItsWindow(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1")
		h.push("v1.1.0", windowed("1.1", sundays))
		h.pass(time.Minute)
		h.expect("plan", h.plan(), waitingPlan)
		h.engine.RemoveByHand(h.observe().Containers[0].ID)
		p := h.plan()
		if !strings.Contains(p, "shop:1.0") && !strings.Contains(p, "web/1") || !strings.Contains(p, "note: waiting: window opens") {
			t.Errorf("the plan of a correction:\n%s", p)
		}
	})
}

const waitingPlan = `
shop  v1.0.0 -> v1.1.0  main@sha1:0000000
  1      create  web/2  image tag 1.0 -> 1.1; start-first: stateless
  2  <-1 start   web/2  takes over from web/1
  3  <-2 gate    web/2  healthcheck within 2m
  4  <-3 join    web/2  ready: takes the name web
  5  <-4 policy  web/2  restart unless-stopped as declared
  6  <-5 delay   web    1s for callers who asked for web before
  7  <-6 policy  web/1  restart no, before a stop that is meant to last
  8  <-7 stop    web/1  replaced; standby for 30m
  9  <-4 monitor web/2  watched for 10s
  waits: window opens Sun 02:00 CET, in 24h58m`

func TestARevertGoesThroughAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1")
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		h.push("", windowed("1.0", sundays))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("history", h.history(), `
#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 succeeded
#3 rollback v1.0.0 succeeded restores #1`)
	})
}

func TestAFailureInTheWindowIsTakenBackAfterIt(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0")
		h.image("shop:bad", enginetest.Behaviour{Healthcheck: true, Sick: true, UnhealthyAfter: 90 * time.Second})
		h.push("v1.1.0", windowed("bad", `[{allow: "10 0 * * *", for: 1m, timezone: UTC}]`))
		h.untilClock("00:15")
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "held")
		if !strings.Contains(h.history(), "#3 auto-rollback v1.0.0 succeeded") && !strings.Contains(h.history(), "#2 deploy v1.1.0 failed") {
			t.Error(h.history())
		}
	})
}

func TestDriftIsCorrectedOutsideTheWindow(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1")
		h.push("v1.1.0", windowed("1.1", sundays))
		h.pass(time.Minute)
		h.engine.RemoveByHand(h.observe().Containers[0].ID)
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "waiting")
		h.expect("what was said", h.heard(reconcile.EventWaiting), "info: window opens Sun 02:00 CET, in 24h59m")
	})
}

func TestWhatIsUnderWayWhenItsWindowClosesGoesOn(t *testing.T) {
	const narrow = `[{allow: "10 0 * * *", for: 1m, timezone: UTC}]`
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.2")
		h.image("shop:slow", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 90 * time.Second})
		h.push("v1.1.0", windowed("slow", narrow))
		h.untilClock("00:11")
		h.pass(10 * time.Second)
		h.expect("sync", string(h.status().Sync), "progressing")
		h.push("v1.2.0", windowed("1.2", narrow)) // cannot take its place today
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		h.expect("running", h.running(), "web/2 shop:slow")
		h.expect("sync", string(h.status().Sync), "waiting")
		h.pass(24 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 deploy v1.2.0 succeeded")
	})
}

func TestWhatACrashCutOffGoesOnThoughItsWindowHasClosed(t *testing.T) {
	const narrow = `[{allow: "10 0 * * *", for: 1m, timezone: UTC}]`
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0")
		h.image("shop:slow", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 90 * time.Second})
		h.push("v1.1.0", windowed("slow", narrow))
		h.untilClock("00:10")
		h.pass(30 * time.Second)
		h.stop()
		h.pass(2 * time.Hour)
		h.boot()
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 interrupted\n#3 deploy v1.1.0 succeeded")
		h.expect("running", h.running(), "web/2 shop:slow")
	})
}

func TestAWindowThatClosedBeforeAnythingCouldBeginIsToldOf(t *testing.T) {
	const narrow = `[{allow: "10 0 * * *", for: 5m, timezone: UTC}]`
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0")
		h.push("v1.1.0", windowed("missing", narrow))
		h.untilClock("00:30")
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "waiting")
		if said := h.heard(reconcile.EventWaiting); !strings.Contains(said, "warning: its window has closed, and it could not begin: ") {
			t.Errorf("said:\n%s", said)
		}
		h.image("shop:missing", healthy())
		h.pass(12 * time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.untilClock("00:14")
		h.expect("running", h.running(), "web/2 shop:missing")
		if n := h.emitted(reconcile.EventWaitingTooLong); n != 0 {
			t.Errorf("%d alarms", n)
		}
	})
}

func TestAnImageThatIsMissingInALongWindowStillAlarms(t *testing.T) {
	const long = `[{allow: "0 12 * * *", for: 4h, timezone: UTC}]`
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0")
		h.push("v1.1.0", windowed("missing", long))
		h.untilClock("12:20")
		if n := h.emitted(reconcile.EventWaitingTooLong); n != 0 {
			t.Errorf("%d alarms after 20 minutes: the wait for the window counts", n)
		}
		h.untilClock("12:50")
		if n := h.emitted(reconcile.EventWaitingTooLong); n != 1 {
			t.Errorf("%d alarms after 50 minutes", n)
		}
	})
}

func TestAnOperatorsWordGoesPastTheWindowAndIsOnRecord(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1", "1.2")
		h.push("v1.1.0", windowed("1.1", sundays))
		h.pass(time.Minute)
		h.loop.Wake("shop", reconcile.TriggerCLI) // a plain apply
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if err := h.loop.PassWindows(t.Context(), "shop", "ada"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("who and why", fmt.Sprint(h.last().Trigger, " ", h.last().Actor), "override ada")
		// It counts once.
		h.push("v1.2.0", windowed("1.2", sundays))
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "waiting")
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

func TestAnOperatorsWordWhereNothingWaitsIsForgotten(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1")
		if err := h.loop.PassWindows(t.Context(), "", "ada"); err != nil {
			t.Fatal(err)
		}
		h.push("v1.1.0", windowed("1.1", sundays))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
	})
}

func TestRetryDoesNotWaitForAWindow(t *testing.T) {
	const narrow = `[{allow: "10 0 * * *", for: 1m, timezone: UTC}]`
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0")
		h.image("shop:1.1", sick())
		h.push("v1.1.0", windowed("1.1", narrow))
		h.untilClock("00:30")
		h.expect("sync", string(h.status().Sync), "held")
		h.image("shop:1.1", healthy())
		if err := h.loop.Retry(t.Context(), "shop", "ada"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		if r := h.last(); r.Trigger != reconcile.TriggerOverride || r.Actor != "ada" || r.Version != "v1.1.0" {
			t.Errorf("trigger %s, actor %s, version %s\n%s", r.Trigger, r.Actor, r.Version, h.history())
		}
	})
}

func TestWindowsOfTheHostCountForEveryStack(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1")
		h.stop()
		h.adjust = func(o *reconcile.Options) {
			o.Windows = compose.Windows{{Cron: "0 3 * * *", For: time.Hour, Zone: "UTC"}}
		}
		h.boot()
		h.push("v1.1.0", windowed("1.1", `[{allow: "30 3 * * *", for: 2h, timezone: UTC}]`))
		h.pass(time.Minute)
		h.expect("status", h.status().WaitingFor, "window opens Sat 03:30 UTC, in 3h28m")
		h.untilClock("03:29")
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.untilClock("03:32")
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

func TestTheFirstReleaseOfAStackWaitsToo(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", windowed("1.0", sundays))
		h.pass(time.Minute)
		h.expect("status", h.status().WaitingFor, "window opens Sun 02:00 CET, in 24h59m")
		h.expect("health", string(h.status().Health), "unknown")
		h.untilClock("01:01")
		h.pass(24 * time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0")
	})
}

func TestAChangeOfWindowsAloneWaitsForNothingAndRestartsNothing(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0")
		before := h.observe().Containers[0]
		h.push("", windowed("1.0", sundays))
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "synced")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		if after := h.observe().Containers; len(after) != 1 || after[0].ID != before.ID || !after[0].Started.Equal(before.Started) {
			t.Errorf("containers %+v", after)
		}
	})
}

func TestAWindowThatIsTakenAwayLetsContentIn(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1")
		h.push("v1.1.0", windowed("1.1", sundays))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
	})
}

func TestAnImageThatCameBehindItsTagWaitsForTheWindow(t *testing.T) {
	const refreshed = "x-davit: {windows: [{allow: \"0 3 * * *\", for: 1h, timezone: UTC}]}\nservices:\n  web: {image: \"shop:latest\", pull_policy: every_1h}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Publish("shop:latest", healthy())
		h.push("v1.0.0", "services:\n  web: {image: \"shop:latest\", pull_policy: every_1h}\n")
		h.pass(time.Minute)
		h.push("", refreshed)
		h.pass(time.Minute)
		h.engine.Publish("shop:latest", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second})
		h.pass(90 * time.Minute)
		h.expect("sync", string(h.status().Sync), "synced")
		if w := h.status().WaitingFor; !strings.HasPrefix(w, "image changed behind tag: shop:latest is ") || !strings.HasSuffix(w, "; window opens Sat 03:00 UTC, in 1h28m") {
			t.Errorf("waits for %q\n%s", w, h.story())
		}
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		h.untilClock("03:05")
		if h.last().Trigger != reconcile.TriggerImage || h.last().Outcome != reconcile.Succeeded {
			t.Errorf("%s", h.history())
		}
	})
}

func TestTheClockOfTheHostMayJump(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		shopWith(h, "1.0", "1.1", "1.2")
		jump := time.Duration(0)
		h.stop()
		h.adjust = func(o *reconcile.Options) {
			o.Now = func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return time.Now().Add(jump) }
		}
		h.boot()
		h.push("v1.1.0", windowed("1.1", sundays))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.mu.Lock()
		jump = 25 * time.Hour // it was wrong, and is right now
		h.mu.Unlock()
		h.pass(2 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.mu.Lock()
		jump = 0
		h.mu.Unlock()
		h.push("v1.2.0", windowed("1.2", sundays))
		h.pass(2 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("status", h.status().WaitingFor, "window opens Sun 02:00 CET, in 24h54m")
	})
}

// An operator's pause is no end: what was begun in its window goes on after it.
func TestWhatIsResumedGoesOnThoughItsWindowHasShutMeanwhile(t *testing.T) {
	for name, forHowLong := range map[string]time.Duration{"by an operator": 0, "by itself": 2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				const nightly = `x-davit: {windows: [{allow: "0 1 * * *", for: 1h, timezone: UTC}]}` + "\n"
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 10 * time.Second})
				h.push("v1.0.0", replicated("1.0", 4, "", ""))
				h.pass(2 * time.Minute)
				h.push("v1.1.0", nightly+replicated("1.1", 4, "", ""))
				h.untilClock("01:00")
				h.pass(28 * time.Second)
				if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann", For: forHowLong}); err != nil {
					t.Fatal(err)
				}
				h.pass(time.Second)
				if h.count("shop:1.0") == 0 || h.count("shop:1.1") == 0 {
					t.Fatalf("not half-way: %s", h.running())
				}
				h.pass(2 * time.Hour)
				if forHowLong == 0 {
					if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
						t.Fatal(err)
					}
				}
				h.pass(3 * time.Minute)
				h.expect("replicas", fmt.Sprint(h.count("shop:1.0"), " ", h.count("shop:1.1")), "0 4")
			})
		})
	}
}
