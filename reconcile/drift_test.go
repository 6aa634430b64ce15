package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// by are the shop's containers by name.
func (h *host) by() map[string]reconcile.Container {
	h.settle()
	out := map[string]reconcile.Container{}
	for _, c := range h.observe().Containers {
		out[c.Name] = c
	}
	return out
}

func TestWhatAnOperatorStopsStaysStopped(t *testing.T) {
	for name, end := range map[string]struct {
		act  func(h *host)
		want string
	}{
		"until it is started by hand": {func(h *host) { h.engine.StartByHand(h.by()["shop-web-1"].ID) }, "web/1 shop:1.0"},
		"until a new release": {func(h *host) {
			h.push("v1.1.0", web("1.1"))
		}, "web/2 shop:1.1"},
		"until it is removed": {func(h *host) { h.engine.RemoveByHand(h.by()["shop-web-1"].ID) }, "web/1 shop:1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", healthy())
				h.push("v1.0.0", web("1.0"))
				h.pass(time.Minute)
				h.engine.StopByHand(h.by()["shop-web-1"].ID)
				h.pass(time.Hour)
				h.expect("running", h.running(), "")
				s := h.status()
				if s.WaitingFor != "stopped by operator: web/1" || s.Sync != reconcile.SyncSynced || s.Services[0].Stopped != 1 {
					t.Errorf("status %s %q %+v", s.Sync, s.WaitingFor, s.Services)
				}
				h.stop()
				h.engine.ForgetStops()
				h.boot()
				h.pass(time.Hour)
				h.expect("running after a restart of the agent", h.running(), "")
				h.expect("events", fmt.Sprint(h.emitted(reconcile.EventStopped)), "1")
				end.act(h)
				h.pass(5 * time.Minute)
				h.expect("running in the end", h.running(), end.want)
				if s := h.status(); strings.Contains(s.WaitingFor, "stopped") {
					t.Errorf("status still says %q", s.WaitingFor)
				}
				for _, c := range h.observe().Containers {
					h.engine.Kill(c.ID)
				}
				h.pass(5 * time.Minute)
				h.expect("running after a crash", h.running(), end.want)
			})
		})
	}
}

func TestDriftIsCorrectedReportedOrLeftAloneAsTheFileSays(t *testing.T) {
	for word, want := range map[string]struct {
		running string
		events  int
	}{
		"correct": {"web/1 shop:1.0", 0},
		"warn":    {"", 1},
		"off":     {"", 0},
	} {
		t.Run(word, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", healthy())
				yaml := "x-davit: {drift: " + word + "}\n"
				h.push("v1.0.0", yaml+web("1.0"))
				h.pass(time.Minute)
				h.engine.RemoveByHand(h.by()["shop-web-1"].ID)
				h.pass(3 * time.Hour)
				h.expect("running", h.running(), want.running)
				h.expect("events", fmt.Sprint(h.emitted(reconcile.EventDrift)), fmt.Sprint(want.events))
				h.push("v1.1.0", yaml+web("1.1"))
				h.pass(5 * time.Minute)
				if got := h.running(); !strings.HasSuffix(got, "shop:1.1") {
					t.Errorf("a new release is not deployed: %q", got)
				}
			})
		})
	}
}

func TestAStandbyThatSomebodyStartsIsStoppedAgain(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		h.engine.StartByHand(h.by()["shop-web-1"].ID)
		h.pass(10 * time.Second)
		h.expect("running", h.running(), "web/2 shop:1.1")
		h.expect("events", fmt.Sprint(h.emitted(reconcile.EventForeignChange)), "1")
	})
}

func TestWhatSomebodyElsesComposeMakesInAStackIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:0.9", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		mine := h.by()["shop-web-1"]
		foreign := mine
		foreign.ID, foreign.Instance, foreign.Spec, foreign.Version, foreign.Release = "", "", "", "", 0
		foreign.ImageRef, foreign.ConfigHash = "shop:0.9", "another"
		h.engine.ReplaceByHand(mine.ID, foreign)
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.0")
		if n := h.emitted(reconcile.EventForeignChange); n != 1 {
			t.Errorf("%d reports of it\n%s", n, h.story())
		}
	})
}

