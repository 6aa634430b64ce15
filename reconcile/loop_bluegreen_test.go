package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// blueGreenOf is the shop with two replicas that are replaced as a set.
func blueGreenOf(tag string) string {
	return published(tag) + "    deploy: {replicas: 2}\n    x-davit: {strategy: blue-green}\n"
}

// standingBy is the shop with two replicas that are replaced one after another, and run on.
func standingBy(tag string) string {
	return published(tag) + "    deploy: {replicas: 2}\n    x-davit: {standby: {mode: running}}\n"
}

// withSets is withEdge on a host whose shop has the first content.
func withSets(t *testing.T, first string, f func(t *testing.T, h *host, edge *enginetest.Edge)) {
	t.Helper()
	withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.0.0", first)
		h.pass(time.Minute)
		h.expect("edge", routes(h, edge), "web [80]: web/1, web/2")
		f(t, h, edge)
	})
}

// oneSet complains, at every change of the engine or the edge, of two sets that get
// something new.
func oneSet(h *host, edge *enginetest.Edge) {
	h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
		if sets := handed(h, edge); len(sets) != 1 {
			h.t.Errorf("%s %s: %v get something new", at, op, sets)
		}
		return nil
	})
}

// handed are the images whose replicas of the shop get something new.
func handed(h *host, edge *enginetest.Edge) []string {
	table, err := edge.Look(h.t.Context())
	if err != nil {
		h.t.Error(err)
	}
	r, _ := table.Route("shop", "web")
	var sets []string
	for _, c := range h.observe().Containers {
		hands := slices.ContainsFunc(r.Members, func(m reconcile.Member) bool { return m.Container == c.ID && m.Draining.IsZero() })
		if hands && !slices.Contains(sets, c.ImageRef) {
			sets = append(sets, c.ImageRef)
		}
	}
	return sets
}

// standbys is how many containers the status says stand by, of how many are ready.
func standbys(h *host) string {
	s := h.status().Services[0]
	return fmt.Sprintf("%d/%d ready, %d standing by", s.Ready, s.Desired, s.Standby)
}

// fresh are the containers that were made, started or stopped since the log was cleared.
func fresh(h *host) string {
	var out []string
	for _, op := range h.engine.Log() {
		switch op.Kind {
		case enginetest.OpCreate, enginetest.OpStart, enginetest.OpStop, enginetest.OpRemove:
			out = append(out, op.String())
		}
	}
	return strings.Join(out, ", ")
}

func TestABlueGreenReleaseSwitchesOnceAndItsOldSetRunsOn(t *testing.T) {
	withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		oneSet(h, edge)
		h.push("v1.1.0", blueGreenOf("1.1"))
		h.pass(time.Minute)
		h.expect("edge", routes(h, edge), "web [80]: web/3, web/4")
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.0, web/3 shop:1.1, web/4 shop:1.1")
		h.expect("status", standbys(h), "2/2 ready, 2 standing by")
		for _, c := range h.observe().Containers {
			if c.ImageRef == "shop:1.0" && (c.Findable() || c.Restart != "no") {
				t.Errorf("%s can be found, or comes back by itself: %v, restart %s", c.Name, c.Endpoints, c.Restart)
			}
		}
		h.pass(28 * time.Minute)
		h.expect("status", standbys(h), "2/2 ready, 2 standing by")
		h.pass(3 * time.Minute)
		h.expect("running", h.running(), "web/3 shop:1.1, web/4 shop:1.1")
		h.expect("status", standbys(h), "2/2 ready, 0 standing by")
		if n := len(h.observe().Containers); n != 2 {
			t.Errorf("%d containers are left, want the two in service", n)
		}
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestARevertToARunningStandbyMakesAndStartsNothing(t *testing.T) {
	patient := func(tag string) string {
		return strings.Replace(blueGreenOf(tag), "blue-green}", "blue-green, stable_for: 30s}", 1)
	}
	probed := func(tag string) string {
		return strings.Replace(blueGreenOf(tag), "blue-green}", "blue-green, probes: {readiness: {tcp: 8080, success: 3}}}", 1)
	}
	for name, content := range map[string]func(string) string{
		"blue-green": blueGreenOf, "rolling": standingBy, "ready for long": patient, "ready three times in a row": probed,
	} {
		t.Run(name, func(t *testing.T) {
			withSets(t, content("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
				h.push("v1.1.0", content("1.1"))
				h.pass(time.Minute)
				h.expect("status", standbys(h), "2/2 ready, 2 standing by")
				h.engine.ClearLog()
				oneSet(h, edge)
				begun := edge.Applied()
				h.push("", content("1.0"))
				h.pass(800 * time.Millisecond)
				if got := routes(h, edge); !strings.HasPrefix(got, "web [80]: web/1, web/2, web/3 draining") {
					t.Errorf("0.8 s after the revert the edge has %s, by %d tables", got, edge.Applied()-begun)
				}
				h.pass(time.Minute)
				h.expect("made, started, stopped", fresh(h), "")
				h.expect("status", standbys(h), "2/2 ready, 2 standing by")
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 rollback v1.0.0 succeeded restores #1")
				h.push("", content("1.1"))
				h.pass(time.Minute)
				h.expect("made, started, stopped", fresh(h), "")
				h.pass(time.Hour)
				h.expect("running", h.running(), "web/3 shop:1.1, web/4 shop:1.1")
			})
		})
	}
}

func TestARevertAfterTheStandbyIsGoneMakesASetAgain(t *testing.T) {
	withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", blueGreenOf("1.1"))
		h.pass(time.Hour)
		oneSet(h, edge)
		h.push("", blueGreenOf("1.0"))
		h.pass(time.Hour)
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 rollback v1.0.0 succeeded restores #1")
	})
}

