package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"davit/reconcile"
)

// smallDisk, when set in the environment, makes the test binary mount a small
// file system at that place, fill it and report what the store does.
const smallDisk = "STATE_TEST_SMALL_DISK"

func TestAFullDiskForbidsStepsAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), smallDisk+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // the mount ends with the child
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "cannot mount") {
		t.Logf("no mounts here (%v): the database's own limit stands in for the disk", err)
		check(t, fullScenario(dir, limitPages))
		return
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func inSmallDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	if err := fullScenario(dir, ballast); err != nil {
		return err
	}
	return startOnFullDisk(dir)
}

// ballast fills the file system of dir to the last byte.
func ballast(s *Store) (remove func() error, err error) {
	path := filepath.Join(s.dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for piece := 4096; piece > 0; {
		if _, err := f.Write(make([]byte, piece)); err != nil {
			piece /= 2
		}
	}
	return func() error { return os.Remove(path) }, nil
}

// limitPages makes SQLite itself refuse to grow.
func limitPages(s *Store) (remove func() error, err error) {
	if _, err := s.writer.Exec(`PRAGMA max_page_count = 1`); err != nil { // it means: no more than now
		return nil, err
	}
	return func() error {
		_, err := s.writer.Exec(`PRAGMA max_page_count = 1000000`)
		return err
	}, nil
}

func fullScenario(dir string, fill func(*Store) (func() error, error)) error {
	ctx := context.Background()
	s, _, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	r, err := s.Begin(ctx, reconcile.Release{Stack: "shop", Started: noon})
	if err != nil {
		return err
	}
	empty, err := fill(s)
	if err != nil {
		return err
	}
	intended, err := intendUntilFull(ctx, s)
	if err != nil {
		return err
	}
	long := strings.Repeat("x", 20_000)
	if _, err := s.Begin(ctx, reconcile.Release{Stack: "shop", Started: noon, Reason: long}); !errors.Is(err, reconcile.ErrDiskFull) {
		return fmt.Errorf("begin on a full disk: %w", err)
	}
	if list, err := s.Releases(ctx, "shop", 0); err != nil || len(list) != 1 {
		return fmt.Errorf("reading on a full disk: %d releases, %w", len(list), err)
	}
	if err := empty(); err != nil {
		return err
	}
	if steps, err := s.Journal(ctx, "shop", r.Seq); err != nil || len(steps) != intended {
		return fmt.Errorf("%d steps are in the journal of %d: %w", len(steps), intended, err)
	}
	next, err := s.Begin(ctx, reconcile.Release{Stack: "shop", Started: noon})
	if err != nil || next.Seq != r.Seq+1 {
		return fmt.Errorf("with room again, #%d begins: %w", next.Seq, err)
	}
	r.Outcome = reconcile.Failed
	return errors.Join(s.Finish(ctx, r), s.Close())
}

// intendUntilFull returns how many steps were permitted before the disk was full.
func intendUntilFull(ctx context.Context, s *Store) (int, error) {
	for step := range 5000 {
		err := s.Intend(ctx, reconcile.Entry{Stack: "shop", Seq: 1, Step: step, Action: strings.Repeat("a", 500), At: noon})
		if err == nil {
			continue
		}
		if !errors.Is(err, reconcile.ErrDiskFull) || reconcile.Hint(err) == "" || !strings.Contains(err.Error(), "journal step") {
			return step, fmt.Errorf("refused with %w (hint %q)", err, reconcile.Hint(err))
		}
		return step, nil
	}
	return 0, errors.New("five thousand steps were permitted on a full disk")
}

func startOnFullDisk(dir string) error {
	s := &Store{Reader: &Reader{dir: dir}}
	if _, err := ballast(s); err != nil {
		return err
	}
	opened, recovery, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	switch {
	case err == nil && recovery.Happened():
		return fmt.Errorf("a full disk was taken for damage: %s", recovery)
	case err == nil:
		if err := opened.Close(); err != nil {
			return err
		}
	case !errors.Is(err, reconcile.ErrDiskFull):
		return fmt.Errorf("start on a full disk: %w", err)
	}
	fresh := filepath.Join(dir, "fresh")
	if _, _, err := Open(Options{Dir: fresh, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, reconcile.ErrDiskFull) {
		return fmt.Errorf("first start on a full disk: %w", err)
	}
	if _, err := os.Stat(directory(fresh).database()); err == nil {
		return errors.New("a first start on a full disk leaves half a database")
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		return err
	}
	for _, d := range []string{dir, fresh} {
		s, recovery, err := Open(Options{Dir: d, Logger: slog.New(slog.DiscardHandler)})
		if err != nil || recovery.Happened() {
			return fmt.Errorf("with room again: %s %w", recovery, err)
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

func TestTheDatabasesOwnLimitCountsAsAFullDisk(t *testing.T) {
	check(t, fullScenario(t.TempDir(), limitPages))
}

func TestFreeSpaceIsMeasured(t *testing.T) {
	if free, err := Free(t.TempDir()); err != nil || free == 0 {
		t.Errorf("%d bytes free, %v", free, err)
	}
	if _, err := Free(t.TempDir() + "/none"); err == nil {
		t.Error("a directory that does not exist has free space")
	}
}
