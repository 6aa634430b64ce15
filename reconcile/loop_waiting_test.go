package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"davit/engine/enginetest"
)

func TestWhatWasCutOffReturnsWhileNewerContentWaits(t *testing.T) {
	const db = "services:\n  db: {image: \"db:%s\", restart: always, volumes: [data:/data]}\nvolumes: {data: {}}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:15", healthy())
		h.image("db:slow", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 90 * time.Second})
		h.push("v1.0.0", fmt.Sprintf(db, "15"))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(db, "slow"))
		h.pass(20 * time.Second)
		h.push("v1.2.0", fmt.Sprintf(db, "missing"))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/1 db:15")
		h.expect("sync", string(h.status().Sync), "waiting")
	})
}

func TestWhatFailedReturnsWhileNewerContentWaits(t *testing.T) {
	const db = "services:\n  db: {image: \"db:%s\", restart: always, volumes: [data:/data]}\nvolumes: {data: {}}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:15", healthy())
		h.image("db:bad", sick())
		h.push("v1.0.0", fmt.Sprintf(db, "15"))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(db, "bad"))
		h.pass(5500 * time.Millisecond)
		h.push("v1.2.0", fmt.Sprintf(db, "missing"))
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "db/1 db:15")
	})
}

func TestDriftIsCorrectedWhileNewerContentWaits(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.push("v1.0.0", web("1.0"))
		h.pass(time.Minute)
		h.push("v1.1.0", web("missing"))
		h.pass(5 * time.Minute)
		h.engine.RemoveByHand(h.observe().Containers[0].ID)
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "web/1 shop:1.0")
		h.expect("sync", string(h.status().Sync), "waiting")
	})
}
