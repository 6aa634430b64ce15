package reconcile_test

import (
	"fmt"
	"testing"
	"time"
)

func TestAServiceThatTakesOverAnothersVolumeNeverWritesBesideIt(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:15", healthy())
		h.image("db:bad", sick())
		h.push("v1.0.0", "services:\n  db: {image: \"db:15\", volumes: [data:/data]}\nvolumes: {data: {}}\n")
		h.pass(time.Minute)
		h.push("v1.1.0", "services:\n  postgres: {image: \"db:15\", volumes: [data:/data]}\nvolumes: {data: {}}\n")
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "postgres/1 db:15")
		h.push("v1.2.0", "services:\n  again: {image: \"db:bad\", volumes: [data:/data]}\nvolumes: {data: {}}\n")
		h.pass(5 * time.Minute)
		h.expect("running", h.running(), "postgres/1 db:15")
		if n := h.engine.MaxWriters("shop_data"); n != 1 {
			t.Errorf("%d writers", n)
		}
	})
}

func TestAServiceScaledToZeroAndBackHasItsDataAgain(t *testing.T) {
	const db = "services:\n  db: {image: \"db:%s\", scale: %d}\n"
	simulate(t, func(t *testing.T, h *host) {
		good := healthy()
		good.Volumes = []string{"/data"}
		h.image("db:15", good)
		h.image("db:16", good)
		h.push("v1.0.0", fmt.Sprintf(db, "15", 1))
		h.pass(time.Minute)
		v := h.observe().Containers[0].Volumes["/data"]
		h.push("v1.1.0", fmt.Sprintf(db, "15", 0))
		h.pass(3 * time.Hour)
		h.push("v1.2.0", fmt.Sprintf(db, "15", 1))
		h.pass(time.Minute)
		if got := h.observe().Containers[0].Volumes["/data"]; got != v {
			t.Errorf("scaled to zero and back: volume %s, want %s\n%s", got, v, h.history())
		}
	})
}

func TestAdditionalReplicasNeverShareAnUnnamedVolume(t *testing.T) {
	const db = "services:\n  db: {image: \"db:%s\", scale: %d}\n"
	simulate(t, func(t *testing.T, h *host) {
		good := healthy()
		good.Volumes = []string{"/data"}
		h.image("db:15", good)
		h.image("db:16", good)
		h.image("db:17", good)
		h.push("v1.0.0", fmt.Sprintf(db, "15", 1))
		h.pass(time.Minute)
		h.push("v1.1.0", fmt.Sprintf(db, "16", 1))
		h.pass(time.Minute)
		h.push("v1.2.0", fmt.Sprintf(db, "17", 3))
		h.pass(3 * time.Minute)
		for _, v := range h.engine.Volumes() {
			if n := h.engine.MaxWriters(v); n > 1 {
				t.Errorf("%s: %d writers", v, n)
			}
		}
	})
}

func TestTheDataOfAContainerRemovedByHandIsTakenFromWhatFailed(t *testing.T) {
	const db = "services:\n  db: {image: \"db:%s\"}\n"
	simulate(t, func(t *testing.T, h *host) {
		good, bad := healthy(), sick()
		bad.UnhealthyAfter = 60 * time.Second
		good.Volumes, bad.Volumes = []string{"/data"}, []string{"/data"}
		h.image("db:15", good)
		h.image("db:bad", bad)
		h.push("v1.0.0", fmt.Sprintf(db, "15"))
		h.pass(time.Minute)
		old := h.observe().Containers[0]
		h.push("v1.1.0", fmt.Sprintf(db, "bad"))
		h.pass(30 * time.Second)
		h.engine.RemoveByHand(old.ID)
		h.pass(10 * time.Minute)
		for _, c := range h.observe().Containers {
			if c.Volumes["/data"] != old.Volumes["/data"] {
				t.Errorf("%s %s has %s, want %s", c.Name, c.ImageRef, c.Volumes["/data"], old.Volumes["/data"])
			}
		}
	})
}