func TestWhatSomebodyIsAboutToStartIsNotTakenAwayFromHim(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:0.9", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		foreign := h.by()["shop-web-1"]
		foreign.ID, foreign.Instance, foreign.Spec, foreign.Version, foreign.Release = "", "", "", "", 0
		foreign.Name, foreign.ImageRef, foreign.ConfigHash, foreign.State, foreign.Created = "0a1b_shop-web-1", "shop:0.9", "another", reconcile.Created, time.Now()
		id := h.engine.AddContainer(foreign)
		h.engine.ClearLog()
		h.pass(30 * time.Second)
		h.expect("mutations at once", h.acts(), "")
		h.pass(time.Minute)
		if left := h.observe().Containers; slices.ContainsFunc(left, func(c reconcile.Container) bool { return c.ID == id }) {
			t.Errorf("what nobody came to start is still there\n%s", h.story())
		}
		h.expect("running", h.running(), "web/1 shop:1.0")
	})
}

func TestWhatComposeMakesAnewJustAsDeclaredIsTakenOver(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		mine := h.by()["shop-web-1"]
		foreign := mine
		foreign.ID, foreign.Instance, foreign.Spec, foreign.Version, foreign.Release = "", "", "", "", 0
		id := h.engine.ReplaceByHand(mine.ID, foreign)
		h.engine.ClearLog()
		h.pass(3 * time.Hour)
		h.expect("mutations", h.acts(), "")
		if now := h.by()["shop-web-1"]; now.ID != id || !now.Running() {
			t.Errorf("it was replaced by %+v", now)
		}
		h.push("v1.0.1", strings.Replace(web("1.0"), "unless-stopped", "always", 1))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.0")
	})
}

const pair = `
services:
  web:
    image: shop:1.0
    restart: unless-stopped
    depends_on: [db]
  db:
    image: db:1
    restart: unless-stopped
    volumes: ["data:/data"]
volumes: {data: {}}
`

func TestAnOperatorStopsAndStartsAService(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.push("v1.0.0", pair)
		h.pass(time.Minute)
		ask := reconcile.ServiceRequest{Stack: "shop", Service: "db", Actor: "ann"}
		if err := h.loop.Start(t.Context(), ask); err == nil {
			t.Error("what runs was started")
		}
		if err := h.loop.Stop(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.pass(time.Hour)
		h.engine.RestartDaemon()
		h.stop()
		h.boot()
		h.pass(time.Hour)
		h.expect("running after restarts", h.running(), "web/1 shop:1.0")
		h.expect("status", h.status().WaitingFor, "stopped by operator: db")
		if err := h.loop.Start(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/1 shop:1.0")
		last := h.record.releases[0]
		h.expect("record", fmt.Sprintf("%s %s %s: %s", last.Kind, last.Trigger, last.Actor, last.Reason), "drift-fix cli ann: started by ann")
		h.expect("policy", h.by()["shop-db-1"].Restart, "unless-stopped")
	})
}

func TestAnOperatorRestartsAStackWithoutAGapWhereThatIsPossible(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.push("v1.0.0", "x-davit: {drift: off}\n"+pair)
		h.pass(time.Hour)
		h.engine.ClearLog()
		if err := h.loop.Restart(t.Context(), reconcile.ServiceRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), "db/2 db:1, web/2 shop:1.0")
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 drift-fix v1.0.0 succeeded")
		log := h.acts()
		if strings.Index(log, "start shop-web-2") > strings.Index(log, "stop shop-web-1") {
			t.Errorf("the stateless service had a gap:\n%s", log)
		}
		h.pass(time.Hour)
		h.expect("running in the end", h.running(), "db/2 db:1, web/2 shop:1.0")
		if err := h.loop.Restart(t.Context(), reconcile.ServiceRequest{Stack: "shop", Service: "nope", Actor: "ann"}); err == nil {
			t.Error("a service that is not there was restarted")
		}
	})
}

