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

// drilled is a host with two releases of the shop, the second of which runs.
func drilled(t *testing.T, f func(t *testing.T, h *host)) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		h.adjust = func(*reconcile.Options) {}
		h.remembers()
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(2 * time.Minute)
		f(t, h)
	})
}

func (h *host) drill(r reconcile.DrillRequest) error {
	h.t.Helper()
	r.Stack, r.Actor = "shop", "ann"
	_, err := h.loop.Drill(h.t.Context(), r)
	h.settle()
	return err
}

const drillHistory = `#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 succeeded
#3 drill v1.0.0 succeeded restores #1
#4 drill v1.1.0 succeeded restores #2`

func TestADrillGoesToTheReleaseBeforeAndComesBack(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		served := map[string]bool{}
		h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
			if at == enginetest.After && op.Kind == enginetest.OpStop {
				served[h.running()] = true
			}
			return nil
		})
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), drillHistory)
		h.expect("running", h.running(), "web/2 shop:1.1")
		if len(served) != 2 || !served["web/1 shop:1.0"] {
			t.Errorf("after the stops there ran %v", served)
		}
		st := h.status()
		h.expect("status", fmt.Sprintf("%s %s %s", st.Version, st.Sync, st.Health), "v1.1.0 synced healthy")
		// The standby is healthy two seconds after it is started, and watched for ten more.
		there := h.record.releases[1]
		if there.Recovery < 2*time.Second || there.Recovery > 5*time.Second || there.Finished.Sub(there.Started) < 10*time.Second {
			t.Errorf("it took %v to be back, and %v in all", there.Recovery, there.Finished.Sub(there.Started))
		}
		r := st.Recovery
		if r.Drills != 1 || r.MeanSeconds == nil || *r.MeanSeconds != there.Recovery.Seconds() || r.LastDrill == nil || r.LastDrill.Seq != 3 || st.Drill != nil {
			t.Errorf("recovery %+v, drill %+v", r, st.Drill)
		}
		if told := h.heard(reconcile.EventDrillEnded); !strings.HasPrefix(told, "info: drill: v1.0.0 served ") {
			t.Errorf("told %q", told)
		}
		if there.Trigger != reconcile.TriggerCLI || there.Actor != "ann" || h.record.releases[0].Actor != "ann" {
			t.Errorf("#3 by %s of %s, #4 of %s", there.Trigger, there.Actor, h.record.releases[0].Actor)
		}
	})
}

func TestADrillMovesNothingThatIsDecidedLater(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		h.image("shop:bad", sick())
		h.push("v1.2.0", web("bad"))
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), drillHistory+`
#5 deploy v1.2.0 failed
#6 auto-rollback v1.1.0 succeeded restores #2`)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.push("", web("1.1"))
		h.pass(time.Minute)
		h.expect("sync", string(h.status().Sync), "synced")
		if _, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		if r := h.status().Recovery; r.Drills != 1 || r.AutoRollbacks != 1 || r.Rollbacks != 1 {
			t.Errorf("recovery %+v", r)
		}
		h.stop()
		h.boot()
		h.pass(time.Minute)
		if r := h.status().Recovery; r.Drills != 1 || r.AutoRollbacks != 1 || r.Rollbacks != 1 {
			t.Errorf("recovery as the next agent has it %+v", r)
		}
	})
}

func TestADrillThatFailsComesBackAtOnceAndSaysSo(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		h.engine.Turn("shop:1.0", sick())
		h.pass(time.Hour) // the standby, which was made before that, is gone
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("history", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 succeeded
#3 drill v1.0.0 failed restores #1
#4 drill v1.1.0 succeeded restores #2`)
		st := h.status()
		h.expect("sync", string(st.Sync), "synced")
		if st.Recovery.MeanSeconds != nil || st.Recovery.LastDrill == nil || st.Recovery.LastDrill.Outcome != "failed" || h.record.controls.Hold != nil {
			t.Errorf("recovery %+v, hold %+v", st.Recovery, h.record.controls.Hold)
		}
		if told := h.heard(reconcile.EventDrillEnded); !strings.HasPrefix(told, "error: the drill failed, and v1.1.0 serves: release #3") {
			t.Errorf("told %q\n%s", told, h.story())
		}
	})
}

