package state

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"davit/reconcile"
)

func TestANewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	_, err := s.writer.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, schema+1))
	check(t, err)
	check(t, s.Close())
	before, err := os.ReadFile(directory(dir).database())
	check(t, err)

	for range 2 {
		_, _, err = Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
		if !errors.Is(err, ErrNewerSchema) || reconcile.Hint(err) == "" || !strings.Contains(err.Error(), dir) {
			t.Errorf("open: %v, hint %q", err, reconcile.Hint(err))
		}
	}
	if _, err := OpenReadOnly(dir); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("read: %v", err)
	}
	after, err := os.ReadFile(directory(dir).database())
	check(t, err)
	if string(before) != string(after) {
		t.Error("the refused database was changed")
	}
}

func TestAMigrationThatFailsHasNotHappened(t *testing.T) {
	s := openStore(t, t.TempDir())
	begin(t, s, "shop")
	next := ladder{top: schema + 1, scripts: fstest.MapFS{fmt.Sprintf("migrations/%d.sql", schema+1): {
		Data: []byte(`CREATE TABLE half (x); DROP TABLE events; INSERT INTO nowhere VALUES (1)`)}}}
	if err := next.climb(t.Context(), s.writer, schema); err == nil || damaged(err) {
		t.Fatalf("nonsense migrated, or counts as damage: %v", err)
	}
	if version := must[int](t)(next.position(t.Context(), s.writer)); version != schema {
		t.Errorf("schema is %d", version)
	}
	check(t, s.readEverything(t.Context()))
	if _, err := s.writer.Exec(`SELECT * FROM half`); err == nil {
		t.Error("half of the migration stayed")
	}
}

func TestAnOlderDatabaseIsCopiedBeforeItIsMigrated(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	begin(t, s, "shop")
	next := ladder{top: schema + 1, scripts: fstest.MapFS{fmt.Sprintf("migrations/%d.sql", schema+1): {
		Data: []byte(`DELETE FROM services; DELETE FROM releases`)}}}
	check(t, directory(dir).makeCurrent(t.Context(), s.writer, next))
	if got := readSeqs(t, s.Reader, "shop"); len(got) != 0 {
		t.Errorf("it was not migrated: %v", got)
	}
	check(t, s.Close())

	// The copy is what this version can go back to.
	check(t, os.Remove(directory(dir).database()))
	s, recovery := openAny(t, dir)
	if recovery.Snapshot == "" {
		t.Errorf("recovery is %+v", recovery)
	}
	works(t, s, 1)
}

// Every schema that was ever released is kept as a fixture, and each must open
// for ever.
func TestDatabasesOfEarlierVersionsOpen(t *testing.T) {
	for v := 1; v <= schema; v++ {
		t.Run(fmt.Sprintf("schema %d", v), func(t *testing.T) {
			dir := t.TempDir()
			loadFixture(t, dir, fmt.Sprintf("testdata/schema-%d.sql", v))
			s := openStore(t, dir)
			if got := must[int](t)(released().position(t.Context(), s.writer)); got != schema {
				t.Errorf("schema is %d", got)
			}
			releases := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 0))
			if len(releases) != 2 || releases[0].Outcome != reconcile.Failed || releases[1].Version != "v1.2.2" ||
				releases[1].Services[0].Containers[0] != "c0ffee" || releases[1].Services[0].Image.Volumes[0] != "/data" {
				t.Errorf("releases are %+v", releases)
			}
			image := releases[1].Services[0].Image
			if v >= 2 && (image.Platform != "linux/amd64" || image.Resolved.IsZero() || image.Built == "") {
				t.Errorf("image is %+v", image)
			}
			if got := string(releases[1].Project); got != "name: shop\n" {
				t.Errorf("project is %q", got)
			}
			controls := must[reconcile.Controls](t)(s.Controls(t.Context(), "shop"))
			if controls.Hold == nil || controls.Pin == nil || controls.Suspension == nil || controls.Hold.Seq != 2 {
				t.Errorf("controls are %+v", controls)
			}
			if v >= 2 && (len(controls.Stops) != 1 || controls.Stops[0].Container != "c0ffee" || controls.Stops[0].Actor != "ada") {
				t.Errorf("stops are %+v", controls.Stops)
			}
			if events := must[[]reconcile.Event](t)(s.Events(t.Context(), "shop", 0, 0)); len(events) != 1 || events[0].ID != 7 {
				t.Errorf("events are %+v", events)
			}
			if due := must[[]reconcile.Delivery](t)(s.Due(t.Context(), "ops", noon, 9)); len(due) != 1 || due[0].Event.ID != 7 {
				t.Errorf("due are %+v", due)
			}
			if r := begin(t, s, "shop"); r.Seq != 6 {
				t.Errorf("the next release is #%d, want #6", r.Seq)
			}
		})
	}
}

func loadFixture(t *testing.T, dir, path string) {
	t.Helper()
	script, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(dir+"/host.key", []byte(strings.Repeat("07", keySize)+"\n"), 0o600))
	check(t, os.WriteFile(directory(dir).database(), nil, 0o600))
	db := must[*sql.DB](t)(connectWriter(directory(dir).database()))
	_, err = db.Exec(string(script))
	check(t, err)
	check(t, db.Close())
}
