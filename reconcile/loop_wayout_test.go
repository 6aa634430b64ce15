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

func TestAFixForABrokenNeighbourIsDeployed(t *testing.T) {
	const shop = `
services:
  api: {image: "api:%s"}
  web: {image: "web:1", x-davit: {healing: off}}
`
	simulate(t, func(t *testing.T, h *host) {
		h.image("api:1", healthy())
		h.image("api:2", healthy())
		h.image("web:1", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 5 * time.Minute})
		h.push("v1.0.0", fmt.Sprintf(shop, "1"))
		h.pass(10 * time.Minute)
		h.push("v1.1.0", fmt.Sprintf(shop, "2"))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "api/2 api:2, web/1 web:1")
	})
}

func TestARetryDuringTheReturnIsNotForgotten(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:bad", sick())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("bad"))
		for i := 0; i < 10_000 && h.emitted(reconcile.EventHeld) == 0; i++ {
			time.Sleep(time.Millisecond)
		}
		if err := h.loop.Retry(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		if n := strings.Count(h.history(), "v1.1.0 failed"); n != 2 {
			t.Errorf("tried %d times\n%s", n, h.history())
		}
	})
}

func TestCorrectionsDoNotPushEarlierReleasesOutOfWhatIsKept(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Minute)
		for range 4 {
			for _, c := range h.observe().Containers {
				if c.Running() {
					h.engine.RemoveByHand(c.ID)
				}
			}
			h.pass(10 * time.Minute)
		}
		tags, err := h.engine.KeepTags(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := tags["davit.local/keep/shop/web:r1"]; !ok {
			t.Errorf("release #1 is not kept: %v\n%s", tags, h.history())
		}
	})
}

func TestAnEndThatCannotBeRecordedIsRecordedLater(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(3 * time.Second)
		h.record.refuseEnds(true)
		h.pass(time.Minute)
		h.record.refuseEnds(false)
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
	})
}

func TestServicesWithDataStayThoughTheReturnFailsAtFirst(t *testing.T) {
	const shop = `
services:
  db: {image: "db:%[1]s", volumes: [data:/data]}
  api: {image: "api:%[1]s", depends_on: [db]}
  web: {image: "web:%[2]s", depends_on: {api: {condition: service_healthy}}}
volumes: {data: {}}
`
	simulate(t, func(t *testing.T, h *host) {
		for _, ref := range []string{"db:1", "db:2", "api:1", "api:2", "web:1"} {
			h.image(ref, healthy())
		}
		h.image("web:bad", sick())
		h.push("v1.0.0", fmt.Sprintf(shop, "1", "1"))
		h.pass(time.Minute)
		n := 0
		h.engine.Interrupt(func(op enginetest.Op, m enginetest.Moment) error {
			if op.Kind == enginetest.OpStart && strings.Contains(op.Target, "api-1") && n < 2 {
				n++
				return errors.New("no room in the cgroup")
			}
			return nil
		})
		h.push("v2.0.0", fmt.Sprintf(shop, "2", "bad"))
		h.pass(30 * time.Minute)
		h.expect("running", h.running(), "api/1 api:1, db/2 db:2, web/1 web:1")
	})
}

func TestARevertThatFailsGoesBackToWhatRan(t *testing.T) {
	const db = "services:\n  db: {image: \"db:%s\", restart: always, volumes: [data:/data]}\nvolumes: {data: {}}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:15", healthy())
		h.image("db:16", healthy())
		h.push("v1.0.0", fmt.Sprintf(db, "15"))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(db, "16"))
		h.pass(time.Minute)
		h.push("v1.2.0", fmt.Sprintf(db, "15"))
		h.pass(500 * time.Millisecond)
		for _, c := range h.observe().Containers {
			if c.Running() {
				h.engine.Kill(c.ID) // it is in its gate
			}
		}
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/2 db:16")
		h.expect("sync", string(h.status().Sync), "held")
	})
}

// A disk without room is asked about before a release is recorded, or every retry
// would leave a row.
func TestRetriesOnAFullDiskLeaveNoRows(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.disk.fill(true)
		h.push("v1.1.0", web("1.1"))
		h.pass(time.Hour)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		h.disk.fill(false)
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
	})
}

func TestAFirstDeployThatNeverBecomesHealthyIsStoppedForInspection(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:bad", sick())
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("bad"))
		h.pass(time.Hour)
		h.expect("running", h.running(), "")
		if n := len(h.observe().Containers); n != 1 {
			t.Errorf("%d containers, want the failed one, stopped", n)
		}
		h.expect("history", h.history(), "#1 deploy v1.0.0 failed")
		h.expect("sync", string(h.status().Sync), "held")
		h.push("v1.0.1", web("1.0"))
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/2 shop:1.0")
	})
}

// Many a program ends with code 0 when it is told to stop. With a restart policy that
// leaves ended work alone, such a standby was taken for work that is done: the way back
// started nothing, and said that all was well.
func TestAStandbyThatEndedWithCode0IsStartedAgain(t *testing.T) {
	for _, policy := range []string{`"no"`, "on-failure", "unless-stopped"} {
		for _, order := range []string{"start-first", "stop-first"} {
			ways := map[string]func(h *host, content func(string) string) (want string){
				"a revert": func(h *host, content func(string) string) string {
					h.push("v1.2.0", content("1.0"))
					return "shop:1.0"
				},
				"a rollback by hand": func(h *host, _ func(string) string) string {
					if _, err := h.loop.Rollback(h.t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil {
						h.t.Fatal(err)
					}
					return "shop:1.0"
				},
				"a release that fails": func(h *host, content func(string) string) string {
					h.push("v1.2.0", content("1.0"))
					h.pass(time.Minute)
					h.push("v1.3.0", content("bad"))
					return "shop:1.0"
				},
				"a revert of the revert": func(h *host, content func(string) string) string {
					h.push("v1.2.0", content("1.0"))
					h.pass(time.Minute)
					h.push("v1.3.0", content("1.1"))
					return "shop:1.1"
				},
			}
			for name, back := range ways {
				t.Run(strings.Join([]string{name, policy, order}, ", "), func(t *testing.T) {
					simulate(t, func(t *testing.T, h *host) {
						content := func(tag string) string {
							return "services:\n  web: {image: \"shop:" + tag + "\", restart: " + policy + ", x-davit: {order: " + order + "}}\n"
						}
						h.image("shop:1.0", healthy())
						h.image("shop:1.1", healthy())
						h.image("shop:bad", sick())
						h.push("v1.0.0", content("1.0"))
						h.pass(time.Minute)
						h.push("v1.1.0", content("1.1"))
						h.pass(time.Minute)
						want := back(h, content)
						h.pass(5 * time.Minute)
						if got := h.running(); !strings.HasSuffix(got, want) || strings.Contains(got, ",") {
							t.Errorf("running %q\n%s\n%s", got, h.history(), h.story())
						}
					})
				})
			}
		}
	}
}