func TestAnAgentThatDiesInADrillEndsWhereItBegan(t *testing.T) {
	for after := 100 * time.Millisecond; after < 30*time.Second; after += 700 * time.Millisecond {
		drilled(t, func(t *testing.T, h *host) {
			if err := h.drill(reconcile.DrillRequest{}); err != nil {
				t.Fatal(err)
			}
			h.pass(after)
			h.record.die(true)
			h.stop()
			h.record.die(false)
			h.pass(time.Second)
			h.boot()
			h.pass(5 * time.Minute)
			h.expect(fmt.Sprintf("running, when it dies %v after the order", after), h.running(), "web/2 shop:1.1")
			if st := h.status(); st.Sync != reconcile.SyncSynced || st.Drill != nil || len(h.record.releases) > 5 {
				t.Errorf("%v after the order: %s, drill %+v\n%s", after, st.Sync, st.Drill, h.history())
			}
		})
	}
}

func TestAPushInTheMiddleOfADrillTakesItsPlace(t *testing.T) {
	for after := 200 * time.Millisecond; after < 30*time.Second; after += 1900 * time.Millisecond {
		drilled(t, func(t *testing.T, h *host) {
			h.image("shop:1.2", healthy())
			if err := h.drill(reconcile.DrillRequest{}); err != nil {
				t.Fatal(err)
			}
			h.pass(after)
			h.push("v1.2.0", web("1.2"))
			h.pass(3 * time.Minute)
			if !strings.HasSuffix(h.running(), "shop:1.2") || strings.Contains(h.running(), ",") {
				t.Errorf("pushed %v after the order: running %s\n%s", after, h.running(), h.history())
			}
		})
	}
}

func TestADrillComesBackThoughWhatIsPushedMeanwhileCannotBegin(t *testing.T) {
	for name, yaml := range map[string]string{
		"its image is missing": web("9.9"), "its window is shut": windowed("1.2", sundays), "it does not say anything of the stack": "",
	} {
		t.Run(name, func(t *testing.T) {
			drilled(t, func(t *testing.T, h *host) {
				if err := h.drill(reconcile.DrillRequest{}); err != nil {
					t.Fatal(err)
				}
				h.pass(9 * time.Second) // it is watched, there
				h.push("v1.2.0", yaml)
				h.pass(3 * time.Minute)
				h.expect("running", h.running(), "web/2 shop:1.1")
			})
		})
	}
}

func TestARevertToWhatADrillVisitsStaysThere(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(9 * time.Second)
		h.push("", web("1.0"))
		h.pass(3 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("history", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.1.0 succeeded
#3 drill v1.0.0 superseded restores #1
#4 rollback v1.0.0 succeeded restores #1`)
	})
}

func TestAnOperatorsWordEndsADrill(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(9 * time.Second)
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		h.expect("suspended", h.running(), "web/1 shop:1.0")
		if err := h.loop.Resume(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("resumed", h.running(), "web/2 shop:1.1")
		h.expect("sync", string(h.status().Sync), "synced")
	})
}

func TestWhatADrillHasBroughtBackInTwoAttemptsIsLookedAfter(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		for _, tag := range []string{"1.0", "1.1"} {
			h.image("shop:"+tag, enginetest.Behaviour{Healthcheck: true, HealthyAfter: 10 * time.Second})
		}
		for i, tag := range []string{"1.0", "1.1"} {
			h.push(fmt.Sprintf("v1.%d.0", i), alive(tag, ", standby: {for: 0s}"))
			h.pass(time.Minute)
		}
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(11800 * time.Millisecond)
		h.engine.RemoveByHand(h.by()["shop-web-2"].ID)
		h.pass(8 * time.Second)
		h.stop() // on its way back, for which another one is made
		h.boot()
		h.pass(2 * time.Minute)
		back := h.only("web")
		h.engine.Silence(back.ID, livePort, true)
		h.pass(time.Minute)
		if now := h.only("web"); now.ID == back.ID || !strings.Contains(h.history(), "drill v1.1.0 interrupted") {
			t.Errorf("%s is not healed\n%s\n%s", back.Name, h.history(), h.story())
		}
	})
}

