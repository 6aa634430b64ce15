package reconcile_test

import (
	"testing"
	"time"

	"davit/engine/enginetest"
)

// `docker rm -f` leaves an unnamed volume behind with nothing that points to it.
func TestDataOfAContainerRemovedByHandIsFoundAgain(t *testing.T) {
	const db = "services:\n  db: {image: \"db:15\", restart: always}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:15", enginetest.Behaviour{Volumes: []string{"/data"}})
		h.push("v1.0.0", db)
		h.pass(time.Minute)
		before := h.observe().Containers[0]
		h.engine.RemoveByHand(before.ID)
		h.pass(time.Minute)
		after := h.observe().Containers[0]
		if after.ID == before.ID || after.Volumes["/data"] != before.Volumes["/data"] {
			t.Errorf("a new container has volume %s, want %s", after.Volumes["/data"], before.Volumes["/data"])
		}
	})
}
