package rollout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"davit/reconcile"
)

// Preflight is asked once, before the first change of a plan. Its error means
// that nothing is changed.
type Preflight interface {
	Check(ctx context.Context, plan reconcile.Plan) error
}

// What Disk asks for where it is not told otherwise, in bytes.
const (
	// DefaultDataReserve leaves room for the journal and the release record.
	DefaultDataReserve = 32 << 20
	// DefaultPullReserve leaves room for a small image; how large an image is
	// unpacked is not known beforehand.
	DefaultPullReserve = 256 << 20
	// DefaultCreateReserve leaves room for containers and their first log lines.
	DefaultCreateReserve = 32 << 20
)

// inodeReserve is the number of files that must still fit, on file systems that
// count them.
const inodeReserve = 1024

// Disk is the Preflight that refuses with reconcile.ErrDiskFull what the disk
// has no room for. It asks only for what the plan needs: one that neither pulls
// nor creates, such as the return to a stopped container, is never refused
// because the engine's disk is full.
type Disk struct {
	// Data is the agent's data directory.
	Data string
	// Engine is the directory where a local engine keeps its images and
	// containers; "" for a remote one.
	Engine string
	// DataReserve, PullReserve and CreateReserve are free bytes that must be
	// there for any plan, for one that pulls and for one that creates containers;
	// 0 means the default.
	DataReserve, PullReserve, CreateReserve uint64
}

var _ Preflight = Disk{}

// Check implements Preflight.
func (d Disk) Check(_ context.Context, plan reconcile.Plan) error {
	if err := room("data directory", d.Data, or(d.DataReserve, DefaultDataReserve)); err != nil {
		return err
	}
	if d.Engine == "" {
		return nil
	}
	return room("engine's directory", d.Engine, d.engineNeed(plan))
}

// engineNeed is the number of bytes that the plan wants on the engine's disk.
func (d Disk) engineNeed(plan reconcile.Plan) uint64 {
	var need uint64
	for _, s := range plan.Steps {
		switch s.Kind {
		case reconcile.StepPull, reconcile.StepBuild:
			need = max(need, or(d.PullReserve, DefaultPullReserve))
		case reconcile.StepCreate:
			need = max(need, or(d.CreateReserve, DefaultCreateReserve))
		}
	}
	return need
}

// room reports whether need bytes are free at dir.
func room(what, dir string, need uint64) error {
	if need == 0 {
		return nil
	}
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		// What cannot be looked at says nothing about room: an engine behind a
		// local socket may well live in a virtual machine.
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for room in the %s %s: %w", what, dir, err)
	}
	if err := enough(st, need); err != nil {
		return reconcile.WithHint(fmt.Errorf("%s %s %w: %w", what, dir, err, reconcile.ErrDiskFull),
			"make room there; nothing was changed, and the next attempt follows by itself")
	}
	return nil
}

// enough compares what a file system has left with what is needed.
func enough(st unix.Statfs_t, need uint64) error {
	if free := st.Bavail * uint64(st.Bsize); free < need {
		return fmt.Errorf("has %d MiB left and needs %d", free>>20, need>>20)
	}
	if st.Files > 0 && st.Ffree < inodeReserve {
		return fmt.Errorf("has room for %d more files only", st.Ffree)
	}
	return nil
}

func or(n, standard uint64) uint64 {
	if n == 0 {
		return standard
	}
	return n
}