func TestADrillIsRefusedWhereItWouldBeMoreThanARehearsal(t *testing.T) {
	const db = "services:\n  db: {image: \"shop:%s\", volumes: [data:/data]}\nvolumes: {data: {}}\n"
	two := func(a, b string) func(h *host) {
		return func(h *host) {
			h.push("v1.0.0", a)
			h.pass(time.Minute)
			h.push("v1.1.0", b)
			h.pass(2 * time.Minute)
		}
	}
	shop := two(web("1.0"), web("1.1"))
	migrates := strings.TrimSuffix(web("1.1"), "\n") + "\n    x-davit: {hooks: {pre_deploy: [{run: [/migrate], timeout: 1m, irreversible: true}]}}\n"
	tests := map[string]struct {
		before func(h *host)
		order  reconcile.DrillRequest
		want   string
	}{
		"without a release before it": {func(h *host) { h.push("v1.0.0", web("1.0")); h.pass(time.Minute) }, reconcile.DrillRequest{}, "no such release"},
		"while suspended": {func(h *host) {
			shop(h)
			_ = h.loop.Suspend(h.t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "bob"})
		}, reconcile.DrillRequest{}, "it is suspended: suspended by bob"},
		"while pinned": {func(h *host) {
			shop(h)
			_, _ = h.loop.Rollback(h.t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "bob"})
			h.pass(time.Minute)
		}, reconcile.DrillRequest{}, "it is pinned"},
		"while held":            {func(h *host) { shop(h); h.push("v1.2.0", web("bad")); h.pass(5 * time.Minute) }, reconcile.DrillRequest{}, "it is held"},
		"while a release rolls": {func(h *host) { shop(h); h.push("v1.2.0", web("1.2")); h.pass(time.Second) }, reconcile.DrillRequest{}, "deploy is under way"},
		"while a drill is away": {func(h *host) { shop(h); _ = h.drill(reconcile.DrillRequest{}) }, reconcile.DrillRequest{}, ": drill is under way"},
		"while a drill that was cut off cannot come back": {func(h *host) {
			shop(h)
			_ = h.drill(reconcile.DrillRequest{})
			h.pass(4 * time.Second)
			h.stop()
			h.disk.fill(true)
			h.boot()
			h.settle()
		}, reconcile.DrillRequest{}, "a drill is under way"},
		"of what is stopped": {func(h *host) {
			shop(h)
			_ = h.loop.Stop(h.t.Context(), reconcile.ServiceRequest{Stack: "shop", Actor: "bob"})
			h.pass(time.Second)
		}, reconcile.DrillRequest{}, "stopped by an operator"},
		"of what writes data":              {two(fmt.Sprintf(db, "1.0"), fmt.Sprintf(db, "1.1")), reconcile.DrillRequest{Gaps: true}, "db of release #1 would write volume data at /data"},
		"of what cannot run twice":         {two(fmt.Sprintf(db, "1.0"), fmt.Sprintf(db, "1.1")), reconcile.DrillRequest{DataCompatible: true}, "db would be away for a moment: stop-first"},
		"of what comes back only by a gap": {two(web("1.0"), web("1.1")+"    x-davit: {order: stop-first}\n"), reconcile.DrillRequest{}, "web would be away for a moment: stop-first: as declared"},
		"of what Docker publishes since":   {two(web("1.0"), web("1.1")+"    ports: ['80:8080']\n"), reconcile.DrillRequest{}, "web would be away for a moment: stop-first: publishes host port 80 through Docker"},
		"past a hook":                      {two(web("1.0"), migrates), reconcile.DrillRequest{}, "release #2 v1.1.0 has run an irreversible hook of web since"},
		"of what may end by itself":        {two(strings.Replace(web("1.0"), "unless-stopped", "on-failure", 1), strings.Replace(web("1.1"), "unless-stopped", "on-failure", 1)), reconcile.DrillRequest{}, "web may end by itself"},
		"of what may end by now":           {two(web("1.0"), strings.Replace(web("1.1"), "unless-stopped", `"no"`, 1)), reconcile.DrillRequest{}, "web may end by itself"},
		"outside its window":               {two(web("1.0"), "x-davit: {windows: [{deny: \"0 0 * * *\", for: 23h}]}\n"+web("1.0")+"    environment: {A: b}\n"), reconcile.DrillRequest{}, "window opens"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				for _, tag := range []string{"1.0", "1.1", "1.2"} {
					h.image("shop:"+tag, healthy())
				}
				h.image("shop:bad", sick())
				test.before(h)
				err := h.drill(test.order)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("got %v, want %q\n%s\n%s", err, test.want, h.history(), h.story())
				}
				if !errors.Is(err, reconcile.ErrNotApplicable) && !errors.Is(err, reconcile.ErrNoSuchRelease) {
					t.Errorf("%v says nothing of whose fault it is", err)
				}
				drills := strings.Count(h.history(), "drill")
				h.pass(5 * time.Minute)
				if n := strings.Count(h.history(), "drill"); n != drills && name != "while a drill is away" {
					t.Errorf("it was held all the same:\n%s", h.history())
				}
			})
		})
	}
}