func TestASetThatFailsGoesBeforeItsSwitchUnnoticedAndAfterItBySwitchingBack(t *testing.T) {
	for name, c := range map[string]struct {
		behaviour enginetest.Behaviour
		tables    bool
	}{
		"before": {sick(), false},
		"after":  {enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 7 * time.Second}, true},
	} {
		t.Run(name, func(t *testing.T) {
			withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
				h.image("shop:bad", c.behaviour)
				h.engine.ClearLog()
				oneSet(h, edge)
				applied := edge.Applied()
				h.push("v1.1.0", blueGreenOf("bad"))
				h.pass(5 * time.Minute)
				h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.0")
				h.expect("status", standbys(h), "2/2 ready, 0 standing by")
				h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
				for _, op := range h.engine.Log() {
					old := strings.HasSuffix(op.Target, "-1") || strings.HasSuffix(op.Target, "-2")
					if old && (op.Kind == enginetest.OpStart || op.Kind == enginetest.OpStop) {
						t.Errorf("the old set was not left alone: %s", op)
					}
				}
				if moved := edge.Applied() > applied; moved != c.tables {
					t.Errorf("the edge got %d tables", edge.Applied()-applied)
				}
			})
		})
	}
}

// A set that is judged has no monitor of its own before it has everything: what has become
// of its first replica while the last one was waited for, the switch has to see.
func TestASetIsNotSwitchedToWhenOneOfItIsNotHealthyAnyMore(t *testing.T) {
	judged := func(tag string) string {
		return strings.Replace(blueGreenOf(tag), "blue-green}", "blue-green, analysis: {metrics: [restarts]}}", 1)
	}
	withSets(t, judged("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		var one sync.Mutex
		joins := 0
		h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
			one.Lock()
			defer one.Unlock()
			if op.Kind == enginetest.OpConnect && at == enginetest.After {
				joins++
			}
			for _, c := range h.observe().Containers {
				if c.Name == "shop-web-3" && joins == 2 {
					h.engine.Sicken(c.ID, true)
				}
			}
			if sets := handed(h, edge); !slices.Equal(sets, []string{"shop:1.0"}) {
				t.Errorf("%s %s: %v get something new", at, op, sets)
			}
			return nil
		})
		h.push("v1.1.0", judged("1.1"))
		h.pass(5 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback v1.0.0 succeeded restores #1")
		h.expect("why", h.release(2).Failure, "web/3 became unhealthy before it was handed everything")
	})
}

func TestAServiceWithoutPortsSwitchesByItsNameAlone(t *testing.T) {
	inside := func(tag string) string {
		return web(tag) + "    deploy: {replicas: 2}\n    x-davit: {strategy: blue-green}\n"
	}
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", inside("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", inside("1.1"))
		h.pass(time.Minute)
		h.expect("status", standbys(h), "2/2 ready, 2 standing by")
		h.engine.ClearLog()
		h.push("", inside("1.0"))
		h.pass(time.Minute)
		h.expect("made, started, stopped", fresh(h), "")
		for _, c := range h.observe().Containers {
			if c.Findable() != (c.ImageRef == "shop:1.0") {
				t.Errorf("%s of %s is found: %v", c.Name, c.ImageRef, c.Findable())
			}
		}
	})
}

func TestAnotherServicesReleaseLeavesAStandbyInPeace(t *testing.T) {
	withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.image("db:15", healthy())
		h.push("v1.1.0", blueGreenOf("1.1"))
		h.pass(time.Minute)
		h.push("v1.2.0", blueGreenOf("1.1")+"  db: {image: \"db:15\", restart: always}\n")
		h.pass(time.Minute)
		h.expect("status", standbys2(h, "web"), "2/2 ready, 2 standing by")
		h.push("v1.3.0", blueGreenOf("1.0")+"  db: {image: \"db:15\", restart: always}\n")
		h.engine.ClearLog()
		h.pass(time.Minute)
		h.expect("made, started, stopped", fresh(h), "")
	})
}

