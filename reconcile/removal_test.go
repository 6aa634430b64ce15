package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

// byService is the first container of a service.
func (h *host) byService(name string) reconcile.Container {
	h.settle()
	for _, c := range h.observe().Containers {
		if c.Service == name {
			return c
		}
	}
	h.t.Fatalf("no container of %s", name)
	return reconcile.Container{}
}

// agree is an operator's word to adopt what runs.
func (h *host) agree() {
	h.t.Helper()
	if err := h.loop.Adopt(h.t.Context(), reconcile.AdoptRequest{Stack: "shop", Actor: "ann"}); err != nil {
		h.t.Fatal(err)
	}
}

func TestWhatComesToRunUnderTheNameOfARemovedStackIsLeftAlone(t *testing.T) {
	for name, adopted := range map[string]bool{"of one that davit made": false, "of one that was adopted": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("db:1", healthy())
				if adopted {
					h.composeUp(running)
				}
				h.push("v1.1.0", running)
				h.pass(time.Minute)
				h.push("", "")
				h.loop.Declare(reconcile.Declaration{Revision: h.revision, Removed: []string{"shop"}})
				h.pass(time.Hour)
				h.expect("running", h.running(), "")
				h.composeUp(running)
				h.pass(time.Hour)
				for _, c := range h.observe().Containers {
					h.engine.StopByHand(c.ID)
				}
				h.pass(time.Hour)
				h.expect("mutations", h.acts(), "")
			})
		})
	}
}

func TestAProjectThatFollowsARemovedStackIsAdoptedLikeAnyOther(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.image("db:1", healthy())
		h.push("v1.1.0", running)
		h.pass(time.Minute)
		h.push("", "")
		h.pass(time.Minute)
		if err := h.loop.Remove(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.composeUp(running)
		h.pass(time.Hour)
		h.expect("mutations", h.acts(), "")
		h.push("v1.2.0", strings.Replace(running, "shop:1.0", "shop:1.1", 1))
		h.pass(time.Hour)
		h.expect("mutations after it is declared", h.acts(), "")
		h.expect("status", string(h.status().Sync), "unadopted")
		h.agree()
		h.pass(time.Hour)
		h.expect("running", h.running(), "db/1 db:1, web/3 shop:1.1, web/4 shop:1.1")
		h.expect("data", h.byService("db").Mounts[0].Source, "/srv/shop/data")
		h.expect("history", h.history(), "#1 deploy v1.1.0 succeeded\n#2 remove  succeeded\n#3 adopt  succeeded\n#4 deploy v1.2.0 succeeded")
	})
}

func TestARemovedStackStaysAwayThoughGitCannotBeReached(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.push("v1.1.0", running)
		h.pass(time.Minute)
		h.push("", "")
		h.pass(time.Minute)
		if err := h.loop.Remove(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		h.expect("running", h.running(), "")
		h.stop()
		h.revision = reconcile.Revision{}
		h.boot()
		h.pass(time.Hour)
		h.expect("running without Git", h.running(), "")
		h.push("v1.1.0", running)
		h.pass(time.Hour)
		h.expect("running again", h.running(), "db/1 db:1, web/1 shop:1.0, web/2 shop:1.0")
	})
}