func TestADrillOfDataIsHeldOnceSomebodyAnswersForIt(t *testing.T) {
	const db = "x-davit: {drill: {data_compatible: true, gaps: true}}\nservices:\n  db: {image: \"shop:%s\", volumes: [data:/data]}\nvolumes: {data: {}}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", fmt.Sprintf(db, "1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(db, "1.1"))
		h.pass(time.Minute)
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), drillHistory)
		h.expect("running", h.running(), "db/2 shop:1.1")
	})
}

// scheduled is web with a drill every day at four.
func scheduled(tag string) string {
	return "x-davit: {drill: {schedule: \"0 4 * * *\", timezone: UTC}}\n" + web(tag)
}

func TestADrillIsHeldWhenItIsDueAndOnce(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		h.push("", scheduled("1.1")) // which is no new content
		h.pass(time.Minute)
		h.untilClock("03:59")
		h.expect("before its time", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		h.pass(70 * time.Second)
		h.stop() // in the middle of it
		h.boot()
		h.pass(time.Hour)
		h.expect("running", h.running(), "web/2 shop:1.1")
		if n := strings.Count(h.history(), "drill v1.0.0"); n != 1 {
			t.Errorf("%d drills\n%s\n%s", n, h.history(), h.story())
		}
		h.pass(24 * time.Hour)
		if n := strings.Count(h.history(), "drill v1.0.0"); n != 2 || h.last().Trigger != reconcile.TriggerSchedule || h.last().Actor != "schedule" {
			t.Errorf("%d drills the next day, by %s\n%s", n, h.last().Trigger, h.history())
		}
	})
}

func TestADrillThatWasMissedIsSkippedAndSaidSo(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		h.push("", scheduled("1.1"))
		h.pass(time.Minute)
		h.stop()
		h.pass(6 * time.Hour)
		h.boot()
		h.pass(10 * time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		h.expect("told", h.heard(reconcile.EventDrillSkipped), "warning: the drill that was due is not held: the agent did not run when it was due, Sat 04:00 UTC")
		h.push("v1.2.0", strings.Replace(scheduled("bad"), "0 4", "0 5", 1))
		h.image("shop:bad", sick())
		h.pass(24 * time.Hour)
		if got := h.heard(reconcile.EventDrillSkipped); strings.Count(got, "\n") != 1 || !strings.Contains(got, "it is held") {
			t.Errorf("of a stack that is held: %s", got)
		}
	})
}

func TestADrillComesBackWhateverGoesWrongOnce(t *testing.T) {
	for k := range 24 {
		drilled(t, func(t *testing.T, h *host) {
			h.pass(time.Hour) // there is no standby: everything is made anew
			n := 0
			h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
				if at != enginetest.Before {
					return nil
				}
				if n++; n == k+1 {
					return fmt.Errorf("%s: %w", op.Kind, reconcile.ErrEngineUnavailable)
				}
				return nil
			})
			if err := h.drill(reconcile.DrillRequest{}); err != nil {
				t.Fatal(err)
			}
			h.pass(15 * time.Minute)
			if st := h.status(); !strings.HasSuffix(h.running(), "shop:1.1") || strings.Contains(h.running(), ",") || st.Sync != reconcile.SyncSynced || st.Drill != nil {
				t.Errorf("when call %d fails: running %s, %s, drill %+v\n%s\n%s", k+1, h.running(), st.Sync, st.Drill, h.history(), h.story())
			}
		})
	}
}

func TestADrillAtTheEdgeTakesNoStepsAndStopsNobodyWhoServes(t *testing.T) {
	withCanary(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", canaryOf("1.1"))
		h.pass(10 * time.Minute)
		stopsAfterReturn(h, edge)
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(8 * time.Second)
		h.expect("at the edge", strings.Split(routes(h, edge), ",")[0], "web [80]: web/1")
		h.expect("shares", shared(h, edge), "")
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), drillHistory)
		h.expect("at the edge", routes(h, edge), "web [80]: web/2")
	})
}

