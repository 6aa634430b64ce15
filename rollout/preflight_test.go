package rollout

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"davit/reconcile"
)

func TestDiskAsksForWhatThePlanNeeds(t *testing.T) {
	const tooMuch = math.MaxUint64
	dir := t.TempDir()
	stop := plan(on(reconcile.StepStop, "web/1"))
	create := plan(of(reconcile.StepCreate, "web", 1))
	pull := plan(reconcile.Step{Kind: reconcile.StepPull}, of(reconcile.StepCreate, "web", 1))
	for _, c := range []struct {
		name string
		disk Disk
		plan reconcile.Plan
		full string // what is full, "" for nothing
	}{
		{"enough", Disk{Data: dir, Engine: dir, DataReserve: 1, PullReserve: 1, CreateReserve: 1}, pull, ""},
		{"no room for the journal", Disk{Data: dir, DataReserve: tooMuch}, stop, "data directory"},
		{"no room for a pull", Disk{Data: dir, Engine: dir, DataReserve: 1, PullReserve: tooMuch, CreateReserve: 1}, pull, "engine's directory"},
		{"which a plan without one does not need", Disk{Data: dir, Engine: dir, DataReserve: 1, PullReserve: tooMuch, CreateReserve: 1}, create, ""},
		{"no room for a container", Disk{Data: dir, Engine: dir, DataReserve: 1, CreateReserve: tooMuch}, create, "engine's directory"},
		{"which a return to a stopped one does not need", Disk{Data: dir, Engine: dir, DataReserve: 1, PullReserve: tooMuch, CreateReserve: tooMuch}, stop, ""},
		{"a remote engine's disk is not ours to look at", Disk{Data: dir, DataReserve: 1, PullReserve: tooMuch}, pull, ""},
		{"a directory that is not there says nothing", Disk{Data: dir, Engine: filepath.Join(dir, "none"), DataReserve: 1, PullReserve: tooMuch}, pull, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.disk.Check(t.Context(), c.plan)
			if c.full == "" {
				equal(t, "error", err, nil)
				return
			}
			if !errors.Is(err, reconcile.ErrDiskFull) || !strings.HasPrefix(err.Error(), c.full) || reconcile.Hint(err) == "" {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestRoomIsCountedInBytesAndInFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		st   unix.Statfs_t
		want any
	}{
		{"enough of both", unix.Statfs_t{Bsize: 4096, Bavail: 8192, Files: 1 << 20, Ffree: 1 << 19}, nil},
		{"too few bytes", unix.Statfs_t{Bsize: 4096, Bavail: 256, Files: 1 << 20, Ffree: 1 << 19}, "has 1 MiB left and needs 32"},
		{"too few files", unix.Statfs_t{Bsize: 4096, Bavail: 8192, Files: 1 << 20, Ffree: 3}, "has room for 3 more files only"},
		{"a file system that does not count files", unix.Statfs_t{Bsize: 4096, Bavail: 8192}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			equal(t, "error", enough(c.st, 32<<20), c.want)
		})
	}
}

func TestADirectoryThatCannotBeExaminedIsAnError(t *testing.T) {
	err := Disk{Data: "\x00"}.Check(t.Context(), plan())
	if err == nil || errors.Is(err, reconcile.ErrDiskFull) {
		t.Errorf("error is %v", err)
	}
}

// gatekeeper is a preflight that counts and refuses.
type gatekeeper struct {
	asked int
	err   error
}

func (g *gatekeeper) Check(context.Context, reconcile.Plan) error {
	g.asked++
	return g.err
}

func TestAFullDiskRefusesBeforeTheFirstChange(t *testing.T) {
	s, g := newScripted(), &gatekeeper{err: reconcile.ErrDiskFull}
	e := New(Options{Engine: s, Journal: s, Preflight: g})
	r := e.Execute(t.Context(), job(plan(on(reconcile.StepGate, "web/1"), on(reconcile.StepStop, "web/2", 1))))
	if !errors.Is(r.Err, reconcile.ErrDiskFull) || r.Failure != nil {
		t.Errorf("error is %v, failure %v", r.Err, r.Failure)
	}
	equal(t, "asked", g.asked, 1)
	equal(t, "calls", s.did(), []string{})
	equal(t, "intentions", len(s.journal), 0)
}

func TestAPlanThatChangesNothingNeedsNoRoom(t *testing.T) {
	s, g := newScripted(), &gatekeeper{err: reconcile.ErrDiskFull}
	e := New(Options{Engine: s, Journal: s, Preflight: g})
	r := e.Execute(t.Context(), job(plan(on(reconcile.StepGate, "web/1"))))
	equal(t, "error", r.Err, nil)
	equal(t, "asked", g.asked, 0)
}
