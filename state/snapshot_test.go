package state

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"davit/reconcile"
)

func TestAGoodReleaseIsCopiedByTheTimeTheStoreIsClosed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Failed)
	check(t, s.Close())
	if list := directory(dir).listSnapshots(); len(list) != 0 {
		t.Errorf("a failed release was copied: %v", list)
	}
	s = openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	check(t, s.Close())
	if list := directory(dir).listSnapshots(); len(list) != 1 {
		t.Errorf("snapshots are %v", list)
	}
}

func TestTheNewestThreeSnapshotsAreKeptWhateverTheClockSays(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	var last string
	for i := range 5 {
		last = must[string](t)(s.Snapshot(t.Context()))
		past := time.Now().Add(-time.Duration(i) * time.Hour)
		check(t, os.Chtimes(last, past, past))
	}
	list := directory(dir).listSnapshots()
	if len(list) != keepSnapshots || list[2] != last || filepath.Base(last) != "state-000000005.db" {
		t.Errorf("kept %v, the last was %s", list, last)
	}
}

func TestADirectoryWithOddCharactersIsNoProblem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c=d&e#f[1]*%20ü")
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	must[string](t)(s.Snapshot(t.Context()))
	check(t, s.Close())
	if list := directory(dir).listSnapshots(); len(list) != 2 {
		t.Errorf("snapshots are %v", list)
	}
	check(t, os.Truncate(directory(dir).database(), 10))
	s, recovery := openAny(t, dir)
	if recovery.Snapshot == "" {
		t.Errorf("recovery is %+v", recovery)
	}
	r := must[*Reader](t)(OpenReadOnly(dir))
	defer r.Close()
	if got := readSeqs(t, r, "shop"); len(got) != 1 {
		t.Errorf("read %v", got)
	}
	works(t, s, 1)
}