func TestADrillThatIsOrderedAndCannotBeginIsCalledOff(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		h.disk.fill(true)
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.disk.fill(false)
		h.pass(time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		if told := h.heard(reconcile.EventDrillSkipped); !strings.HasPrefix(told, "warning: the drill is called off: ") || strings.Contains(told, "\n") {
			t.Errorf("told %q", told)
		}
		if st := h.status(); st.Drill != nil || st.Sync != reconcile.SyncSynced {
			t.Errorf("%s, drill %+v", st.Sync, st.Drill)
		}
	})
}

// Whether it has begun by then is up to the scheduler; it is over in any case.
func TestADrillThatIsSuspendedAtOnceIsNotHeld(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		if _, err := h.loop.Drill(t.Context(), reconcile.DrillRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		if err := h.loop.Suspend(t.Context(), reconcile.SuspendRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		const before = "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded"
		if got := h.history(); got != before && got != before+"\n#3 drill v1.0.0 cancelled restores #1" {
			t.Errorf("history:\n%s", got)
		}
		if st := h.status(); st.Drill != nil {
			t.Errorf("drill %+v", st.Drill)
		}
	})
}

func TestARollbackInTheMiddleOfADrillStaysWhereItSays(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(9 * time.Second)
		if _, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "pinned")
	})
}

func TestAnImageThatIsGoneMakesADrillRefused(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		h.pass(time.Hour)
		h.engine.DeleteImage(h.record.releases[1].Services[0].Image.ID)
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 drill v1.0.0 refused restores #1")
		h.expect("running", h.running(), "web/2 shop:1.1")
		if st := h.status(); st.Sync != reconcile.SyncSynced || st.Drill != nil {
			t.Errorf("%s, drill %+v", st.Sync, st.Drill)
		}
	})
}

func TestADrillGoesPastAWindowOnlyAtAnOperatorsWord(t *testing.T) {
	drilled(t, func(t *testing.T, h *host) {
		h.push("", "x-davit: {windows: [{deny: \"0 0 * * *\", for: 23h}], drill: {schedule: \"0 4 * * *\", timezone: UTC}}\n"+web("1.1"))
		h.untilClock("04:30")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
		if told := h.heard(reconcile.EventDrillSkipped); !strings.Contains(told, "window opens") {
			t.Errorf("told %q", told)
		}
		if err := h.drill(reconcile.DrillRequest{Now: true}); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), drillHistory)
	})
}

func TestWhatADrillBroughtBackIsHealedLikeAnythingElse(t *testing.T) {
	const brief = "    x-davit: {standby: {for: 0s}}\n" // so that the way back makes its containers anew
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", strings.Replace(web("1.0"), "    restart: unless-stopped\n", "", 1)+brief)
		h.pass(time.Minute)
		h.push("v1.1.0", strings.Replace(web("1.1"), "    restart: unless-stopped\n", "", 1)+brief)
		h.pass(time.Minute)
		if err := h.drill(reconcile.DrillRequest{}); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		before := h.running()
		for _, c := range h.observe().Containers {
			if c.Running() {
				h.engine.Kill(c.ID)
			}
		}
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), before)
		if r := h.last(); r.Trigger != reconcile.TriggerHealing {
			t.Errorf("it is up again by %s of %s\n%s", r.Kind, r.Trigger, h.story())
		}
	})
}

func TestADrillThatIsDueWhileAReleaseRollsIsSkippedForThat(t *testing.T) {
	for name, takes := range map[string]time.Duration{"that is soon over": 40 * time.Minute, "for hours": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			drilled(t, func(t *testing.T, h *host) {
				long := healthy()
				long.HooksTake = takes
				h.image("shop:1.2", long)
				const daily = "x-davit: {drill: {schedule: \"0 3 * * *\", timezone: UTC}}\n"
				h.push("", daily+web("1.1"))
				h.untilClock("02:50")
				h.push("v1.2.0", daily+hooked("1.2", "pre_deploy: [{run: [/app, migrate], timeout: 4h}]"))
				h.pass(5 * time.Hour)
				h.expect("told", h.heard(reconcile.EventDrillSkipped), "warning: the drill that was due is not held: drill stack shop: not applicable: deploy is under way")
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 deploy v1.2.0 succeeded")
			})
		})
	}
}