func TestWhatIsStoppedWhileACorrectionWaitsStaysSo(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.stop()
		h.adjust = func(o *reconcile.Options) { o.Parallel = 1 }
		h.boot()
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.image("blog:1.0", healthy())
		h.image("blog:1.1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Minute})
		blog := func(tag string) string { return "services:\n  blog: {image: \"blog:" + tag + "\"}\n" }
		h.declareStacks(map[string]string{"shop": pair, "blog": blog("1.0")})
		h.pass(time.Minute)
		h.declareStacks(map[string]string{"shop": pair, "blog": blog("1.1")})
		h.pass(5 * time.Second)
		h.engine.RemoveByHand(h.only("db").ID)
		h.pass(5 * time.Second)
		web := h.only("web").ID
		h.engine.StopByHand(web)
		h.pass(5 * time.Minute)
		h.only("db")
		if h.by()["shop-web-1"].Running() || h.status().WaitingFor != "stopped by operator: web/1" {
			t.Errorf("%+v\n%s", h.status(), h.story())
		}
		if err := h.loop.Start(t.Context(), reconcile.ServiceRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		if h.only("web").ID != web {
			t.Errorf("another one was made\n%s", h.story())
		}
	})
}

func TestARestartThatFailsLeavesWhatServes(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Hour)
		before := h.by()["shop-web-1"].ID
		h.engine.Turn("shop:1.0", sick())
		if err := h.loop.Restart(t.Context(), reconcile.ServiceRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		if now := h.by()["shop-web-1"]; now.ID != before || !now.Running() {
			t.Errorf("what served is %+v", now)
		}
	})
}

func TestWhatSomebodyChangedIsPutRight(t *testing.T) {
	const limited = `
services:
  web:
    image: shop:1.0
    restart: unless-stopped
    deploy: {resources: {limits: {memory: 64m, cpus: "0.3"}}}
`
	for name, c := range map[string]struct {
		change func(h *host, c reconcile.Container) error
		want   string
	}{
		"its name": {func(h *host, c reconcile.Container) error {
			h.engine.RenameByHand(c.ID, "blog")
			return nil
		}, "shop-web-1"},
		"its memory": {func(h *host, c reconcile.Container) error {
			h.engine.UpdateByHand(c.ID, reconcile.Limits{Memory: 1 << 30, NanoCPUs: c.Limits.NanoCPUs})
			return nil
		}, "shop-web-2"},
		"its share of the cores": {func(h *host, c reconcile.Container) error {
			h.engine.UpdateByHand(c.ID, reconcile.Limits{Memory: c.Limits.Memory, NanoCPUs: 2e9})
			return nil
		}, "shop-web-2"},
		"its policy": {func(h *host, c reconcile.Container) error {
			return h.engine.SetRestart(h.t.Context(), c.ID, "no")
		}, "shop-web-1"},
		"its names in a network": {func(h *host, c reconcile.Container) error {
			return h.engine.Leave(h.t.Context(), c.ID, h.declared["shop"], h.declared["shop"].Services[0])
		}, "shop-web-1"},
		"nothing": {func(*host, reconcile.Container) error { return nil }, "shop-web-1"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.push("v1.0.0", limited)
				h.pass(time.Hour)
				if err := c.change(h, h.by()["shop-web-1"]); err != nil {
					t.Fatal(err)
				}
				h.loop.Wake("shop", reconcile.TriggerDrift)
				h.pass(2 * time.Hour)
				now := h.by()[c.want]
				aliases := now.Endpoints["shop_default"].Aliases
				want := reconcile.Limits{Memory: 64 << 20, NanoCPUs: reconcile.LimitsOf(h.declared["shop"].Services[0].Config).NanoCPUs}
				if !now.Running() || now.Limits != want || now.Restart != "unless-stopped" || !strings.Contains(fmt.Sprint(aliases), "web") {
					t.Errorf("%s is %+v\n%s", c.want, now, h.containers())
				}
				h.engine.ClearLog()
				h.pass(2 * time.Hour)
				h.expect("mutations in the end", h.acts(), "")
			})
		})
	}
}

func TestAnUnreadableRecordKeepsOnlyItsOwnStackFromEverything(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.record.unreadable("blog")
		h.declared["blog"] = loadProject(t, "name: blog\n"+web("1.0"))
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.record.unreadable("")
		h.pass(10 * time.Minute)
		h.expect("running once it can be read", h.running(), "web/1 shop:1.0, web/1 shop:1.0")
	})
}
