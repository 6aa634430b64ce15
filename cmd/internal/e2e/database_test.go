package e2e

import (
	"slices"
	"testing"

	"davit/cmd/internal/testbed"
)

// A service like PostgreSQL: its image declares a volume, its file does not.
func TestADatabaseKeepsItsDataAndHasOneWriter(t *testing.T) {
	t.Parallel()
	i := newIsland(t, "database")
	one, two := i.database("1", nil), i.database("2", nil)
	bad := i.database("3", map[string]string{"HEALTH": "never"})
	settings := []string{`x-davit: {monitor: 500ms, start_timeout: 60s}`}
	watch := i.stack.Mark()

	first := i.push(part{"db", one, settings})
	i.agent.Start()
	i.deployed(first)
	volume := i.stack.Only("db").Volumes["/data"]
	if volume == "" {
		t.Fatal("the image's volume is no volume")
	}
	// same checks what must be so after everything that happens.
	same := func(t *testing.T, image testbed.Image) {
		t.Helper()
		i.stack.RequireReplicas("db", 1)
		c := i.stack.Only("db")
		if !image.Is(c.ImageID) {
			t.Errorf("image = %s, want %s", c.ImageID, image.ID)
		}
		if c.Volumes["/data"] != volume {
			t.Errorf("volume = %s, want %s", c.Volumes["/data"], volume)
		}
		watch.RequireOneWriter()
		i.kept("db")
	}
	same(t, one)

	t.Run("a replacement stops the old one first", func(t *testing.T) {
		i.deployed(i.push(part{"db", two, settings}))
		same(t, two)
	})
	t.Run("a replacement that fails starts the old one again", func(t *testing.T) {
		old := i.stack.Only("db")
		commit := i.push(part{"db", bad, settings})
		i.agent.WaitStatus(i.stack.Name, "held, and the old one healthy", func(st testbed.Status) bool {
			return st.Sync == "held" && st.Health == "healthy"
		})
		failed := i.agent.WaitRelease(i.stack.Name, "the failed release", func(r testbed.Release) bool {
			return r.Commit == commit && r.Outcome == "failed"
		})
		if returned := i.agent.History(i.stack.Name)[0]; returned.Kind != "auto-rollback" || returned.RollbackOf != failed.Seq {
			t.Errorf("newest release = %s, want an auto-rollback of #%d", returned, failed.Seq)
		}
		same(t, two)
		if again := i.stack.Only("db"); again.ID != old.ID {
			t.Errorf("%s runs in the place of %s, which could have been started again", again, old)
		}
	})
	t.Run("a rollback brings the old image back to the same data", func(t *testing.T) {
		i.deployed(i.push(part{"db", one, settings}))
		if r := i.agent.History(i.stack.Name)[0]; r.Kind != "rollback" || r.Restores != 1 {
			t.Errorf("newest release = %s, want a rollback to #1", r)
		}
		same(t, one)
	})
	t.Run("containers that somebody removed, the standby too, are made again on the same data", func(t *testing.T) {
		// The running one last: until then nothing is missing.
		all := i.stack.Containers()
		slices.SortFunc(all, func(a, b testbed.Container) int { return a.Started.Compare(b.Started) })
		for _, c := range all {
			if err := i.engine.Drop(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
		}
		i.ready("db", 1)
		same(t, one)
	})
	t.Run("an engine that is killed and comes back finds the same data", func(t *testing.T) {
		i.engine.Kill()
		i.engine.Start()
		i.ready("db", 1)
		same(t, one)
	})
	t.Run("an engine that is restarted finds the same data", func(t *testing.T) {
		i.engine.Stop()
		i.engine.Start()
		i.ready("db", 1)
		same(t, one)
	})
}
