package engine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphaned starts a shell that is a container's, as the kernel that is returned has it, and
// returns what it ended with.
func orphaned(t *testing.T, id, script string) (procFS, <-chan error) {
	t.Helper()
	root := t.TempDir()
	ready := filepath.Join(root, "ready")
	shell := exec.Command("sh", "-c", script+"; touch "+ready+"; while :; do read -r line; done")
	hold, err := shell.StdinPipe() // a read that waits needs no process of its own
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	pid := shell.Process.Pid
	kernel(t, root, pid, 1, "sh", "0::/docker/"+id+"\n")
	ended := make(chan error, 1)
	go func() {
		err := shell.Wait()
		_ = os.RemoveAll(filepath.Join(root, strconv.Itoa(pid)))
		ended <- err
	}()
	t.Cleanup(func() { _ = shell.Process.Kill(); hold.Close() })
	if !await(t.Context(), 10*time.Second, func() bool { _, err := os.Stat(ready); return err == nil }) {
		t.Fatal("the shell did not begin")
	}
	return procFS(root), ended
}

// endedBy is the signal that ended a process, 0 for none.
func endedBy(err error) syscall.Signal {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		return 0
	}
	return status.Signal()
}

func TestAnOrphanIsAskedToEnd(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 64)
	o := newOrphans()
	var ended <-chan error
	o.host, ended = orphaned(t, id, ":")
	if err := o.end(t.Context(), id, syscall.SIGQUIT, time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := endedBy(<-ended); got != syscall.SIGQUIT {
		t.Errorf("it was ended by %v", got)
	}
}

func TestAnOrphanThatDoesNotEndIsKilledAfterItsGraceThoughNobodyHasTimeForAllOfIt(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 64)
	o := newOrphans()
	var ended <-chan error
	o.host, ended = orphaned(t, id, `trap "" TERM`)
	const grace = 1500 * time.Millisecond
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), grace/5)
		err := o.end(ctx, id, syscall.SIGTERM, grace)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < grace {
		t.Errorf("it was killed after %s", took)
	}
	if got := endedBy(<-ended); got != syscall.SIGKILL {
		t.Errorf("it was ended by %v", got)
	}
}