// standbys2 is standbys of one service of several.
func standbys2(h *host, name string) string {
	all := h.status().Services
	i := slices.IndexFunc(all, func(s reconcile.ServiceStatus) bool { return s.Name == name })
	return fmt.Sprintf("%d/%d ready, %d standing by", all[i].Ready, all[i].Desired, all[i].Standby)
}

func TestAThirdSetDoesNotStartBesideTwoOthers(t *testing.T) {
	withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.image("shop:1.2", healthy())
		h.push("v1.1.0", blueGreenOf("1.1"))
		h.pass(time.Minute)
		h.engine.Interrupt(func(op enginetest.Op, _ enginetest.Moment) error {
			running := 0
			for _, c := range h.observe().Containers {
				if c.Running() {
					running++
				}
			}
			if running > 4 {
				h.t.Errorf("%d containers run at %s", running, op)
			}
			return nil
		})
		h.push("v1.2.0", blueGreenOf("1.2"))
		h.pass(time.Minute)
		h.expect("status", standbys(h), "2/2 ready, 2 standing by")
		h.pass(time.Hour)
		h.expect("running", h.running(), "web/5 shop:1.2, web/6 shop:1.2")
	})
}

func TestAReleaseThatIsSupersededAfterItsSwitchKeepsTheWayBack(t *testing.T) {
	withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", blueGreenOf("1.1"))
		h.pass(8 * time.Second) // it has switched, and is watched
		h.push("v1.2.0", blueGreenOf("bad"))
		h.image("shop:bad", sick())
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.0")
		h.expect("edge", strings.Split(routes(h, edge), ", web/3")[0], "web [80]: web/1, web/2")
	})
}

func TestAStandbyThatDiesOrFallsIllIsAStoppedOne(t *testing.T) {
	withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", blueGreenOf("1.1"))
		h.pass(time.Minute)
		for _, c := range h.observe().Containers {
			if c.Name == "shop-web-1" {
				h.engine.StopByHand(c.ID)
			}
		}
		h.pass(time.Minute)
		h.expect("status", standbys(h), "2/2 ready, 1 standing by")
		h.push("", blueGreenOf("1.0"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0, web/2 shop:1.0, web/3 shop:1.1, web/4 shop:1.1")
		h.expect("sync", string(h.status().Sync), "synced")
	})
}

func TestARestartInPlaceKeepsNoStandby(t *testing.T) {
	withSets(t, blueGreenOf("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		oneSet(h, edge)
		if err := h.loop.Restart(t.Context(), reconcile.ServiceRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(5 * time.Minute)
		h.expect("status", standbys(h), "2/2 ready, 0 standing by")
		if n := strings.Count(h.running(), "shop:1.0"); n != 2 {
			t.Errorf("%d containers run: %s", n, h.running())
		}
	})
}

func TestARunningStandbyCountsForNoBudgetAndRunsNoHooksToReturn(t *testing.T) {
	more := "    post_start: [{command: [/app, warm]}]\n"
	guarded := func(tag string) string {
		return strings.Replace(blueGreenOf(tag), "blue-green}", "blue-green, min_available: 1}", 1) + more
	}
	withSets(t, guarded("1.0"), func(t *testing.T, h *host, edge *enginetest.Edge) {
		h.push("v1.1.0", guarded("1.1"))
		h.pass(time.Minute)
		for _, c := range h.observe().Containers {
			if c.ImageRef == "shop:1.1" {
				h.engine.Interrupt(nil)
				h.engine.RemoveByHand(c.ID)
				break
			}
		}
		h.expect("status", standbys(h), "1/2 ready, 2 standing by")
		h.pass(time.Minute)
		h.expect("status", standbys(h), "2/2 ready, 2 standing by")
		h.engine.ClearLog()
		h.push("", guarded("1.0"))
		h.pass(time.Minute)
		h.expect("made, started, stopped", fresh(h), "")
		if log := h.acts(); strings.Contains(log, "warm") || strings.Contains(log, "run ") {
			t.Errorf("a hook of a start was run without one:\n%s", log)
		}
	})
}

// TestASetKilledAtAnyMutationConverges is the story of crashes for sets.
func TestASetKilledAtAnyMutationConverges(t *testing.T) {
	t.Parallel()
	stories := map[string]crashStory{
		"a set":                     {first: blueGreenOf("1.0"), then: []string{blueGreenOf("1.1")}, floor: 2, edged: true, whole: true},
		"a set that fails":          {first: blueGreenOf("1.0"), then: []string{blueGreenOf("bad")}, floor: 2, edged: true, whole: true},
		"a set that fails late":     {first: blueGreenOf("1.0"), then: []string{blueGreenOf("late")}, edged: true, whole: true},
		"a set that is reverted to": {first: blueGreenOf("1.0"), then: []string{blueGreenOf("1.1"), blueGreenOf("1.0")}, floor: 2, edged: true, whole: true},
		"replicas that run on":      {first: standingBy("1.0"), then: []string{standingBy("1.1")}, floor: 2, edged: true},
	}
	killed(t, stories)
}
