package state

import (
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

// furnish fills dir as an agent does in its life, closes it, and returns how many
// releases its snapshot and its database hold.
func furnish(t *testing.T, dir string) (inSnapshot, inDatabase int) {
	t.Helper()
	s := openStore(t, dir)
	for range 10 {
		finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
		must[reconcile.Event](t)(s.AppendEvent(t.Context(), reconcile.Event{At: noon, Stack: "shop", Message: strings.Repeat("m", 200)}))
	}
	check(t, s.Close()) // takes the snapshot that is due
	s = openStore(t, dir)
	for range 3 {
		finish(t, s, begin(t, s, "shop"), reconcile.Failed)
	}
	check(t, s.SetHold(t.Context(), "shop", &reconcile.Hold{Spec: "v1:x", Since: noon}))
	check(t, s.Close())
	return 10, 13
}

// clone copies the regular files of one data directory into a new one.
func clone(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	check(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

func overwrite(t *testing.T, path string, at int64, with []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteAt(with, at)
	check(t, err)
	check(t, f.Close())
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	check(t, err)
	return info.Size()
}

// works proves that a store is whole and goes on counting upwards.
func works(t *testing.T, s *Store, least int) {
	t.Helper()
	if n := len(readSeqs(t, s.Reader, "shop")); n < least {
		t.Errorf("%d releases are left of at least %d", n, least)
	}
	r := begin(t, s, "shop")
	finish(t, s, r, reconcile.Succeeded)
	seqs := readSeqs(t, s.Reader, "shop")
	if seqs[0] != r.Seq || len(slices.Compact(slices.Clone(seqs))) != len(seqs) || r.Seq <= int64(least) {
		t.Errorf("sequence numbers are %v", seqs)
	}
	if err := quickCheck(t.Context(), s.writer); err != nil {
		t.Errorf("the database is not sound: %v", err)
	}
}

func TestADamagedDatabaseIsSetAsideAndTheSnapshotRestored(t *testing.T) {
	furnished := t.TempDir()
	inSnapshot, _ := furnish(t, furnished)
	db := func(dir string) string { return directory(dir).database() }
	cases := map[string]func(dir string){
		"empty":                  func(dir string) { check(t, os.Truncate(db(dir), 0)) },
		"half a header":          func(dir string) { check(t, os.Truncate(db(dir), 50)) },
		"only a header":          func(dir string) { check(t, os.Truncate(db(dir), 100)) },
		"half a file":            func(dir string) { check(t, os.Truncate(db(dir), size(t, db(dir))/2)) },
		"garbage for a header":   func(dir string) { overwrite(t, db(dir), 0, []byte(strings.Repeat("x", 100))) },
		"an unknown file format": func(dir string) { overwrite(t, db(dir), 18, []byte{9, 9}) },
		"no schema version":      func(dir string) { overwrite(t, db(dir), 60, []byte{0, 0, 0, 0}) },
		"an absurd version":      func(dir string) { overwrite(t, db(dir), 60, []byte{0x7f, 0, 0, 1}) },
		"another application":    func(dir string) { overwrite(t, db(dir), 68, []byte{1, 2, 3, 4}) },
		"a text file":            func(dir string) { check(t, os.WriteFile(db(dir), []byte(strings.Repeat("hello\n", 999)), 0o600)) },
		"gone":                   func(dir string) { check(t, os.Remove(db(dir))) },
		"an unknown outcome": func(dir string) {
			content, err := os.ReadFile(db(dir))
			check(t, err)
			check(t, os.WriteFile(db(dir), []byte(strings.ReplaceAll(string(content), "failed", "fooled")), 0o600))
		},
	}
	for name, harm := range cases {
		t.Run(name, func(t *testing.T) {
			dir := clone(t, furnished)
			harm(dir)
			s, recovery := openAny(t, dir)
			if !recovery.Happened() || recovery.Snapshot == "" || time.Since(recovery.Taken) > time.Hour {
				t.Errorf("recovery is %+v", recovery)
			}
			if name != "gone" {
				if _, err := os.Stat(recovery.Aside); err != nil {
					t.Errorf("the damaged database is not kept: %v", err)
				}
			}
			if text := recovery.String(); !strings.Contains(text, "restored from") {
				t.Errorf("it says %q", text)
			}
			works(t, s, inSnapshot)
			check(t, s.Close())
			s = openStore(t, dir) // and that was all
			works(t, s, inSnapshot+1)
		})
	}
}

func TestDamageAtRandomPlacesNeverKeepsTheAgentDown(t *testing.T) {
	furnished := t.TempDir()
	inSnapshot, _ := furnish(t, furnished)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	recovered := 0
	const rounds = 60
	for i := range rounds {
		dir := clone(t, furnished)
		path := directory(dir).database()
		at := random.Int64N(size(t, path))
		if i%3 == 0 {
			check(t, os.Truncate(path, at))
		} else {
			garbage := make([]byte, 1+random.IntN(3000))
			for j := range garbage {
				garbage[j] = byte(random.Uint32())
			}
			overwrite(t, path, at, garbage)
		}
		s, recovery := openAny(t, dir)
		if recovery.Happened() {
			recovered++
		}
		works(t, s, inSnapshot)
		check(t, s.Close())
	}
	if recovered < rounds/3 { // every truncation at least
		t.Errorf("only %d of %d damages were noticed", recovered, rounds)
	}
}

func TestALogThatIsGarbageCostsAtMostTheLog(t *testing.T) {
	dir := t.TempDir()
	killed := t.TempDir()
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	must[string](t)(s.Snapshot(t.Context()))
	_, err := s.writer.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	check(t, err)
	for range 5 {
		finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	}
	check(t, os.CopyFS(killed, os.DirFS(dir))) // as kill -9 leaves it
	wal, shm := beside("state.db")
	length := size(t, filepath.Join(killed, wal))
	if length < 4096 {
		t.Fatalf("the log has only %d bytes", length)
	}
	for name, harm := range map[string]func(wal, shm string){
		"garbage header":   func(wal, _ string) { overwrite(t, wal, 0, []byte(strings.Repeat("x", 32))) },
		"garbage inside":   func(wal, _ string) { overwrite(t, wal, length/2, []byte(strings.Repeat("x", 999))) },
		"cut short":        func(wal, _ string) { check(t, os.Truncate(wal, length/2)) },
		"a few bytes":      func(wal, _ string) { check(t, os.Truncate(wal, 7)) },
		"garbage index":    func(_, shm string) { overwrite(t, shm, 0, []byte(strings.Repeat("x", 999))) },
		"no index":         func(_, shm string) { check(t, os.Remove(shm)) },
		"log and no file":  func(wal, _ string) { check(t, os.Remove(strings.TrimSuffix(wal, "-wal"))) },
		"log of something": func(wal, _ string) { check(t, os.WriteFile(wal, []byte(strings.Repeat("log\n", 5000)), 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := clone(t, killed)
			harm(filepath.Join(dir, wal), filepath.Join(dir, shm))
			s, _ := openAny(t, dir)
			works(t, s, 1)
		})
	}
}

func TestWithoutASoundSnapshotTheStoreStartsEmpty(t *testing.T) {
	dir := t.TempDir()
	furnish(t, dir)
	check(t, os.Truncate(directory(dir).database(), 5000))
	for _, p := range directory(dir).listSnapshots() {
		check(t, os.Truncate(p, 3000))
	}
	s, recovery := openAny(t, dir)
	if recovery.Snapshot != "" || recovery.Aside == "" || !strings.Contains(recovery.String(), "empty") {
		t.Errorf("recovery is %+v", recovery)
	}
	if list := directory(dir).listSnapshots(); len(list) != 0 {
		t.Errorf("damaged snapshots are kept: %v", list)
	}
	works(t, s, 0)
}

func TestTheNewestSoundSnapshotIsTaken(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	for range 3 {
		begin(t, s, "shop")
		must[string](t)(s.Snapshot(t.Context()))
	}
	check(t, s.Close())
	list := directory(dir).listSnapshots()
	check(t, os.Truncate(list[2], 4096))
	check(t, os.Remove(directory(dir).database()))
	s, recovery := openAny(t, dir)
	if recovery.Snapshot != list[1] {
		t.Errorf("restored %s, want %s", recovery.Snapshot, list[1])
	}
	if got := readSeqs(t, s.Reader, "shop"); !slices.Equal(got, []int64{2, 1}) {
		t.Errorf("releases are %v", got)
	}
}

func TestEventIDsGoOnPastALostDatabase(t *testing.T) {
	dir := t.TempDir()
	furnish(t, dir)
	s := openStore(t, dir)
	before := must[reconcile.Event](t)(s.AppendEvent(t.Context(), reconcile.Event{At: noon}))
	check(t, s.Close())
	for _, p := range append(directory(dir).listSnapshots(), directory(dir).database()) {
		check(t, os.Truncate(p, 200))
	}
	s, _ = openAny(t, dir)
	if after := must[reconcile.Event](t)(s.AppendEvent(t.Context(), reconcile.Event{At: noon})); after.ID <= before.ID {
		t.Errorf("id %d after %d", after.ID, before.ID)
	}
}

func TestOnlyTheLastDamagedDatabasesAreKept(t *testing.T) {
	dir := t.TempDir()
	for range keepDamaged + 3 {
		s, _ := openAny(t, dir)
		check(t, s.Close())
		check(t, os.Truncate(directory(dir).database(), 200))
	}
	s, _ := openAny(t, dir)
	check(t, s.Close())
	openStore(t, dir) // tidies
	aside, err := filepath.Glob(dir + "/state.db.corrupt-*")
	check(t, err)
	if len(aside) != keepDamaged {
		t.Errorf("%d damaged databases are kept: %v", len(aside), aside)
	}
}

func TestWhatIsNoDamageIsNotMovedAside(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Mkdir(directory(dir).database(), 0o700))
	if _, _, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("opened a directory as a database")
	}
	check(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, "corrupt") {
			t.Errorf("moved aside: %s", path)
		}
		return err
	}))
}

func TestHalfMadeFilesOfADeadAgentAreRemoved(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(dir+"/snapshots", 0o700))
	for _, p := range []string{"/state.db.new", "/state.db.new-wal", "/snapshots/copy.tmp-123", "/snapshots/copy.tmp-123-journal"} {
		check(t, os.WriteFile(dir+p, []byte("half"), 0o600))
	}
	s := openStore(t, dir)
	check(t, s.Close())
	if got := append(listing(t, dir), listing(t, dir+"/snapshots")...); !slices.Equal(got, []string{"davit.lock", "host.key", "snapshots", "state.db"}) {
		t.Errorf("in the directory are %v", got)
	}
}
